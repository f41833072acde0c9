// The three things made inside the repository: npm packages, the native addon, the bundled TypeScript. Each is
// redone only when what it is made from has changed.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import {
  capture,
  hasCommand,
  hashOf,
  progressLine,
  readStamp,
  root,
  runLogged,
  SetupError,
  say,
  writeStamp,
} from './common.mjs';

const addon = join(root, 'build', 'Release', 'mlit.node');

/** Whether node_modules holds the lock file's versions: compared with npm's own record of what it installed. */
function packagesInStep() {
  const record = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(record)) return false;
  const locked = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(record, 'utf8')).packages;
  return Object.entries(locked).every(
    ([path, entry]) => path === '' || entry.optional || installed[path]?.version === entry.version,
  );
}

export async function ensurePackages() {
  if (packagesInStep()) return;
  say('Installing npm packages');
  try {
    await runLogged('npm', ['ci', '--ignore-scripts', '--prefer-offline'], { log: 'npm-ci' });
  } catch (error) {
    throw new SetupError(
      `${error.message}\n\nThe npm packages of package-lock.json could not be installed: is a registry reachable?`,
    );
  }
}

/** A build folder that belongs to another place or generator only confuses CMake. */
function dropForeignBuild() {
  const cache = join(root, 'build', 'CMakeCache.txt');
  if (!existsSync(cache)) return;
  const text = readFileSync(cache, 'utf8');
  const value = (key) => new RegExp(`^${key}:\\w+=(.*)$`, 'm').exec(text)?.[1];
  const generatorGone = value('CMAKE_GENERATOR') === 'Ninja' && !hasCommand('ninja');
  if (value('CMAKE_HOME_DIRECTORY') !== root || generatorGone)
    rmSync(join(root, 'build'), { recursive: true });
}

/** Fraction done from a line of make (`[ 12%]`) or ninja (`[3/40]`), or undefined. */
export function buildFraction(line) {
  const make = /^\[\s*(\d+)%\]/.exec(line);
  if (make) return Number(make[1]) / 100;
  const ninja = /^\[(\d+)\/(\d+)\]/.exec(line);
  return ninja ? Number(ninja[1]) / Number(ninja[2]) : undefined;
}

/** nvcc: builds the CUDA plug-in too, and from then on whenever this clone's addon is built. */
export async function ensureNative({ rebuild, nvcc }) {
  if (nvcc !== undefined) writeStamp('nvcc', nvcc);
  const stamped = readStamp('nvcc');
  const cuda = stamped !== undefined && existsSync(stamped) ? stamped : undefined;
  const hash = hashOf(['native', 'CMakeLists.txt', 'node_modules/node-addon-api/package.json'], {
    skip: (path) => path === join('native', 'test'),
    extra: `${process.arch} ${capture('g++', ['-dumpfullversion'])} ${cuda ?? ''} ${hasCommand('mpicc')}`,
  });
  if (rebuild) rmSync(join(root, 'build'), { recursive: true, force: true });
  if (existsSync(addon) && readStamp('native') === hash) return;
  dropForeignBuild();
  const progress = progressLine('Building the native core');
  progress.update(0);
  const cmakeJs = join(root, 'node_modules', 'cmake-js', 'bin', 'cmake-js');
  const args = ['build', '--config', 'Release', '--parallel', String(availableParallelism())];
  if (hasCommand('ccache')) args.push('--CDCMAKE_CXX_COMPILER_LAUNCHER=ccache');
  if (cuda !== undefined) args.push('--CDMLIT_CUDA=ON', `--CDCMAKE_CUDA_COMPILER=${cuda}`);
  try {
    await runLogged(process.execPath, [cmakeJs, ...args], {
      log: 'native-build',
      onLine: (line) => {
        const fraction = buildFraction(line);
        if (fraction !== undefined) progress.update(fraction, line.slice(line.lastIndexOf('/') + 1));
      },
    });
  } finally {
    progress.end();
  }
  if (!existsSync(addon)) throw new SetupError('The native build ended without build/Release/mlit.node.');
  writeStamp('native', hash);
}

export async function ensureBundle({ rebuild }) {
  const hash = hashOf(['lib', 'tsup.config.ts', 'tsconfig.json', 'package.json', 'package-lock.json']);
  const pages = ['page/annotate.js', 'page/report.js'];
  const names = ['index.js', 'index.cjs', 'index.d.ts', 'cli.js', ...pages];
  const outputs = names.map((name) => join(root, 'dist', name));
  if (!rebuild && outputs.every((path) => existsSync(path)) && readStamp('bundle') === hash) return;
  say('Bundling the TypeScript');
  const tsup = join(root, 'node_modules', 'tsup', 'dist', 'cli-default.js');
  await runLogged(process.execPath, [tsup], { log: 'bundle' });
  const absent = outputs.filter((path) => !existsSync(path));
  if (absent.length > 0) throw new SetupError(`The bundler ended without ${absent.join(', ')}.`);
  writeStamp('bundle', hash);
}
