// Data sets on a Hugging Face hub: `hf:owner/name@revision:path`. Files are fetched once into the hub's own cache, in the
// layout that Python's client uses, whole and verified; what is there is read without a network.

import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import {
  datasetInfo,
  downloadFile,
  getHFHubCachePath,
  type ListFileEntry,
  listFiles,
} from '@huggingface/hub';
import { withPartialDir } from '../model/cache';
import { MlitError } from '../native/errors';
import { writeFileAtomic } from '../native/files';
import { globToRegExp, isGlob } from './glob';

export interface HubReference {
  /** `owner/name`. */
  repo: string;
  /** A branch, a tag or a commit. Default `main`. */
  revision: string;
  /** A path or a pattern in it; absent where the data set has one data file only. */
  path?: string;
}

export interface HubOptions {
  signal?: AbortSignal | undefined;
  onNote?: ((note: string) => void) | undefined;
}

export interface HubFile {
  /** `hf:owner/name@revision:path`, for messages. */
  name: string;
  /** Where it lies on this machine. */
  path: string;
}

const DATA_FILE = /\.(parquet|(jsonl|ndjson|json|csv|tsv)(\.gz)?)$/i;
/** Descriptions of a data set that are no records. */
const NO_RECORDS = /(^|\/)(dataset_infos?|dataset_dict|state|metadata)\.json$/i;
const COMMIT = /^[0-9a-f]{40}$/;
const TRUTHY = /^(?:1|true|yes|on)$/i;
const IDLE_MS = 20_000;

/** @throws RangeError for what is no `hf:owner/name[@revision][:path]` */
export function parseHubReference(name: string): HubReference {
  const [, repo, revision, path] =
    /^hf:([\w-][\w.-]*(?:\/[\w-][\w.-]*)?)(?:@([^:\s]+))?(?::(.+))?$/.exec(name) ?? [];
  const escapes = [revision, path].some((part) => part?.split('/').includes('..'));
  if (repo === undefined || escapes)
    throw new RangeError(`data: expected hf:owner/name[@revision][:path or pattern], got '${name}'`);
  return {
    repo,
    revision: revision ?? 'main',
    ...(path !== undefined && { path: path.replace(/^\/+/, '') }),
  };
}

/**
 * The files of a data set that a reference names, fetched where they are not in the cache. Honours HF_ENDPOINT, HF_TOKEN,
 * HF_HOME (and HF_HUB_CACHE) and HF_HUB_OFFLINE; where the hub can't be reached, the cache is used if it has them.
 *
 * @throws MlitError `DOWNLOAD_FAILED`, `CHECKSUM_MISMATCH`, `FILE_NOT_FOUND`, `FILE_IO`; the signal's reason
 */
export async function fetchHubData(name: string, options: HubOptions = {}): Promise<HubFile[]> {
  const reference = parseHubReference(name);
  const { repo, revision } = reference;
  const folder = join(getHFHubCachePath(), `datasets--${repo.replaceAll('/', '--')}`);
  const named = (path: string): string => `hf:${repo}${revision === 'main' ? '' : `@${revision}`}:${path}`;
  const local = async (why: string): Promise<HubFile[]> => {
    const snapshot = await cachedSnapshot(folder, revision);
    if (snapshot === undefined)
      throw failed(`${name}: ${why}, and the cache (${folder}) has no revision ${revision} of it`, name);
    const paths = choose(await filesUnder(snapshot), reference, name);
    options.onNote?.(`${name}: ${why}; read from the cache`);
    return paths.map((path) => ({ name: named(path), path: join(snapshot, path) }));
  };
  if (TRUTHY.test(process.env.HF_HUB_OFFLINE ?? '')) return local('HF_HUB_OFFLINE is set');

  const hub = new Hub(repo, options.signal);
  let commit: string;
  let entries: ListFileEntry[];
  try {
    commit = COMMIT.test(revision) ? revision : await hub.commitOf(revision);
    entries = await hub.list(commit);
  } catch (cause) {
    options.signal?.throwIfAborted();
    if ('statusCode' in (cause as object)) throw refused(cause as Error & { statusCode: number }, name);
    return local(`the hub can't be reached (${(cause as Error).message})`);
  }
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  const found: HubFile[] = [];
  for (const path of choose([...byPath.keys()], reference, name)) {
    const target = join(folder, 'snapshots', commit, path);
    const entry = byPath.get(path)!;
    if ((await stat(target).catch(() => undefined))?.size !== entry.size) {
      options.onNote?.(`${named(path)}: fetching ${(entry.size / 2 ** 20).toFixed(1)} MiB`);
      await fetchFile(hub, entry, commit, folder, target).catch((cause) => {
        options.signal?.throwIfAborted();
        throw cause instanceof MlitError ? cause : transferFailed(cause, named(path));
      });
    }
    found.push({ name: named(path), path: target });
  }
  if (!COMMIT.test(revision)) {
    const ref = join(folder, 'refs', revision);
    await mkdir(dirname(ref), { recursive: true });
    await writeFileAtomic(ref, commit);
  }
  return found;
}

/** The hub's client with this process's address and token, and a clock against silence. */
class Hub {
  readonly #repo: string;
  readonly #common;
  /** Ends what is under way when nothing has come for a while. */
  readonly clock = new IdleClock();

  constructor(repo: string, signal: AbortSignal | undefined) {
    this.#repo = repo;
    const token = process.env.HF_TOKEN;
    const both = signal ? AbortSignal.any([signal, this.clock.signal]) : this.clock.signal;
    const timed: typeof fetch = (input, init) => fetch(input, { ...init, signal: both });
    this.#common = {
      hubUrl: (process.env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, ''),
      fetch: timed,
      ...(token ? { accessToken: token } : {}),
    };
  }

  commitOf(revision: string): Promise<string> {
    return this.clock.during(async () => {
      const info = await datasetInfo({
        ...this.#common,
        name: this.#repo,
        revision,
        additionalFields: ['sha'],
      });
      if (!COMMIT.test(info.sha)) throw new Error(`it names no commit of ${revision}`);
      return info.sha;
    });
  }

  list(commit: string): Promise<ListFileEntry[]> {
    return this.clock.during(async () => {
      const entries: ListFileEntry[] = [];
      const all = listFiles({ ...this.#common, repo: this.#designation, revision: commit, recursive: true });
      for await (const entry of all) {
        this.clock.wind();
        if (entry.type === 'file') entries.push(entry);
      }
      return entries;
    });
  }

  async open(path: string, commit: string): Promise<Blob> {
    const blob = await downloadFile({ ...this.#common, repo: this.#designation, path, revision: commit });
    if (blob === null) throw new Error('the file is listed, but not there');
    return blob;
  }

  get #designation(): { type: 'dataset'; name: string } {
    return { type: 'dataset', name: this.#repo };
  }
}

class IdleClock {
  readonly #control = new AbortController();
  readonly signal = this.#control.signal;
  #timer: NodeJS.Timeout | undefined;

  wind(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => this.#control.abort(new Error(`nothing came for ${IDLE_MS / 1000} s`)),
      IDLE_MS,
    );
  }

  async during<T>(work: () => Promise<T>): Promise<T> {
    this.wind();
    try {
      return await work();
    } finally {
      clearTimeout(this.#timer);
    }
  }
}

/** Into a file of its own beside the blobs, verified, renamed to the blob's name, then linked from the snapshot. */
async function fetchFile(
  hub: Hub,
  entry: ListFileEntry,
  commit: string,
  folder: string,
  target: string,
): Promise<void> {
  const blobs = join(folder, 'blobs');
  await mkdir(dirname(target), { recursive: true });
  await withPartialDir(blobs, async (partials) => {
    const partial = join(partials, 'blob');
    const digest = await hub.clock.during(async () => {
      const hash = createHash(entry.lfs ? 'sha256' : 'sha1');
      if (!entry.lfs) hash.update(`blob ${entry.size}\0`);
      const blob = await hub.open(entry.path, commit);
      await pipeline(
        Readable.fromWeb(blob.stream() as ReadableStream),
        async function* (chunks: AsyncIterable<Uint8Array>) {
          for await (const chunk of chunks) {
            hub.clock.wind();
            hash.update(chunk);
            yield chunk;
          }
        },
        createWriteStream(partial, { flags: 'wx' }),
      );
      return hash.digest('hex');
    });
    const expected = entry.lfs?.oid ?? entry.oid;
    if (expected !== undefined && digest !== expected) {
      throw new MlitError(
        'CHECKSUM_MISMATCH',
        `${entry.path}: the file that came is not the one the hub lists: hash ${digest}, expected ${expected}`,
        { fields: { file: entry.path, hash: digest, expected } },
      );
    }
    const blob = join(blobs, digest);
    await rename(partial, blob);
    await rm(target, { force: true });
    // Where links are not allowed, the file itself moves there.
    await symlink(relative(dirname(target), blob), target).catch(() => rename(blob, target));
  });
}

async function cachedSnapshot(folder: string, revision: string): Promise<string | undefined> {
  const commit = COMMIT.test(revision)
    ? revision
    : (await readFile(join(folder, 'refs', revision), 'utf8').catch(() => '')).trim();
  if (commit === '') return undefined;
  const snapshot = join(folder, 'snapshots', commit);
  return (await stat(snapshot).catch(() => undefined)) === undefined ? undefined : snapshot;
}

async function filesUnder(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}

/** A data set's files are often its splits, and training on its test set is no default. */
function choose(paths: readonly string[], { path, repo }: HubReference, name: string): string[] {
  const data = paths.filter((each) => DATA_FILE.test(each) && !NO_RECORDS.test(each)).sort();
  const list = `${data.slice(0, 8).join(', ')}${data.length > 8 ? `, … (${data.length} in all)` : ''}`;
  const notFound = (message: string): MlitError =>
    new MlitError('FILE_NOT_FOUND', `${name}: ${message}`, {
      fields: { file: name, found: data.slice(0, 8) },
    });
  if (path === undefined) {
    if (data.length === 1) return data;
    if (data.length === 0)
      throw notFound('the data set has no file of records (Parquet, JSONL, JSON, CSV, TSV)');
    throw notFound(`the data set has several files; name those meant, as hf:${repo}:${data[0]}: ${list}`);
  }
  const wanted = isGlob(path) ? globToRegExp(path) : undefined;
  const found = wanted
    ? data.filter((each) => wanted.test(each))
    : [...paths.filter((each) => each === path), ...data.filter((each) => each.startsWith(`${path}/`))];
  if (found.length === 0)
    throw notFound(`no file of the data set matches '${path}'; there are ${list || 'none'}`);
  return found;
}

function failed(message: string, name: string, cause?: unknown): MlitError {
  return new MlitError('DOWNLOAD_FAILED', message, { fields: { file: name }, cause });
}

function refused(cause: Error & { statusCode: number }, name: string): MlitError {
  const { statusCode } = cause;
  const advice =
    statusCode === 401 || statusCode === 403 || statusCode === 404
      ? 'there is no such data set or revision, or it is not open to all: then set HF_TOKEN to a token that may read it'
      : cause.message;
  return new MlitError('DOWNLOAD_FAILED', `${name}: HTTP ${statusCode} from the hub: ${advice}`, {
    fields: { file: name, status: statusCode },
    cause,
  });
}

function transferFailed(cause: NodeJS.ErrnoException, name: string): MlitError {
  const isDisk = /^(ENOSPC|EACCES|EROFS|EDQUOT|EIO|EPERM)$/.test(cause.code ?? '');
  if (!isDisk) return failed(`${name}: ${cause.message}`, name, cause);
  return new MlitError('FILE_IO', `${name}: ${cause.message}`, { fields: { file: name }, cause });
}
