// Names of files that a process fills beside those they become. They say whose they are, so that what a killed process left
// behind is told from what a living one is writing, also in a cache that machines share.

import { randomUUID } from 'node:crypto';
import { lstat, readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { mayLive, thisProcess } from '../../native/folder-lock';

/** A writer on another machine that has been silent for so long is taken for dead. */
const STALE_MS = 600_000;
/** `.mlit-HOST-PID-START-NONCE`; what ends in the nonce alone names nobody. */
const OWN_NAME = /\.mlit-(?:(.*)-(\d+)-(\d*)-)?[0-9a-f]{8}$/;

/** A name beside `path` that no other process uses. */
export function ownName(path: string): string {
  const { pid, started, host } = thisProcess();
  return `${path}.mlit-${plain(host)}-${pid}-${started ?? ''}-${randomUUID().slice(0, 8)}`;
}

/** Whether a file's name is one of {@link ownName}'s. */
export function isOwnName(path: string): boolean {
  return OWN_NAME.test(basename(path));
}

/** Whether nobody writes to a file of such a name any more. */
export async function isAbandoned(path: string): Promise<boolean> {
  const [, owner, pid, started] = OWN_NAME.exec(basename(path)) ?? [];
  const { host } = thisProcess();
  if (owner === plain(host))
    return !mayLive({ pid: Number(pid), host, ...(started !== '' && { started: Number(started) }) });
  const info = await lstat(path).catch(() => undefined);
  return info !== undefined && Date.now() - info.mtimeMs > STALE_MS;
}

/** Removes what killed processes left in a folder, and below it where `recursive` says so. */
export async function removeAbandoned(folder: string, options: { recursive: boolean }): Promise<void> {
  const entries = await readdir(folder, { ...options, withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isDirectory() && isOwnName(path) && (await isAbandoned(path))) await rm(path, { force: true });
  }
}

function plain(host: string): string {
  return host.replace(/[^\w.]/g, '_');
}
