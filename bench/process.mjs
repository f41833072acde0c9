// Every contestant runs in a process of its own, so that its memory is its own, and says its result in one JSON line.
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { root } from '../scripts/setup/common.mjs';

/** The environment without what would tune one of the contestants' libraries by hand. */
function plainEnvironment(threads) {
  const env = { ...process.env, OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads) };
  env.TQDM_DISABLE = '1'; // progress bars would bury the reason of a failure
  for (const name of Object.keys(env))
    if (/^(OPENBLAS|GOTO|KMP|GOMP|MKL_(?!NUM_THREADS))/.test(name)) delete env[name];
  return env;
}

/**
 * Runs a contestant to its end.
 * @returns {Promise<object>} what it printed; `{ failed }` with a reason where it did not come to print it
 */
export function contest(command, args, { threads, timeoutSeconds = 3600 }) {
  return new Promise((resolve) => {
    const child = spawn(command, args.map(String), {
      cwd: root,
      env: plainEnvironment(threads),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutSeconds * 1000);
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (errors = `${errors}${chunk}`.slice(-4000)));
    child.on('error', (error) => resolve({ failed: error.message }));
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const line = output.trim().split('\n').at(-1) ?? '';
      if (code === 0 && line.startsWith('{')) return resolve({ ...JSON.parse(line), load: loadavg()[0] });
      if (signal === 'SIGKILL') return resolve({ failed: 'killed: out of memory, or over its time' });
      resolve({ failed: reasonOf(errors) ?? `exit status ${code}` });
    });
  });
}

/** The line that says what went wrong (Python's last one, Node's in front of its stack), without the folders of this machine. */
export function reasonOf(errors) {
  const lines = errors.trim().split('\n');
  const named = lines.findLast((line) => /^\w*Error\b.*: /.test(line));
  const line = named ?? lines.findLast((each) => each !== '' && !each.startsWith('Node.js v'));
  return line?.replace(/(?<![\w.])(?:\/[\w.@+-]+)+\/(?=[\w.@+-])/g, '').trim();
}

export const contestantPath = (name) => join(root, 'bench', 'contestants', name);
export const peerPath = (name) => join(root, 'scripts', 'peers', name);

/** Largest resident memory of this process so far, or since {@link resetPeak}; in bytes. */
export function peakBytes() {
  const match = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return match ? Number(match[1]) * 1024 : undefined;
}

/** Counts the peak again from now on; false where the kernel does not offer it. */
export function resetPeak() {
  try {
    writeFileSync('/proc/self/clear_refs', '5');
    return true;
  } catch {
    return false;
  }
}

/** Bytes that a new process may take without anything being pushed out. */
export function availableBytes() {
  const match = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'));
  return match ? Number(match[1]) * 1024 : Number.POSITIVE_INFINITY;
}
