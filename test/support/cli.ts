// Runs the command line as a user's shell does, in a process of its own.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { root } from './fixtures';

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** `closeStdoutAfter`, `closeStderrAfter`: the reader goes away after so many characters, as `head` does. */
export function mlit(
  args: readonly string[],
  options: { cwd: string; input?: string; closeStdoutAfter?: number; closeStderrAfter?: number },
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(root, 'bin', 'mlit.mjs'), ...args], { cwd: options.cwd });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk;
      if (stdout.length >= (options.closeStdoutAfter ?? Number.POSITIVE_INFINITY)) child.stdout.destroy();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk;
      if (stderr.length >= (options.closeStderrAfter ?? Number.POSITIVE_INFINITY)) child.stderr.destroy();
    });
    child.stdin.end(options.input ?? '');
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}
