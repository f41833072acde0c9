// Runs the command line as a user would, for examples that are made of commands.
import { spawn } from 'node:child_process';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * One mlit command; progress, and where `quiet` is not set results too, go to the terminal.
 * @returns the exit code; 130 or 143 where a signal ended it
 */
export function mlit(args, { quiet = false } = {}) {
  const shown = args.map((arg) => (arg.startsWith(root) ? relative(process.cwd(), arg) : arg));
  process.stderr.write(`\n$ mlit ${shown.join(' ')}\n`);
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, 'bin', 'mlit.mjs'), ...args], {
      stdio: ['ignore', quiet ? 'ignore' : 'inherit', 'inherit'],
    });
    // A terminal's Ctrl-C reaches the command itself, which stops in order; this process waits for it.
    const wait = () => {};
    const pass = () => child.kill('SIGTERM');
    process.on('SIGINT', wait).on('SIGTERM', pass);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      process.off('SIGINT', wait).off('SIGTERM', pass);
      resolve(code ?? (signal === 'SIGINT' ? 130 : 143));
    });
  });
}
