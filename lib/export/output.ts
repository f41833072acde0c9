// A model is written beside its final place and renamed there when everything is on disk: whatever happens on the way, a
// folder or file of the final name is whole.
import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { MlitError } from '../native/errors';
import { makeFolder, syncFolder, whyNotWritten } from '../native/files';
import { mayLive, thisProcess } from '../native/folder-lock';

/** @throws MlitError `RUN_INVALID` where `out` is there and no empty folder */
export async function checkOutputIsFree(out: string, kind: 'folder' | 'file'): Promise<void> {
  const info = await stat(out).catch(() => undefined);
  if (!info) return;
  if (kind === 'folder' && info.isDirectory() && (await readdir(out)).length === 0) return;
  const what = info.isDirectory()
    ? kind === 'folder'
      ? 'a folder with something in it'
      : 'a folder'
    : 'a file';
  throw new MlitError(
    'RUN_INVALID',
    `${out} is ${what} already; nothing is overwritten: name another place`,
    {
      fields: { file: out, expected: kind === 'folder' ? 'nothing, or an empty folder' : 'nothing' },
    },
  );
}

/**
 * Runs `write` on a new folder beside `out`, then makes that `out`, which must be absent or empty. When `write` fails the
 * folder goes; what a killed process of this machine left goes with the next export to the same place.
 *
 * @throws MlitError `RUN_INVALID`, `FILE_IO`, and what `write` throws
 */
export async function writeFolderAtomic<T>(out: string, write: (folder: string) => Promise<T>): Promise<T> {
  await checkOutputIsFree(out, 'folder');
  return besideThen(out, write, async (folder) => {
    for (const name of await readdir(folder)) await syncFile(join(folder, name));
    await syncFolder(folder);
    return folder;
  });
}

/**
 * As {@link writeFolderAtomic}, for one file: `write` gets the path to write to.
 *
 * @throws MlitError `RUN_INVALID`, `FILE_IO`, and what `write` throws
 */
export async function writeOneFileAtomic<T>(out: string, write: (file: string) => Promise<T>): Promise<T> {
  const within = (folder: string): string => join(folder, basename(resolve(out)));
  return besideThen(
    out,
    (folder) => write(within(folder)),
    async (folder) => within(folder),
  );
}

async function besideThen<T>(
  out: string,
  write: (folder: string) => Promise<T>,
  finished: (folder: string) => Promise<string>,
): Promise<T> {
  const path = resolve(out);
  const parent = dirname(path);
  const failed = (doing: string) => (cause: Error) => {
    throw new MlitError('FILE_IO', `${doing} ${out} failed: ${whyNotWritten(cause)}`, {
      fields: { file: out },
      cause,
    });
  };
  await makeFolder(parent);
  await removeAbandoned(parent, basename(path));
  const { pid, started, host } = thisProcess();
  const temporary = join(
    parent,
    `.${basename(path)}.tmp-${plain(host)}-${pid}-${started ?? ''}-${randomUUID().slice(0, 8)}`,
  );
  try {
    await mkdir(temporary).catch(failed('making'));
    const result = await write(temporary);
    await rename(await finished(temporary), path).catch(failed('renaming what was finished to'));
    await syncFolder(parent);
    return result;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** Removes what exports to the same place left whose process, on this machine, has ended. */
async function removeAbandoned(parent: string, target: string): Promise<void> {
  const { host } = thisProcess();
  const start = `.${target}.tmp-${plain(host)}-`;
  for (const name of await readdir(parent)) {
    const [, pid, started] =
      (name.startsWith(start) && /^(\d+)-(\d*)-[0-9a-f]{8}$/.exec(name.slice(start.length))) || [];
    if (pid === undefined) continue;
    const owner = { pid: Number(pid), host, ...(started !== '' && { started: Number(started) }) };
    if (!mayLive(owner)) await rm(join(parent, name), { recursive: true, force: true });
  }
}

function plain(host: string): string {
  return host.replace(/[^\w.]/g, '_');
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
