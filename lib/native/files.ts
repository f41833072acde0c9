// Files that are either whole or not there: every write of a run goes through here, so that a crash at any moment leaves the
// previous state readable.
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { MlitError } from './errors';

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full; make room and run the same again',
  EDQUOT: 'the disk quota is used up; make room and run the same again',
  EFBIG:
    'the file would be longer than this process may write (see ulimit -f); raise the limit and run the same again',
  EACCES: 'this user may not write there; change the rights of its folder, or name another place',
  EPERM: 'this user may not write there; change the rights of its folder, or name another place',
  EROFS: 'the file system is mounted read-only; name another place',
  ENOTDIR: 'a part of that path is a file; name another place',
  EISDIR: 'a folder has that name; remove it, or name another place',
  ENAMETOOLONG: 'the name is longer than the file system allows; name a shorter one',
};

/** Why the system refused to write, and what to do; what it said itself where that is all that is known. */
export function whyNotWritten(cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  const reason = code === undefined ? undefined : REASONS[code];
  return reason === undefined ? message : `${reason} (${code})`;
}

/** Writes by temporary name, fsync and rename, then syncs the folder. An iterable is written piece by piece. */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array | Iterable<string>,
): Promise<void> {
  const temporary = `${path}.tmp-${process.pid}-${randomBytes(4).toString('hex')}`;
  try {
    const file = await open(temporary, 'w');
    try {
      const pieces = typeof data === 'string' || data instanceof Uint8Array ? [data] : data;
      for (const piece of pieces) await file.writeFile(piece);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined); // what failed is told, not this
    throw new MlitError('FILE_IO', `cannot write ${path}: ${whyNotWritten(cause)}`, {
      fields: { file: path },
      cause,
    });
  }
}

/**
 * Makes a folder and those above it. Node's own recursive mkdir never comes back where the file system says that a parent
 * does not exist although it does, as below /proc.
 *
 * @throws MlitError `FILE_IO`
 */
export async function makeFolder(path: string): Promise<void> {
  const missing: string[] = [];
  try {
    for (let at = resolve(path); ; at = dirname(at)) {
      const found = await stat(at).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined;
        throw error;
      });
      if (found?.isDirectory()) break;
      if (found) throw new Error(`${at} is a file`);
      missing.push(at);
    }
    for (const folder of missing.reverse()) {
      await mkdir(folder).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
    }
  } catch (cause) {
    throw new MlitError('FILE_IO', `cannot make the folder ${path}: ${whyNotWritten(cause)}`, {
      fields: { file: path },
      cause,
    });
  }
}

/** Makes renames inside a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const HASHED_AT_ONCE = 1 << 18;

/** SHA-256 of a file's bytes, in hexadecimal. */
export async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256');
  const file = await open(path);
  try {
    // One buffer for all of it: a stream's are as many as the collector leaves lying about, beside a run that fills the memory.
    const buffer = Buffer.allocUnsafeSlow(HASHED_AT_ONCE);
    for (;;) {
      const { bytesRead } = await file.read(buffer);
      if (bytesRead === 0) return hash.digest('hex');
      hash.update(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}
