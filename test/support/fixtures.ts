// Where tests find the tiny checkpoints, records to train on, and a folder that is gone afterwards.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

export const root = join(import.meta.dirname, '..', '..');
export const FAMILIES = ['llama-tiny', 'smol-tiny', 'gemma3-tiny'] as const;
/** One of each family in the form of its files on the hub. */
export const ZOO = [
  'zoo/llama3-scaled',
  'zoo/mistral-window',
  'zoo/mistral-spm',
  'zoo/qwen2',
  'zoo/qwen3',
  'zoo/gemma3-conditional',
] as const;

export function fixture(...parts: string[]): string {
  return join(root, 'test', 'fixtures', ...parts);
}

export function fixtureJson<T>(...parts: string[]): T {
  return JSON.parse(readFileSync(fixture(...parts), 'utf8')) as T;
}

/** A folder for this test file, removed when its tests are over. */
export function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mlit-test-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A copy of the tiny model whose configuration claims terabytes: enough for a plan, which reads no weights. */
export function hugeModel(): string {
  const folder = join(scratch(), 'huge');
  cpSync(fixture('smol-tiny', 'model'), folder, { recursive: true });
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as object;
  const huge = { ...config, num_hidden_layers: 4096, intermediate_size: 4_000_000 };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(huge));
  return folder;
}

/** A copy of a tiny model with a context that long prompts fit into. */
export function roomyModel(family: (typeof FAMILIES)[number]): string {
  const folder = join(scratch(), family);
  cpSync(fixture(family, 'model'), folder, { recursive: true });
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as object;
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, max_position_embeddings: 8192 }));
  return folder;
}

export interface Doc {
  tokens: number[];
  promptLength: number;
  weights: number[];
}

/** A reference document in the form that packing takes. */
export function packable(doc: Doc, id: string) {
  return { id, tokens: Int32Array.from(doc.tokens), weights: Float32Array.from(doc.weights) };
}

const WORDS = ['cat', 'house', 'kissa', 'talo', 'paka', 'nyumba', 'кот', 'дом', '猫', '家', 'בית', 'قط'];

/** Writes `count` short instruction records in three languages, parallel in threes, and returns the file. */
export function writeRecords(file: string, count: number): string {
  const lines = Array.from({ length: count }, (_, i) =>
    JSON.stringify({
      id: `r${i}`,
      lang: ['en', 'fi', 'sw'][i % 3],
      parallel_id: `item${Math.floor(i / 3)}`,
      instruction: `Say ${WORDS[i % WORDS.length]} ${'again '.repeat(i % 4)}please.`,
      response: `${WORDS[(i * 5 + 1) % WORDS.length]} ${WORDS[(i * 7 + 2) % WORDS.length]}`.repeat(
        1 + (i % 3),
      ),
    }),
  );
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}
