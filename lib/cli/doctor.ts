// `mlit doctor`: what this machine has, which backend would run and why, and whether its arithmetic is right.
import { type Command, Option } from 'commander';
import { loadAddon, runtimeGlibc, SYSTEM_FLOOR } from '../native/addon';
import { packageVersion } from '../native/version';
import { parseAutoOr, parseField, parseInteger, UsageError } from './common';
import { doctorQuality } from './doctor-quality';
import { flagOf } from './flags';
import { printJson, printLine, size } from './output';

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description(
      'machine, backends with the reason for each, memory, a self-test; or what int8 costs on a model',
    )
    .option('--json', 'one JSON value')
    .addOption(new Option('--quality <model>', 'compare --compute int8 with f32 on this model, as for train'))
    .addOption(
      new Option('--data <file...>', 'with --quality: records with responses (default: a few built-in ones)'),
    )
    .addOption(new Option('--field <name=field>', 'with --quality: as for train').argParser(parseField))
    .addOption(new Option('--template <template>', 'with --quality: as for train (default: auto)'))
    .addOption(
      new Option('--held-out <n>', 'with --quality: records of a language at most (default: 16)').argParser(
        parseInteger,
      ),
    )
    .addOption(
      new Option('--steps <n>', 'with --quality: of LoRA training, 8 records each (default: 10)').argParser(
        parseInteger,
      ),
    )
    .addOption(
      new Option('--threads <n>', 'with --quality: compute threads (default: auto)').argParser(
        parseAutoOr(parseInteger),
      ),
    )
    .addOption(new Option('--device <device>', 'with --quality: auto or cpu (default: auto)'))
    .action(async ({ json = false, ...flags }: { json?: boolean } & Record<string, unknown>) => {
      if (flags.quality !== undefined) return doctorQuality(flags, json);
      const [idle] = Object.keys(flags);
      if (idle !== undefined)
        throw new UsageError(
          `${flagOf(idle)} is given without --quality MODEL, beside which alone it has a meaning`,
        );
      const addon = loadAddon();
      const doctor = addon.doctor();
      // Below the floor of processors there is nothing to test, and the backend's reason is the answer.
      const usable = doctor.backends.some((backend) => backend.usable);
      const selfTest = [];
      for (const { name } of doctor.backends.filter((backend) => backend.usable))
        for (const check of await addon.selfTest(name, 'auto', 0)) selfTest.push({ backend: name, ...check });
      const ranks = addon.ranksWhyNot();
      const passed = usable && selfTest.every((check) => check.passed);
      if (json) {
        const system = { glibc: runtimeGlibc() ?? null, floor: SYSTEM_FLOOR };
        await printJson({
          ...doctor,
          ranks,
          version: packageVersion,
          node: process.version,
          system,
          selfTest,
          passed,
        });
      } else {
        await printLine(describe(doctor, ranks, selfTest));
      }
      if (!passed) process.exitCode = 1;
    });
}

function describe(
  doctor: ReturnType<ReturnType<typeof loadAddon>['doctor']>,
  ranks: ReturnType<ReturnType<typeof loadAddon>['ranksWhyNot']>,
  selfTest: { backend: string; name: string; passed: boolean; detail: string }[],
): string {
  const { cpu, memory, backends } = doctor;
  const lines = [
    `mlit-native ${packageVersion}, Node ${process.version}, ${process.platform}-${process.arch}`,
    '',
    `system      glibc ${runtimeGlibc() ?? 'unknown'}; needed: glibc ${SYSTEM_FLOOR.glibc}, libstdc++ of GCC 11 (${SYSTEM_FLOOR.libstdcxx}), or later`,
    `processor   ${cpu.model}, ${cpu.usableProcessors} usable`,
    `extensions  ${cpu.features.join(' ') || 'none that matter here'}`,
    'kernels',
    ...cpu.isas.map((isa) => `  ${isa.usable ? '✓' : '–'} ${isa.name.padEnd(8)} ${isa.reason}`),
    `memory      ${size(memory.totalBytes)} in all, ${size(Math.min(memory.availableBytes, memory.limitBytes || Number.POSITIVE_INFINITY))} available`,
    'backends',
    ...backends
      .flatMap(({ devices = [], ...backend }) => (devices.length > 0 ? devices : [backend]))
      .map(
        (backend) =>
          `  ${backend.usable ? '✓' : '–'} ${backend.name.padEnd(8)} ${backend.usable ? backend.description : backend.reason}`,
      ),
    'ranks',
    '  ✓ tcp      at MASTER_ADDR and MASTER_PORT',
    `  ${ranks.mpi ? '–' : '✓'} mpi      ${ranks.mpi || 'as mpirun and srun start them'}`,
    `  ${ranks.nccl ? '–' : '✓'} nccl     ${ranks.nccl || 'gradients from card to card'}`,
    selfTest.length > 0 ? 'self-test' : 'self-test   left out: no backend is usable here',
    ...selfTest.map(
      (check) =>
        `  ${check.passed ? '✓' : '✗'} ${check.backend.padEnd(8)} ${check.name.padEnd(24)} ${check.detail}`,
    ),
  ];
  return lines.join('\n');
}
