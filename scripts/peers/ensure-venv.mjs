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
    if (capture(given, ['-c', 'import torch, transformers, peft, gguf']) !== undefined) return given;
    throw new SetupError(
      `MLIT_BENCH_PYTHON is ${given}, which cannot import torch, transformers, peft and gguf.`,
    );
  }
  const python = join(venv, 'bin', 'python');
  const hash = hashOf([requirements], { extra: process.arch });
  if (existsSync(python) && readStamp('peers') === hash) return python;
  say('Installing the peers (torch, transformers, peft, gguf) into .venv: some gigabytes, about two minutes');
  rmSync(venv, { recursive: true, force: true });
  await makeVenv();
  await runLogged(python, ['-m', 'pip', 'install', '--disable-pip-version-check', '-r', requirements], {
    log: 'peers',
    onLine: (line) => /^Collecting |^Installing /.test(line) && say(`  ${line.slice(0, 90)}`),
  });
  writeStamp('peers', hash);
  return python;
}

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
