// A model is written beside its final place and renamed there when everything is on disk: whatever happens on the way, a
// folder or file of the final name is whole.
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { MlitError } from '../native/errors';
import { makeFolder, syncFolder } from '../native/files';

/** @throws MlitError `FILE_IO` where `out` is there and no empty folder */
export async function checkOutputIsFree(out: string, kind: 'folder' | 'file'): Promise<void> {
  const info = await stat(out).catch(() => undefined);
  if (!info) return;
  if (kind === 'folder' && info.isDirectory() && (await readdir(out)).length === 0) return;
  const what = info.isDirectory()
    ? kind === 'folder'
      ? 'a folder with something in it'
      : 'a folder'
    : 'a file';
  throw new MlitError('FILE_IO', `${out} is ${what} already; nothing is overwritten: name another place`, {
    fields: { file: out, expected: kind === 'folder' ? 'nothing, or an empty folder' : 'nothing' },
  });
}

/**
 * Runs `write` on a new folder beside `out`, then makes that `out`, which must be absent or empty. When `write` fails the
 * folder goes; a process that is killed leaves one called `.NAME.tmp-PID`, which may be deleted.
 *
 * @throws MlitError `FILE_IO`, and what `write` throws
 */
export async function writeFolderAtomic<T>(out: string, write: (folder: string) => Promise<T>): Promise<T> {
  await checkOutputIsFree(out, 'folder');
  const path = resolve(out);
  const parent = dirname(path);
  const temporary = join(parent, `.${basename(path)}.tmp-${process.pid}`);
  const failed = (doing: string) => (cause: Error) => {
    throw new MlitError('FILE_IO', `${doing} ${out} failed: ${cause.message}`, {
      fields: { file: out },
      cause,
    });
  };
  await makeFolder(parent);
  await rm(temporary, { recursive: true, force: true });
  try {
    await mkdir(temporary).catch(failed('making'));
    const result = await write(temporary);
    for (const name of await readdir(temporary)) await syncFile(join(temporary, name));
    await syncFolder(temporary);
    await rename(temporary, path).catch(failed('renaming the finished folder to'));
    await syncFolder(parent);
    return result;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
