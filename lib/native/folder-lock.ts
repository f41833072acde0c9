// One process at a time writes to a folder: run.lock in it names who. A process that was killed leaves its lock behind, and
// several may find it at once; exactly one of them takes it over.
//
// A claim is a hard link, which the file system gives to one process only. The claim on a dead owner's lock has a name that
// is made from that owner's entry, so each entry has at most one successor: run.lock and the claims after it form a chain,
// and the last entry of the chain is the owner. A new owner renames its claim over run.lock, which ends the chain.
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { link, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { MlitError } from './errors';
import { whyNotWritten } from './files';

export const LOCK_FILE = 'run.lock';

/** Who holds a lock, as written into it. */
export interface LockOwner {
  pid: number;
  /** When the process began, in clock ticks since the machine did; tells it from a later one of the same number. */
  started?: number | undefined;
  host: string;
}

export class FolderLock {
  readonly #file: string;
  readonly #entry: string;

  /** Whose lock it was before, where its process had ended without giving it back. */
  readonly takenFrom: string | undefined;

  private constructor(file: string, entry: string, takenFrom: string | undefined) {
    this.#file = file;
    this.#entry = entry;
    this.takenFrom = takenFrom;
  }

  /**
   * Locks a folder that exists.
   *
   * @param name of the lock's file, where it is not the folder that is held but one file in it
   * @param code what is thrown when a living process, or one of another host, holds it; the message names the holder
   * @throws MlitError `code`, `FILE_IO`
   */
  static async acquire(
    folder: string,
    code: 'RUN_LOCKED' | 'STORE_LOCKED',
    name: string = LOCK_FILE,
  ): Promise<FolderLock> {
    const file = join(folder, name);
    const nonce = randomUUID();
    const entry = JSON.stringify({ ...thisProcess(), nonce });
    const own = `${file}.tmp-${process.pid}-${nonce}`;
    try {
      const { holder, deceased } = await contend(file, own, entry);
      if (holder === undefined)
        return new FolderLock(file, entry, deceased === undefined ? undefined : describe(deceased));
      throw new MlitError(
        code,
        `${folder} is in use by another process (${describe(holder)}); if that is gone, remove ${name}`,
        { fields: { file, holder } },
      );
    } catch (cause) {
      if (cause instanceof MlitError) throw cause;
      throw new MlitError('FILE_IO', `cannot write ${file}: ${whyNotWritten(cause)}`, {
        fields: { file },
        cause,
      });
    } finally {
      await rm(own, { force: true });
    }
  }

  /** Lets another process in. Leaves alone a lock that a person removed and another process made anew. Idempotent. */
  async release(): Promise<void> {
    const held = await readFile(this.#file, 'utf8').catch(() => undefined);
    if (held === this.#entry) await rm(this.#file, { force: true });
  }
}

/** Without `holder`, the entry of a living one, `own` has become the lock; `deceased` is the entry that it took the place of. */
async function contend(
  file: string,
  own: string,
  entry: string,
): Promise<{ holder?: string; deceased?: string }> {
  for (let waited = 0; ; ) {
    if (await claim(own, file, entry)) return {};
    const first = await readEntry(file);
    if (first === undefined) continue;
    // Made by a file system without hard links, and its name not yet written.
    if (first.text === '' && waited++ < 20) {
      await setTimeout(50);
      continue;
    }
    let last: Entry | undefined = first;
    while (last !== undefined && isStale(last.text)) {
      const successor = `${file}.tmp-after-${last.key}`;
      if (!(await claim(own, successor, entry))) {
        last = await readEntry(successor);
        continue;
      }
      // Another may have ended the chain meanwhile, and its claims are gone: then this one means nothing.
      if ((await readEntry(file))?.key !== first.key) {
        await rm(successor, { force: true });
        break;
      }
      await rename(successor, file);
      await sweep(file);
      return { deceased: last.text };
    }
    if (last !== undefined && !isStale(last.text)) return { holder: last.text };
  }
}

/** Makes `path` with this process's entry in it, unless there is one. */
async function claim(own: string, path: string, entry: string): Promise<boolean> {
  try {
    await writeFile(own, entry);
    await link(own, path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    // An owner who has just got in removed `own` as a leftover.
    if (code === 'ENOENT' && (await stat(dirname(path)).catch(() => undefined))) return false;
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(code ?? '')) throw error;
  }
  try {
    const made = await open(path, 'wx');
    await made.writeFile(entry);
    await made.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

interface Entry {
  text: string;
  /** One for each entry ever made, also where the text is not ours. */
  key: string;
}

async function readEntry(path: string): Promise<Entry | undefined> {
  try {
    const handle = await open(path, 'r');
    try {
      const text = await handle.readFile('utf8');
      const { ino, mtimeMs } = await handle.stat();
      const key = createHash('sha256').update(`${ino} ${mtimeMs} ${text}`).digest('hex').slice(0, 32);
      return { text, key };
    } finally {
      await handle.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Removes what dead contenders left. */
async function sweep(file: string): Promise<void> {
  for (const name of await readdir(dirname(file))) {
    if (!name.startsWith(`${basename(file)}.tmp-`)) continue;
    const path = join(dirname(file), name);
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (text !== undefined && text !== '' && isStale(text)) await rm(path, { force: true });
  }
}

function describe(holder: string): string {
  try {
    const { pid, started, host } = JSON.parse(holder) as LockOwner;
    return JSON.stringify({ pid, started, host });
  } catch {
    return 'unnamed';
  }
}

/** A line for people: the process that worked here before was killed. */
export function takeoverNote(folder: string, { takenFrom }: FolderLock): string | undefined {
  if (takenFrom === undefined) return undefined;
  return `${folder}: the process that worked here before (${takenFrom}) ended without giving its ${LOCK_FILE} back; it is taken over`;
}

/** This process, as a lock names it. */
export function thisProcess(): LockOwner {
  return { pid: process.pid, started: startOf(process.pid), host: hostname() };
}

/** False only where it is certain: a process of this host that has ended, even if another one has its number now. */
export function mayLive(owner: LockOwner): boolean {
  if (owner.host !== hostname()) return true;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
  return owner.started === undefined || startOf(owner.pid) === owner.started;
}

/** A lock of this host whose process is gone, or a text that is no lock's. */
function isStale(entry: string): boolean {
  try {
    return !mayLive(JSON.parse(entry) as LockOwner);
  } catch {
    return true;
  }
}

/** When a process began, in clock ticks since the machine did (field 22 of /proc/PID/stat). */
function startOf(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[19]);
  } catch {
    return undefined;
  }
}
