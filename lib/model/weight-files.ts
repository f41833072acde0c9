// Which files hold a model's weights, and whether they are still the same: a run that goes on, or a load that takes minutes,
// must not be given another model under the same name.

import { createHash } from 'node:crypto';
import { type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { MlitError } from '../native/errors';

export const WEIGHTS_FILE = 'model.safetensors';
export const INDEX_FILE = 'model.safetensors.index.json';

const WHOLE_BYTES = 32 * 2 ** 20;
const HEAD_BYTES = 8 * 2 ** 20;
const BLOCK_BYTES = 64 * 1024;
const BLOCKS = 256;

/** What an index of shards names, sorted. @throws MlitError `FILE_DAMAGED` naming `file` */
export function shardsOf(text: string, file: string): string[] {
  let map: unknown;
  try {
    map = (JSON.parse(text) as { weight_map?: unknown }).weight_map;
  } catch {
    map = undefined;
  }
  const names = typeof map === 'object' && map !== null ? [...new Set<unknown>(Object.values(map))] : [];
  const isShard = (name: unknown): boolean =>
    typeof name === 'string' && /^[\w][\w./-]*\.safetensors$/.test(name) && !name.split('/').includes('..');
  if (names.length > 0 && names.every(isShard)) return (names as string[]).sort();
  throw new MlitError(
    'FILE_DAMAGED',
    `${file}: expected weight_map with the names of .safetensors files; fetch the file anew`,
    { fields: { file, field: 'weight_map' } },
  );
}

/**
 * What a model is told by: a hash over the sizes of the files that decide what it computes and over their bytes; of files above
 * 32 MiB over the first 8 MiB and 256 blocks of 64 KiB that are spread evenly to the end. Two checkpoints of one architecture
 * differ in all of them; a change of single numbers by hand may escape.
 *
 * @param path a GGUF file, or a folder with config.json and safetensors
 * @throws MlitError `FILE_NOT_FOUND`, `FILE_IO`, `FILE_DAMAGED`
 */
export async function modelIdentity(path: string, kind: 'gguf' | 'folder'): Promise<string> {
  const hash = createHash('sha256');
  const files = kind === 'gguf' ? [''] : ['config.json', ...(await weightNames(path))];
  for (const name of files) hash.update(`${name} ${await fileIdentity(join(path, name))}\n`);
  return hash.digest('hex');
}

async function weightNames(folder: string): Promise<string[]> {
  const index = join(folder, INDEX_FILE);
  const text = await readFile(index, 'utf8').catch(() => undefined);
  const single = await stat(join(folder, WEIGHTS_FILE)).catch(() => undefined);
  if (text === undefined || single) return [WEIGHTS_FILE];
  return shardsOf(text, index);
}

const known = new Map<string, Promise<string>>();

/** Kept in the process as long as size, place and time of change stay. */
async function fileIdentity(path: string): Promise<string> {
  try {
    const { size, mtimeMs, ino } = await stat(path);
    const key = `${path} ${size} ${mtimeMs} ${ino}`;
    const before = known.get(key);
    if (before !== undefined) return await before;
    const hashed = hashSamples(path, size);
    known.set(key, hashed);
    hashed.catch(() => known.delete(key));
    return await hashed;
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new MlitError(
      isMissing ? 'FILE_NOT_FOUND' : 'FILE_IO',
      `${path}: ${isMissing ? 'this file of the model is not there' : (cause as Error).message}`,
      { fields: { file: path }, cause },
    );
  }
}

async function hashSamples(path: string, size: number): Promise<string> {
  const hash = createHash('sha256').update(`${size}\n`);
  const buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES); // one for all: the collector is in no hurry with buffers
  const file = await open(path, 'r');
  try {
    if (size <= WHOLE_BYTES) await hashRange(file, 0, size, hash, buffer);
    else {
      await hashRange(file, 0, HEAD_BYTES, hash, buffer);
      const step = (size - HEAD_BYTES - BLOCK_BYTES) / (BLOCKS - 1);
      for (let i = 0; i < BLOCKS; i += 1)
        await hashRange(file, HEAD_BYTES + Math.floor(i * step), BLOCK_BYTES, hash, buffer);
    }
  } finally {
    await file.close();
  }
  return hash.digest('hex');
}

async function hashRange(
  file: FileHandle,
  from: number,
  length: number,
  hash: ReturnType<typeof createHash>,
  buffer: Buffer,
) {
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, length - done), from + done);
    if (bytesRead === 0) return;
    hash.update(buffer.subarray(0, bytesRead));
    done += bytesRead;
  }
}
