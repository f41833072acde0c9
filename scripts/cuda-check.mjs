// `npm run cuda:check [-- --archs=80,90a]`: what can be known of the CUDA plug-in without a card. It compiles it, and holds the library to
// what the package promises: two exported functions, code for both, no library that is not everywhere, nothing newer than the floor, no
// kernel that spills or has lost the instructions that cuda/expected.mjs asks of it. Where no compiler can be had it says why and
// leaves the check out.
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { lost } from './cuda/expected.mjs';
import { kernelInstructions, kernelResources, spills } from './cuda/resources.mjs';
import { ensureCudaToolkit } from './cuda/toolkit.mjs';
import { checkLibrary } from './prebuild/elf.mjs';
import { hasCommand, root, runLogged, SetupError, say } from './setup/common.mjs';

const only = process.argv.find((arg) => arg.startsWith('--archs='))?.slice('--archs='.length);
const archs = only === undefined ? ['80', '90a'] : only.split(',');
const folder = join(root, 'build-cuda');

async function build(nvcc) {
  const launcher = hasCommand('ccache') ? ['-DCMAKE_CXX_COMPILER_LAUNCHER=ccache'] : [];
  const options = ['-DMLIT_CUDA=ON', `-DMLIT_CUDA_ARCHS=${archs.join(',')}`, `-DCMAKE_CUDA_COMPILER=${nvcc}`];
  await runLogged('cmake', ['-S', root, '-B', folder, ...options, ...launcher], { log: 'cuda-configure' });
  const parallel = ['--parallel', String(availableParallelism())];
  await runLogged('cmake', ['--build', folder, '--target', 'mlit_cuda', ...parallel], { log: 'cuda-build' });
}

function output(command, ...args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new SetupError(`${command} ${args.join(' ')}: ${error?.message ?? stderr}`);
  return stdout;
}

/** Sentences about what is wrong with the library; none where all is well. */
function judge(file, nvcc) {
  const findings = checkLibrary(file);
  const names = output('nm', '-D', '--defined-only', file)
    .trim()
    .split('\n')
    .map((line) => line.split(' ').at(-1));
  const exported = names.sort().join(', ');
  if (exported !== 'mlit_backend_init, mlit_backend_score') findings.push(`exports ${exported}`);
  const cuobjdump = join(dirname(nvcc), 'cuobjdump');
  if (existsSync(cuobjdump)) {
    const elves = output(cuobjdump, '--list-elf', file);
    for (const arch of archs)
      if (!elves.includes(`sm_${arch}.`)) findings.push(`holds no code for sm_${arch}`);
    const resources = kernelResources(dirname(nvcc), file);
    findings.push(...spills(resources));
    for (const arch of archs.map((each) => `sm_${each}`)) {
      const counts = kernelInstructions(dirname(nvcc), file, arch);
      const kernels = resources.filter((kernel) => kernel.arch === arch);
      findings.push(
        ...lost(
          kernels.map(({ kernel, symbol }) => ({ kernel, counts: counts.get(symbol) })),
          arch,
        ),
      );
    }
  }
  return findings;
}

const start = performance.now();
let toolkit;
try {
  toolkit = await ensureCudaToolkit();
} catch (error) {
  say(`The check of the CUDA plug-in is left out: ${error?.message ?? error}`);
  process.exit(0);
}
try {
  const { nvcc, release } = toolkit;
  if (process.argv.includes('--rebuild')) rmSync(folder, { recursive: true, force: true });
  await build(nvcc);
  const file = join(folder, 'mlit_cuda.so');
  if (!existsSync(file)) throw new SetupError('The build ended without mlit_cuda.so.');
  const findings = judge(file, nvcc);
  if (findings.length > 0) throw new SetupError(`${file}:\n${findings.join('\n')}`);
  const kib = Math.round(statSync(file).size / 1024);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  say(`ok   CUDA plug-in: nvcc ${release.join('.')}, sm_${archs.join(', sm_')}, ${kib} KiB (${seconds} s)`);
} catch (error) {
  say(error instanceof SetupError ? error.message : `cuda-check: ${error?.message ?? error}`);
  process.exit(1);
}
