// What somebody with a card copies and runs: built from the sources alone, in a folder of its own, by plain cmake. Sources and the tests'
// build have to stay small, and without a card both programs have to say so and be content. With one, they run.
import { spawnSync } from 'node:child_process';
import { cpSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { findCards } from '../cuda/gpu.mjs';
import { ensureCudaToolkit } from '../cuda/toolkit.mjs';
import { hasCommand, root, runLogged, say } from '../setup/common.mjs';

const mostMiB = 40;
const folder = join(root, 'build-gpu-copy');
const build = join(folder, 'build');

/** As `du` has it. */
function bytesOf(path) {
  const about = lstatSync(path);
  if (!about.isDirectory()) return about.blocks * 512;
  return readdirSync(path).reduce((sum, name) => sum + bytesOf(join(path, name)), about.blocks * 512);
}
const mib = (bytes) => (bytes / 2 ** 20).toFixed(1);

/** As docs/cuda.md has it: all but what the fuzzers were fed. */
function copySources() {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  for (const name of ['CMakeLists.txt', 'package.json', 'native'])
    cpSync(join(root, name), join(folder, name), {
      recursive: true,
      filter: (path) => !path.includes(join('native', 'fuzz')),
    });
}

async function configure(nvcc, architecture) {
  const launcher = hasCommand('ccache') ? ['-DCMAKE_CXX_COMPILER_LAUNCHER=ccache'] : [];
  const options = ['-DMLIT_CUDA=ON', `-DMLIT_CUDA_ARCHS=${architecture}`, `-DCMAKE_CUDA_COMPILER=${nvcc}`];
  await runLogged('cmake', ['-S', folder, '-B', build, ...options, ...launcher], {
    log: 'gpu-copy-configure',
  });
}

/** Builds a program and runs it: whether it says what it should. */
async function holds(target, hasCard) {
  await runLogged('cmake', ['--build', build, '--target', target, '--parallel', '2'], {
    log: 'gpu-copy-build',
  });
  say(`sources and build of ${target}: ${mib(bytesOf(folder))} MiB`);
  const { status, stdout } = spawnSync(join(build, target), [], { cwd: build, encoding: 'utf8' });
  process.stdout.write(`${target}: ${stdout}`);
  return status === 0 && stdout.startsWith('skipped: ') !== hasCard;
}

const { nvcc } = await ensureCudaToolkit();
const { cards } = findCards();
copySources();
say(`sources ${mib(bytesOf(folder))} MiB`);
await configure(nvcc, cards?.[0].architecture ?? '80');
let failed = !(await holds('mlit_gpu_tests', cards !== undefined));
if (bytesOf(folder) > mostMiB * 2 ** 20) {
  say(`more than the ${mostMiB} MiB that sources and tests may be`);
  failed = true;
}
if (!(await holds('mlit_gpu_bench', cards !== undefined))) failed = true;
rmSync(folder, { recursive: true, force: true });
process.exit(failed ? 1 : 0);
