// The peers live in a virtual environment of the repository's own, made once: a benchmark that measures whatever
// torch happens to be installed measures nothing that anybody could repeat.
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  capture,
  hashOf,
  readStamp,
  root,
  runLogged,
  SetupError,
  say,
  writeStamp,
} from '../setup/common.mjs';

const venv = join(root, '.venv');
const requirements = join('scripts', 'peers', 'requirements.txt');

/**
 * The Python that has the peers: MLIT_BENCH_PYTHON where it is set, else that of `.venv/`, made where it is missing
 * or of other versions. Some gigabytes and about two minutes the first time.
 * @returns {Promise<string>} path of the interpreter
 */
export async function ensurePeers() {
  const given = process.env.MLIT_BENCH_PYTHON;
  if (given) {
    if (capture(given, ['-c', 'import torch, transformers, peft']) !== undefined) return given;
    throw new SetupError(`MLIT_BENCH_PYTHON is ${given}, which cannot import torch, transformers and peft.`);
  }
  const python = join(venv, 'bin', 'python');
  const hash = hashOf([requirements], { extra: process.arch });
  if (existsSync(python) && readStamp('peers') === hash) return python;
  say('Installing the peers (torch, transformers, peft, trl) into .venv: some gigabytes, about two minutes');
  rmSync(venv, { recursive: true, force: true });
  await makeVenv();
  await pip(python, requirements, 'peers');
  writeStamp('peers', hash);
  return python;
}

/**
 * The same Python with llama.cpp in it. It comes as sources and is built for this processor, which takes many minutes, once, and is why it is
 * apart from the others.
 * @returns {Promise<{ python: string } | { reason: string }>}
 */
export async function ensureLlamaCpp() {
  const python = await ensurePeers();
  if (capture(python, ['-c', 'import llama_cpp']) !== undefined) return { python };
  if (process.env.MLIT_BENCH_PYTHON) return { reason: 'the Python of MLIT_BENCH_PYTHON has no llama_cpp' };
  say('Building llama.cpp into .venv: many minutes, once');
  try {
    const flags = `-DCMAKE_CXX_FLAGS=-include${join(root, 'scripts', 'peers', 'tile-config.h')}`;
    // Not from pip's cache: what it has may have been built without these flags.
    const env = { ...process.env, CMAKE_ARGS: flags, PIP_NO_CACHE_DIR: '1' };
    await pip(python, join('scripts', 'peers', 'llama-requirements.txt'), 'peers-llama', env);
    return { python };
  } catch (error) {
    return { reason: `llama.cpp could not be built: ${error.message.split('\n')[0]}` };
  }
}

/**
 * The same Python with ONNX Runtime GenAI and what writes its models.
 * @returns {Promise<{ python: string } | { reason: string }>}
 */
export async function ensureOrt() {
  const python = await ensurePeers();
  if (capture(python, ['-c', 'import onnx, onnxruntime_genai']) !== undefined) return { python };
  if (process.env.MLIT_BENCH_PYTHON)
    return { reason: 'the Python of MLIT_BENCH_PYTHON has no onnxruntime_genai' };
  say('Installing ONNX Runtime GenAI into .venv');
  try {
    await pip(python, join('scripts', 'peers', 'ort-requirements.txt'), 'peers-ort');
    return { python };
  } catch (error) {
    return { reason: `ONNX Runtime GenAI could not be installed: ${error.message.split('\n')[0]}` };
  }
}

const pip = (python, file, log, env = process.env) =>
  runLogged(python, ['-m', 'pip', 'install', '--disable-pip-version-check', '-r', file], {
    log,
    env,
    onLine: (line) => /^Collecting |^Installing |^Building /.test(line) && say(`  ${line.slice(0, 90)}`),
  });

async function makeVenv() {
  if (capture('python3', ['-c', 'import sys; print(sys.version_info >= (3, 10))']) !== 'True') {
    throw new SetupError('The peers need Python 3.10 or later as `python3`.');
  }
  try {
    await runLogged('python3', ['-m', 'venv', venv], { log: 'peers-venv' });
  } catch (error) {
    throw new SetupError(
      `${error.message}\n\nThe virtual environment could not be made; on Debian: apt-get install python3-venv`,
    );
  }
}
