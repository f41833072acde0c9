// What `npm run test:gpu` and `npm run bench:gpu` share: is there a card, and the native program for it, built. The programs themselves
// want no Node (docs/cuda.md, "If you have a card"); this is the short way to them.
import { existsSync, mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { buildFraction } from '../setup/build.mjs';
import { capture, hasCommand, progressLine, root, runLogged, say } from '../setup/common.mjs';
import { ensureCudaToolkit } from './toolkit.mjs';

/** Where reports go, beside the clone's other products. */
export const reportsDir = join(root, 'gpu-reports');

/** What the plug-in calls a card's architecture: with the "a" that Hopper's own instructions want. */
export function architecture(capability) {
  const number = capability.trim().replace('.', '');
  return number === '90' ? '90a' : number;
}

/** `{ name, architecture }` of each card that the driver shows; or `{ reason }` where it shows none. */
export function findCards(smi = 'nvidia-smi') {
  if (!hasCommand(smi)) return { reason: 'no NVIDIA driver: nvidia-smi is not on the PATH' };
  const lines = capture(smi, ['--query-gpu=name,compute_cap', '--format=csv,noheader']);
  if (lines === undefined) return { reason: 'nvidia-smi does not answer: the driver does not start' };
  const cards = lines
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const comma = line.lastIndexOf(',');
      return { name: line.slice(0, comma).trim(), architecture: architecture(line.slice(comma + 1)) };
    });
  return cards.length > 0 ? { cards } : { reason: 'the driver shows no device' };
}

/** Builds a target for these architectures (all of ours where none is given); returns the program's path. */
export async function buildGpuProgram(target, archs = []) {
  const { nvcc } = await ensureCudaToolkit();
  const folder = join(root, 'build-gpu');
  const launcher = hasCommand('ccache') ? ['-DCMAKE_CXX_COMPILER_LAUNCHER=ccache'] : [];
  const options = ['-DMLIT_CUDA=ON', `-DMLIT_CUDA_ARCHS=${archs.join(',')}`, `-DCMAKE_CUDA_COMPILER=${nvcc}`];
  await runLogged('cmake', ['-S', root, '-B', folder, ...options, ...launcher], { log: 'gpu-configure' });
  const parallel = ['--parallel', String(availableParallelism())];
  const progress = progressLine(`Building ${target}`);
  try {
    await runLogged('cmake', ['--build', folder, '--target', target, ...parallel], {
      log: 'gpu-build',
      onLine: (line) => {
        const fraction = buildFraction(line);
        if (fraction !== undefined) progress.update(fraction);
      },
    });
  } finally {
    progress.end();
  }
  return join(folder, target);
}

/** The program for the cards that are here; says why and ends content where there are none. */
export async function gpuProgram(target) {
  const { cards, reason } = findCards();
  if (cards === undefined) {
    console.log(`skipped: ${reason}`);
    process.exit(0);
  }
  say(`On ${cards.map(({ name }) => name).join(', ')}`);
  return buildGpuProgram(target, [...new Set(cards.map((card) => card.architecture))]);
}

/** A path for a report, in a folder that is there. */
export function reportPath(given, name) {
  const path = given ?? join(reportsDir, name);
  if (!existsSync(dirname(path))) mkdirSync(dirname(path), { recursive: true });
  return path;
}
