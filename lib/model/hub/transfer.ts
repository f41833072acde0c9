// One file from a hub into the cache's blobs: whole and verified, or not there. What has come of an interrupted transfer is
// kept under a name of its own, and whoever comes next goes on with it: the same process, a later one, or one of two.
//
// Each transfer writes to a part that is its own: `ETAG.mlit-HOST-PID-START-NONCE`. A part whose writer has ended is taken over by
// a rename, which the file system grants to one only.

import { createHash, type Hash, randomUUID } from 'node:crypto';
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ListFileEntry } from '@huggingface/hub';
import { MlitError } from '../../native/errors';
import { makeFolder, syncFolder } from '../../native/files';
import type { HubClient } from './client';
import { isAbandoned, ownName } from './own-file';

const TRIES_WITHOUT_PROGRESS = 4;
const FIRST_PAUSE_MS = 100;

export interface TransferOptions {
  client: HubClient;
  entry: ListFileEntry;
  commit: string;
  /** The cache's folder of blobs. */
  blobs: string;
  /** What messages call the file. */
  name: string;
  signal?: AbortSignal | undefined;
  /** Bytes of this file that are there. */
  onBytes?: ((bytes: number) => void) | undefined;
}

/**
 * @returns the blob's path
 * @throws MlitError `DOWNLOAD_FAILED`, `CHECKSUM_MISMATCH`, `FILE_IO`; the signal's reason
 */
export async function fetchBlob(options: TransferOptions): Promise<string> {
  const { entry, blobs, signal } = options;
  const etag = entry.lfs?.oid ?? entry.oid;
  if (etag === undefined || !/^[0-9a-f]{40}(?:[0-9a-f]{24})?$/.test(etag))
    throw failed(options, 'the hub lists no hash of it', undefined);
  const blob = join(blobs, etag);
  try {
    await makeFolder(blobs);
    if ((await stat(blob).catch(() => undefined))?.size === entry.size) return blob;
    const part = await Part.take(blobs, etag, entry);
    try {
      await fill(part, options);
      await part.settle(blob);
      for (const { path } of await abandoned(blobs, etag)) await rm(path, { force: true });
    } catch (error) {
      await part.release();
      throw error;
    }
    return blob;
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof MlitError) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    const isDisk = /^(ENOSPC|EACCES|EROFS|EDQUOT|EIO|EPERM|EFBIG)$/.test(code ?? '');
    throw failed(options, message, cause, isDisk ? 'FILE_IO' : 'DOWNLOAD_FAILED');
  }
}

/** Asks until all bytes are there and are the right ones; a cut connection costs only what was lost on it. */
async function fill(part: Part, options: TransferOptions): Promise<void> {
  const { entry, name, signal } = options;
  const expected = entry.lfs?.oid ?? entry.oid;
  let farthest = part.size;
  let wasTaken = part.size > 0;
  for (let failures = 0; ; ) {
    const cause = await extend(part, options).catch((error: Error) => {
      signal?.throwIfAborted();
      if (error instanceof MlitError || isLocal(error)) throw error;
      return error;
    });
    if (part.size >= entry.size) {
      const digest = part.digest();
      if (part.size === entry.size && digest === expected) return;
      await part.clear();
      if (!wasTaken)
        throw new MlitError(
          'CHECKSUM_MISMATCH',
          `${name}: the file that came is not the one the hub lists: hash ${digest}, expected ${expected}; run the same again, and if that does not help, something between here and the hub changes files`,
          { fields: { file: name, hash: digest, expected: expected ?? '' } },
        );
      // The beginning that was found may have been wrong.
      wasTaken = false;
      farthest = 0;
      continue;
    }
    failures = part.size > farthest ? 0 : failures + 1;
    farthest = part.size === 0 ? 0 : Math.max(farthest, part.size);
    if (failures > TRIES_WITHOUT_PROGRESS)
      throw failed(options, `the transfer broke off ${failures} times (${reasonOf(cause)})`, cause);
    await sleep(FIRST_PAUSE_MS * 2 ** failures, undefined, { signal });
  }
}

/** One request for what is missing. */
async function extend(part: Part, { client, entry, commit, onBytes }: TransferOptions): Promise<undefined> {
  if (part.size === entry.size) return;
  const answer = await client.open(entry.path, commit, part.size);
  // Behind the end, or not from where it was asked: what was found here is not what the hub has.
  if (answer?.offset !== part.size) await part.clear();
  if (answer === undefined) return;
  if (answer.offset !== part.size) return answer.close();
  for await (const chunk of answer.chunks) {
    await part.append(chunk);
    onBytes?.(part.size);
    if (part.size > entry.size) return;
  }
}

/** A file that is being written, with the hash of what is in it. */
class Part {
  #path: string;
  readonly #handle: FileHandle;
  readonly #entry: ListFileEntry;
  #hash: Hash;
  size = 0;

  private constructor(path: string, handle: FileHandle, entry: ListFileEntry) {
    this.#path = path;
    this.#handle = handle;
    this.#entry = entry;
    this.#hash = this.#newHash();
  }

  /** The largest part that nobody writes to any more, else a new one. */
  static async take(blobs: string, etag: string, entry: ListFileEntry): Promise<Part> {
    const own = ownName(join(blobs, etag));
    for (const { path, size } of await abandoned(blobs, etag)) {
      if (size > entry.size) await rm(path, { force: true });
      else if (await rename(path, own).then(() => true, isGone)) break;
    }
    const handle = await open(own, 'a+');
    const part = new Part(own, handle, entry);
    try {
      await part.#read();
    } catch (error) {
      await handle.close();
      throw error;
    }
    return part;
  }

  async append(chunk: Uint8Array): Promise<void> {
    await this.#handle.appendFile(chunk);
    this.#hash.update(chunk);
    this.size += chunk.byteLength;
  }

  async clear(): Promise<void> {
    await this.#handle.truncate(0);
    this.#hash = this.#newHash();
    this.size = 0;
  }

  digest(): string {
    return this.#hash.copy().digest('hex');
  }

  /** Durable, then by its name. */
  async settle(blob: string): Promise<void> {
    await this.#handle.sync();
    await rename(this.#path, blob);
    await this.#handle.close();
    await syncFolder(join(blob, '..'));
  }

  /** Leaves what is there to whoever comes next. */
  async release(): Promise<void> {
    await this.#handle.close().catch(() => undefined);
    if (this.size === 0) return rm(this.#path, { force: true });
    const free = `${this.#path.replace(/\.mlit-.*$/, '')}.mlit-free-${randomUUID().slice(0, 8)}`;
    await rename(this.#path, free).catch(() => undefined);
  }

  async #read(): Promise<void> {
    const buffer = Buffer.allocUnsafe(1 << 20);
    for (;;) {
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, this.size);
      if (bytesRead === 0) return;
      this.#hash.update(buffer.subarray(0, bytesRead));
      this.size += bytesRead;
    }
  }

  /** As the hub names files: SHA-256 of large ones, git's hash of others. */
  #newHash(): Hash {
    if (this.#entry.lfs) return createHash('sha256');
    return createHash('sha1').update(`blob ${this.#entry.size}\0`);
  }
}

/** Parts of a file without a living writer, the largest first. */
async function abandoned(blobs: string, etag: string): Promise<{ path: string; size: number }[]> {
  const found: { path: string; size: number }[] = [];
  for (const file of await readdir(blobs)) {
    if (!file.startsWith(`${etag}.mlit-`)) continue;
    const path = join(blobs, file);
    const info = await stat(path).catch(() => undefined);
    if (info === undefined) continue;
    if (file.startsWith(`${etag}.mlit-free-`) || (await isAbandoned(path)))
      found.push({ path, size: info.size });
  }
  return found.sort((a, b) => b.size - a.size);
}

function isGone(error: NodeJS.ErrnoException): false {
  if (error.code === 'ENOENT') return false;
  throw error;
}

/** Of this machine's disk rather than of the network. */
function isLocal(error: unknown): boolean {
  return (
    (error as NodeJS.ErrnoException).syscall === 'write' || (error as NodeJS.ErrnoException).code === 'ENOSPC'
  );
}

/** What broke a transfer; fetch() itself only says that it failed. */
export function reasonOf(error: Error | undefined): string {
  if (error === undefined) return 'fewer bytes came than the file has';
  const { message, cause } = error;
  if (!(cause instanceof Error)) return message;
  return `${message}: ${cause.message || (cause as NodeJS.ErrnoException).code}`;
}

function failed(
  { name }: TransferOptions,
  message: string,
  cause: unknown,
  code: 'FILE_IO' | 'DOWNLOAD_FAILED' = 'DOWNLOAD_FAILED',
): MlitError {
  return new MlitError(code, `${name}: ${message}`, { fields: { file: name }, cause });
}
