// What somebody with a card copies and runs: built from the sources alone, in a folder of its own, by plain cmake. Sources and build have
// to stay small, and without a card both programs have to say so and be content. With one, they run.
import { spawnSync } from 'node:child_process';
import { cpSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { findCards } from '../cuda/gpu.mjs';
import { ensureCudaToolkit } from '../cuda/toolkit.mjs';
import { hasCommand, root, runLogged, say } from '../setup/common.mjs';

const mostMiB = 40;
const folder = join(root, 'build-gpu-copy');
const build = join(folder, 'build');

function bytesOf(path) {
  const about = lstatSync(path);
  if (!about.isDirectory()) return about.blocks * 512;
  return readdirSync(path).reduce((sum, name) => sum + bytesOf(join(path, name)), about.blocks * 512);
}

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

const { nvcc } = await ensureCudaToolkit();
const { cards } = findCards();
copySources();
const sources = bytesOf(folder);
const launcher = hasCommand('ccache') ? ['-DCMAKE_CXX_COMPILER_LAUNCHER=ccache'] : [];
const options = [
  '-DMLIT_CUDA=ON',
  `-DMLIT_CUDA_ARCHS=${cards?.[0].architecture ?? '80'}`,
  `-DCMAKE_CUDA_COMPILER=${nvcc}`,
];
await runLogged('cmake', ['-S', folder, '-B', build, ...options, ...launcher], { log: 'gpu-copy-configure' });
const targets = ['mlit_gpu_tests', 'mlit_gpu_bench'];
await runLogged('cmake', ['--build', build, '--target', ...targets, '--parallel', '2'], {
  log: 'gpu-copy-build',
});
const mib = (bytes) => (bytes / 2 ** 20).toFixed(1);
const total = bytesOf(folder);
say(`sources ${mib(sources)} MiB, with the build ${mib(total)} MiB`);
let failed = total > mostMiB * 2 ** 20;
if (failed) say(`more than the ${mostMiB} MiB that it may be`);
for (const target of targets) {
  const { status, stdout } = spawnSync(join(build, target), [], { cwd: build, encoding: 'utf8' });
  process.stdout.write(`${target}: ${stdout}`);
  if (status !== 0 || stdout.startsWith('skipped: ') === (cards !== undefined)) failed = true;
}
rmSync(folder, { recursive: true, force: true });
process.exit(failed ? 1 : 0);
