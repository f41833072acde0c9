// The files of one job's folder: made durable and named by content before the job counts as finished, compared later.
import { open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256File, syncFolder } from '../../native/files';
import { LOCK_FILE } from '../../native/folder-lock';
import type { FinishedJob, OutputFile } from './types';

/** The job's own line, kept in its folder: a folder that lost its line in a crash is taken back by it. */
export const JOB_FILE = 'job.json';

/** Syncs every file and folder and gives back size and SHA-256 by path. Removes locks and temporary files. */
export async function sealOutputs(folder: string): Promise<Record<string, OutputFile>> {
  const outputs: Record<string, OutputFile> = {};
  const visit = async (prefix: string): Promise<void> => {
    const entries = await readdir(join(folder, prefix), { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const name = `${prefix}${entry.name}`;
      const path = join(folder, name);
      if (name === JOB_FILE || entry.name === LOCK_FILE || entry.name.includes('.tmp-')) {
        await rm(path, { recursive: true, force: true });
      } else if (entry.isDirectory()) {
        await visit(`${name}/`);
      } else if (entry.isFile()) {
        const file = await open(path, 'r');
        try {
          await file.sync();
        } finally {
          await file.close();
        }
        outputs[name] = { bytes: (await stat(path)).size, sha256: await sha256File(path) };
      } else {
        throw new Error(`${path} is neither a file nor a folder: a job's outputs are files`);
      }
    }
    await syncFolder(join(folder, prefix));
  };
  await visit('');
  return outputs;
}

/** What is wrong with a job's files; undefined where they are as they were. `deep`: reads them, else sizes only. */
export async function findChange(
  folder: string,
  outputs: FinishedJob['outputs'],
  deep: boolean,
): Promise<string | undefined> {
  for (const [name, { bytes, sha256 }] of Object.entries(outputs)) {
    const path = join(folder, name);
    const info = await stat(path).catch(() => undefined);
    if (!info?.isFile()) return `${path} is missing`;
    if (info.size !== bytes) return `${path} has ${info.size} bytes, not ${bytes}`;
    if (deep && (await sha256File(path)) !== sha256)
      return `${path} has other contents than when it was written`;
  }
  if (await stat(folder).catch(() => undefined)) return undefined;
  return `${folder} is missing`;
}
