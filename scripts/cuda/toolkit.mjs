// A CUDA compiler for machines that have none: the system's nvcc where it is new enough, else NVIDIA's wheels, fetched by pip at
// pinned versions and hashes into the user's cache, where all clones share them. No root, no card, no virtual environment.
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { capture, root, runLogged, SetupError, say } from '../setup/common.mjs';

/** The oldest system nvcc that is taken: the first that knows sm_100 and sm_120. */
export const oldestNvcc = [12, 8];

/** As lib/model/cache.ts has it. */
export function toolkitsDir(env = process.env) {
  const cache = env.MLIT_CACHE || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'mlit');
  return join(cache, 'cuda');
}

/** Release of an nvcc as [major, minor], or undefined where it does not run. */
export function nvccRelease(nvcc) {
  const match = /release (\d+)\.(\d+)/.exec(capture(nvcc, ['--version']) ?? '');
  return match ? [Number(match[1]), Number(match[2])] : undefined;
}

/** The first nvcc of CUDACXX, PATH, CUDA_HOME, CUDA_PATH and /usr/local/cuda that is new enough. */
export function systemNvcc(env = process.env) {
  const homes = [env.CUDA_HOME, env.CUDA_PATH, '/usr/local/cuda'].filter(Boolean);
  const onPath = (env.PATH ?? '').split(':').filter((folder) => folder !== '');
  const places = [
    ...(env.CUDACXX ? [env.CUDACXX] : []),
    ...onPath.map((folder) => join(folder, 'nvcc')),
    ...homes.map((home) => join(home, 'bin', 'nvcc')),
  ];
  return places.find((nvcc) => {
    const release = existsSync(nvcc) ? nvccRelease(nvcc) : undefined;
    return release && (release[0] - oldestNvcc[0] || release[1] - oldestNvcc[1]) >= 0;
  });
}

/** `{ line, name, hashes }` of each package in a file of requirements. */
function readRequirements(file) {
  const lines = readFileSync(join(root, 'scripts', 'cuda', file), 'utf8').split('\n');
  return lines
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({
      line,
      name: line.slice(0, line.indexOf('==')),
      hashes: [...line.matchAll(/--hash=sha256:(\w+)/g)].map((match) => match[1]),
    }));
}

async function sha256(file) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

/** The wheel of a package among those fetched before, if it is whole. */
async function fetched({ name, hashes }, folder) {
  const prefix = `${name.replaceAll('-', '_')}-`;
  for (const entry of readdirSync(folder).filter((each) => each.startsWith(prefix))) {
    if (hashes.includes(await sha256(join(folder, entry)))) return entry;
    rmSync(join(folder, entry));
  }
  return undefined;
}

const pip = (args, log) =>
  runLogged('python3', ['-m', 'pip', ...args, '--disable-pip-version-check', '--no-input'], {
    log,
    tail: 3,
    env: { ...process.env, PIP_ROOT_USER_ACTION: 'ignore' },
  });

/** Fetches one wheel at a time, so that an interrupted fetch goes on where it was. */
async function fetchWheels(requirements, folder) {
  mkdirSync(folder, { recursive: true });
  for (const [i, requirement] of requirements.entries()) {
    if (await fetched(requirement, folder)) continue;
    say(`  ${requirement.name} (${i + 1} of ${requirements.length})`);
    const one = join(folder, `${requirement.name}.txt`);
    await writeFile(one, `${requirement.line}\n`);
    const options = [
      '--no-deps',
      '--only-binary=:all:',
      '--require-hashes',
      '--retries',
      '1',
      '--timeout',
      '30',
    ];
    await pip(['download', ...options, '-d', folder, '-r', one], 'cuda-download');
    rmSync(one);
  }
}

/** Unpacks the wheels of a file of requirements into a folder of that file's own, once; returns it. */
async function ensureWheels(file, what) {
  const requirements = readRequirements(file);
  const content = requirements.map(({ line }) => line).join('\n');
  const hash = createHash('sha256').update(content).digest('hex').slice(0, 12);
  const folder = join(toolkitsDir(), `${file.replace(/\.txt$/, '')}-${hash}-${process.arch}`);
  if (existsSync(folder)) return folder;
  say(`Fetching ${what} into ${folder}`);
  const downloads = `${folder}.wheels`;
  const partial = `${folder}.partial-${process.pid}`;
  try {
    await fetchWheels(requirements, downloads);
    const list = join(downloads, 'all.txt');
    await writeFile(list, `${content}\n`);
    const options = [
      '--no-deps',
      '--no-compile',
      '--require-hashes',
      '--no-index',
      '--find-links',
      downloads,
    ];
    await pip(['install', ...options, '--target', partial, '-r', list], 'cuda-unpack');
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    throw new SetupError(`${what} could not be fetched: ${error.message}`);
  }
  try {
    await rename(partial, folder);
  } catch (error) {
    rmSync(partial, { recursive: true, force: true }); // another process was faster
    if (!existsSync(folder)) throw error;
  }
  rmSync(downloads, { recursive: true, force: true });
  return folder;
}

/**
 * The compiler to build the plug-in with.
 * @returns {Promise<{ nvcc: string, release: [number, number], from: 'system' | 'wheels' }>}
 */
export async function ensureCudaToolkit({ wheels = false } = {}) {
  const found = wheels ? undefined : systemNvcc();
  if (found) return { nvcc: found, release: nvccRelease(found), from: 'system' };
  const folder = await ensureWheels('requirements.txt', "NVIDIA's CUDA compiler (134 MB, 353 MiB unpacked)");
  const nvcc = join(folder, 'nvidia', 'cu13', 'bin', 'nvcc');
  const release = nvccRelease(nvcc);
  if (!release) throw new SetupError(`${nvcc} does not run here; remove ${folder} and try again.`);
  return { nvcc, release, from: 'wheels' };
}

/** cuBLASLt in the folder where the plug-in looks for it. */
export const ensureCublas = () => ensureWheels('cublas.txt', 'cuBLASLt (some hundred MB)');
