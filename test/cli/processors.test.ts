// Processors that this machine is not: Node itself runs under QEMU with the instructions of an older one, so that an
// instruction of a newer one anywhere on the way would end it with SIGILL.
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { fixture, root, scratch } from '../support/fixtures';

const qemu = 'qemu-x86_64-static';
const absent = spawnSync(qemu, ['--version']).error !== undefined;
const reason = process.arch !== 'x64' ? 'this is no x64' : absent ? `there is no ${qemu} here` : undefined;
if (reason) console.log(`Processors of other kinds are left out: ${reason}.`);

const folder = scratch();
const model = fixture('smol-tiny', 'model');
const data = join(folder, 'data.jsonl');
const lines = ['yes', 'no'].map((response, i) => JSON.stringify({ instruction: `${i}?`, response }));
writeFileSync(data, `${lines.join('\n')}\n`);

function run([command, ...args]: string[]) {
  return new Promise<{ status: number | null; signal: string | null; stdout: string; stderr: string }>(
    (resolve) => {
      const child = spawn(command!, args, { cwd: folder });
      let stdout = '';
      let stderr = '';
      child.stdout.on('data', (chunk) => {
        stdout += chunk;
      });
      child.stderr.on('data', (chunk) => {
        stderr += chunk;
      });
      child.on('close', (status, signal) => resolve({ status, signal, stdout, stderr }));
    },
  );
}

const mlit = (cpu: string, ...args: string[]) =>
  run([qemu, '-cpu', cpu, process.execPath, join(root, 'bin', 'mlit.mjs'), ...args]);
const adapterOf = (out: string) => readFileSync(join(folder, out, 'adapter', 'adapter_model.safetensors'));

describe.skipIf(reason !== undefined)('a processor with AVX2 alone (Haswell)', () => {
  it('passes doctor', { timeout: 120_000 }, async () => {
    const { status, signal, stdout } = await mlit('Haswell', 'doctor', '--json');
    expect({ status, signal }).toEqual({ status: 0, signal: null });
    const doctor = JSON.parse(stdout);
    expect(doctor.passed).toBe(true);
    expect(doctor.cpu.isas).toMatchObject([
      { name: 'avx512', usable: false, reason: expect.stringContaining('has no avx512f') },
      { name: 'avx2', usable: true },
    ]);
    expect(doctor.backends[0]).toMatchObject({
      name: 'cpu',
      usable: true,
      description: expect.stringMatching(/^avx2,/),
    });
  });

  it('trains and samples, with the bits of AVX2 on this machine', { timeout: 240_000 }, async () => {
    const program = join(folder, 'work.mjs');
    writeFileSync(
      program,
      `
      import { Adapter, Model, Sampler, Trainer } from ${JSON.stringify(pathToFileURL(join(root, 'dist', 'index.js')).href)};
      const [isa, out] = process.argv.slice(2);
      const base = await Model.load({ model: ${JSON.stringify(model)}, threads: 1, isa });
      const trainer = await Trainer.create({ base, model: base.source.path, data: ['data.jsonl'], template: 'chatml', steps: 2, out });
      const { adapter } = await trainer.start().done;
      const sampler = await Sampler.create({ model: base, adapters: [await Adapter.load(base, adapter)] });
      const request = { id: 'a', prompt: Int32Array.of(3, 4, 5, 6), maxNewTokens: 4, endOfTurnIds: [] };
      for await (const event of sampler.stream([request])) if (event.type === 'result') console.log(JSON.stringify(event));
      await base.dispose();
      `,
    );
    const emulated = await run([qemu, '-cpu', 'Haswell', process.execPath, program, 'auto', 'emulated']);
    expect(emulated, emulated.stderr).toMatchObject({ status: 0, signal: null });
    const here = await run([process.execPath, program, 'avx2', 'here']);
    expect(here, here.stderr).toMatchObject({ status: 0 });
    expect(here.stdout).toContain('"tokens":[');
    expect(emulated.stdout).toBe(here.stdout);
    expect(adapterOf('emulated').equals(adapterOf('here'))).toBe(true);
  });
});

describe.skipIf(reason !== undefined)('a processor below the floor (Nehalem)', () => {
  const sentence =
    'this processor is too old: it has no avx2, and mlit-native needs an x86-64 processor with AVX2 (Intel Haswell of 2013, AMD Zen of 2017, or later)';

  it('is told so by doctor', { timeout: 120_000 }, async () => {
    const { status, signal, stdout } = await mlit('Nehalem', 'doctor');
    expect({ status, signal }).toEqual({ status: 1, signal: null });
    expect(stdout).toContain(`– cpu      ${sentence}\n`);
    expect(stdout).toContain('self-test   left out: no backend is usable here');
  });

  it('is told so by a command that computes', { timeout: 120_000 }, async () => {
    const { status, signal, stderr } = await mlit('Nehalem', 'score', '--model', model, '--data', data);
    expect({ status, signal }).toEqual({ status: 1, signal: null });
    expect(stderr).toContain(`mlit: ${sentence} [DEVICE_UNAVAILABLE]`);
  });
});
