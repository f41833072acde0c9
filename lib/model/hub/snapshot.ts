// Files of a repository on a hub, in the hub's own cache and in the layout that Python's client uses: what either has fetched,
// the other finds. A file is linked into a snapshot when it is whole; a branch is noted as standing at a commit when all that
// was wanted of it is there.

import { copyFile, open, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { getHFHubCachePath, type ListFileEntry } from '@huggingface/hub';
import { MlitError } from '../../native/errors';
import { makeFolder, syncFolder, whyNotWritten } from '../../native/files';
import { shown } from '../../native/untrusted';
import { HubClient, type HubKind, isOffline } from './client';
import { isOwnName, ownName, removeAbandoned } from './own-file';
import { type HubReference, isCommit } from './reference';
import { fetchBlob, reasonOf } from './transfer';

/** Characters of a file's path. */
const LONGEST_PATH = 1024;

/** How far a fetch from a hub is. */
export interface HubProgress {
  /** The file under way. */
  file: string;
  doneBytes: number;
  totalBytes: number;
}

/** What a fetch from a hub tells, and what ends it. */
export interface HubOptions {
  signal?: AbortSignal | undefined;
  /** One line a person should read: what is fetched, or why the cache is used. */
  onNote?: ((note: string) => void) | undefined;
  /** Called as bytes arrive; never where all is there. */
  onFetch?: ((progress: HubProgress) => void) | undefined;
}

export interface Snapshot {
  /** The commit that the revision stood at. */
  commit: string;
  /** Where its files lie. */
  folder: string;
  /** Those that were wanted, by their paths in it. */
  paths: string[];
}

/**
 * Which of a repository's files are wanted. `read` gives the text of one (it is fetched), for choices that depend on it.
 * Throws where what is wanted is not among them.
 */
export type Choice = (
  paths: readonly string[],
  read: (path: string) => Promise<string>,
) => Promise<string[]> | string[];

/**
 * Fetches what is wanted and not in the cache. Honours HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE and HF_HUB_OFFLINE. Where
 * the hub can't be reached, or no longer has the very commit that is asked for, the cache is used if it has all of it.
 *
 * @param name what messages call it
 * @throws MlitError `DOWNLOAD_FAILED`, `CHECKSUM_MISMATCH`, `FILE_IO`, what `choose` throws; the signal's reason
 */
export async function fetchSnapshot(
  kind: HubKind,
  name: string,
  { repo, revision }: HubReference,
  choose: Choice,
  options: HubOptions = {},
): Promise<Snapshot> {
  const { signal, onNote } = options;
  const cache = join(getHFHubCachePath(), `${kind}s--${repo.replaceAll('/', '--')}`);
  const local = async (why: string, cause?: unknown): Promise<Snapshot> => {
    const found = await cachedSnapshot(cache, revision);
    if (found === undefined)
      throw new MlitError(
        'DOWNLOAD_FAILED',
        `${name}: ${why}, and the cache (${cache}) has no revision ${revision} of it`,
        { fields: { name, file: cache }, cause },
      );
    const { commit, folder } = found;
    const paths = await (async () =>
      choose(await filesUnder(folder), (path) => readFile(join(folder, path), 'utf8')))().catch((error) => {
      if (!(error instanceof MlitError)) throw error;
      const { code, message, fields } = error;
      throw new MlitError(code, `${message} (${why}: only what is in the cache, ${folder}, is seen)`, {
        fields,
        cause: error,
      });
    });
    onNote?.(`${name}: ${why}; read from the cache`);
    return { commit, folder, paths };
  };
  if (isOffline()) return local('HF_HUB_OFFLINE is set');

  const client = await HubClient.create({ kind, repo, name, signal, onNote });
  let commit: string;
  let entries: ListFileEntry[];
  try {
    commit = isCommit(revision) ? revision : await client.commitOf(revision);
    entries = await client.list(commit);
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof MlitError))
      return local(`the hub can't be reached (${reasonOf(error as Error)})`, error);
    if (!isCommit(revision) || (await cachedSnapshot(cache, revision)) === undefined) throw error;
    const { status } = error.fields;
    if (status === undefined) return local('the hub gives no list of files that ends', error);
    return local(`the hub gives this commit no more (HTTP ${status})`, error);
  }

  for (const entry of entries) requirePlain(name, entry);
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  const folder = join(cache, 'snapshots', commit);
  await removeAbandoned(cache, { recursive: false });
  await removeAbandoned(join(cache, 'snapshots'), { recursive: true });
  const fetchAll = (paths: readonly string[]): Promise<void> =>
    fetchMissing(
      paths.map((path) => byPath.get(path)!),
      { client, commit, cache, folder, name },
      options,
    );
  const paths = await choose([...byPath.keys()], async (path) => {
    await fetchAll([path]);
    return readFile(join(folder, path), 'utf8');
  });
  await fetchAll(paths);
  if (!isCommit(revision)) await noteRef(cache, revision, commit);
  return { commit, folder, paths };
}

/** What the network gives becomes names and sizes of files below the cache, and nowhere else. */
function requirePlain(name: string, { path, size }: { path: unknown; size: unknown }): void {
  const isInside =
    typeof path === 'string' &&
    path.length <= LONGEST_PATH &&
    !path.includes('\0') &&
    path.split('/').every((part) => !['', '.', '..'].includes(part));
  if (isInside && Number.isSafeInteger(size) && Number(size) >= 0) return;
  const problem = isInside ? `${shown(path)} with the size ${shown(size)}` : `a file called ${shown(path)}`;
  throw new MlitError(
    'DOWNLOAD_FAILED',
    `${name}: the hub lists ${problem}; expected a path inside the repository and a number of bytes. Nothing of it was fetched: see that HF_ENDPOINT is a hub you trust`,
    { fields: { name, file: shown(path) } },
  );
}

interface Place {
  client: HubClient;
  commit: string;
  cache: string;
  folder: string;
  name: string;
}

async function fetchMissing(
  entries: readonly ListFileEntry[],
  { client, commit, cache, folder, name }: Place,
  { signal, onNote, onFetch }: HubOptions,
): Promise<void> {
  const missing: ListFileEntry[] = [];
  for (const entry of entries) {
    const info = await stat(join(folder, entry.path)).catch(() => undefined);
    if (info?.size !== entry.size) missing.push(entry);
  }
  const totalBytes = missing.reduce((sum, { size }) => sum + size, 0);
  if (missing.length > 0)
    onNote?.(
      `${name}: fetching ${missing.length === 1 ? missing[0]!.path : `${missing.length} files`}, ${(totalBytes / 2 ** 20).toFixed(1)} MiB`,
    );
  let before = 0;
  for (const entry of missing) {
    const blob = await fetchBlob({
      client,
      entry,
      commit,
      blobs: join(cache, 'blobs'),
      name: `${name}: ${entry.path}`,
      signal,
      onBytes: (bytes) => onFetch?.({ file: entry.path, doneBytes: before + bytes, totalBytes }),
    });
    await linkInto(join(folder, entry.path), blob);
    before += entry.size;
  }
}

/** Written elsewhere first: whatever is in refs/ is a revision to others. */
async function noteRef(cache: string, revision: string, commit: string): Promise<void> {
  const ref = join(cache, 'refs', revision);
  if ((await readFile(ref, 'utf8').catch(() => '')) === commit) return;
  const own = ownName(join(cache, '.ref'));
  try {
    await makeFolder(dirname(ref));
    const file = await open(own, 'wx');
    try {
      await file.writeFile(commit);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(own, ref);
    await syncFolder(dirname(ref));
  } catch (cause) {
    if (cause instanceof MlitError) throw cause;
    throw new MlitError('FILE_IO', `cannot write ${ref}: ${whyNotWritten(cause)}`, {
      fields: { file: ref },
      cause,
    });
  } finally {
    await rm(own, { force: true });
  }
}

/** A relative link under the file's name, put there by one rename; the file itself where links are not allowed. */
async function linkInto(target: string, blob: string): Promise<void> {
  await makeFolder(dirname(target));
  const own = ownName(target);
  try {
    await symlink(relative(dirname(target), blob), own).catch(() => copyFile(blob, own));
    await rename(own, target);
  } finally {
    await rm(own, { force: true });
  }
}

async function cachedSnapshot(
  cache: string,
  revision: string,
): Promise<{ commit: string; folder: string } | undefined> {
  const commit = isCommit(revision)
    ? revision
    : (await readFile(join(cache, 'refs', revision), 'utf8').catch(() => '')).trim();
  const folder = join(cache, 'snapshots', commit);
  if (!isCommit(commit) || (await stat(folder).catch(() => undefined)) === undefined) return undefined;
  return { commit, folder };
}

/** Files below a folder whose content is there; a link to nothing is not, nor a name that was never given. */
async function filesUnder(folder: string): Promise<string[]> {
  const paths: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (isOwnName(path)) continue;
    if ((await stat(path).catch(() => undefined))?.isFile()) paths.push(relative(folder, path));
  }
  return paths;
}
