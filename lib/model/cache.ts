// Where fetched models live: one folder of the user's, outside any project, whose files are complete, verified
// and read-only, because a mapped model that changes under a running process ends it.

import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { homedir, hostname } from 'node:os';
import { join } from 'node:path';
import { makeFolder } from '../native/files';

/** The folder of this library's cache: `MLIT_CACHE`, else `$XDG_CACHE_HOME/mlit`, else `~/.cache/mlit`. */
export function cacheDir(env: NodeJS.ProcessEnv = process.env): string {
  if (env.MLIT_CACHE) return env.MLIT_CACHE;
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'mlit');
}

/** The folder of fetched models. */
export function modelsDir(env: NodeJS.ProcessEnv = process.env): string {
  return join(cacheDir(env), 'models');
}

const partialPrefix = '.partial-';
const here = hostname().replace(/[^\w.]/g, '_');

/**
 * Runs `work` with a folder of its own beside the models (so that a rename out of it is atomic), and removes the
 * folder whatever happens. Folders that a killed process of this machine left behind are removed as well.
 */
export async function withPartialDir<T>(models: string, work: (folder: string) => Promise<T>): Promise<T> {
  await makeFolder(models);
  for (const name of await readdir(models)) {
    if (isAbandoned(name)) await rm(join(models, name), { recursive: true, force: true });
  }
  const name = `${partialPrefix}${here}-${process.pid}-${randomBytes(4).toString('hex')}`;
  const folder = join(models, name);
  await mkdir(folder);
  try {
    return await work(folder);
  } finally {
    // Retries, because a child process that was just told to end may still be writing there.
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  }
}

function isAbandoned(name: string): boolean {
  const start = `${partialPrefix}${here}-`;
  if (!name.startsWith(start)) return false;
  const pid = Number(name.slice(start.length).split('-')[0]);
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}
