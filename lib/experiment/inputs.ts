// What an experiment is made from, by content: files by their SHA-256, the model by its weights' and its tokenizer's. A file
// that was moved or renamed is the same; one that was changed is another.
import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Example } from '../data/example';
import { itemOf } from '../data/hold-out';
import { epochOrder } from '../data/order';
import { readExamples } from '../data/read';
import type { ModelSource } from '../model/source';
import { MlitError } from '../native/errors';
import { sha256File } from '../native/files';
import type { EvaluationKey } from './job';

const known = new Map<string, Promise<string>>();

/** SHA-256 of a file; kept in the process as long as size and time of change stay. */
export async function fileHash(path: string): Promise<string> {
  const info = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    const missing = cause.code === 'ENOENT';
    throw new MlitError(
      missing ? 'FILE_NOT_FOUND' : 'FILE_IO',
      `${path}: ${missing ? 'there is no such file' : cause.message}`,
      { fields: { file: path }, cause },
    );
  });
  const key = `${path} ${info.size} ${info.mtimeMs}`;
  let hash = known.get(key);
  if (hash === undefined) {
    hash = sha256File(path);
    known.set(key, hash);
  }
  return hash;
}

/** Files of a Hugging Face folder that decide what a model computes or how text becomes tokens. */
const MODEL_FILE = /\.(safetensors|json|model|jinja|txt)$/;

/** SHA-256 of a GGUF file, or over the names and hashes of a folder's files. */
export async function modelHash(source: ModelSource): Promise<string> {
  if (source.kind === 'gguf') return fileHash(source.path);
  const hash = createHash('sha256');
  for (const file of (await readdir(source.path)).filter((name) => MODEL_FILE.test(name)).sort()) {
    hash.update(`${file} ${await fileHash(join(source.path, file))}\n`);
  }
  return hash.digest('hex');
}

/** Prompts with their references, sorted by item and language. */
export interface Evaluation {
  examples: Example[];
  /** Whether every prompt has a reference response. */
  hasReferences: boolean;
}

/**
 * The evaluation set that a key names: the records of the languages, of `items` items chosen by the seed, those first that
 * exist in every language.
 *
 * @throws MlitError `DATA_EMPTY` where a language has no record
 */
export async function loadEvaluation(
  files: readonly string[],
  key: Omit<EvaluationKey, 'files'>,
  signal?: AbortSignal,
): Promise<Evaluation> {
  const wanted = new Set(key.languages);
  const all = await readExamples(files, { need: 'reference', field: key.field, signal });
  const records = all.filter((example) => wanted.has(example.lang));
  for (const lang of key.languages) {
    if (records.some((example) => example.lang === lang)) continue;
    const there = [...new Set(all.map((example) => example.lang))].sort().join(', ');
    throw new MlitError(
      'DATA_EMPTY',
      `${files.join(', ')}: no record is in ${lang}, which the experiment evaluates; there are ${there}. Set evalLanguages, or add the translations`,
      { fields: { file: files[0]!, language: lang } },
    );
  }
  const chosen = chooseItems(records, key);
  const examples = records
    .filter((example) => chosen.has(itemOf(example)))
    .sort((a, b) => compare(itemOf(a), itemOf(b)) || compare(a.lang, b.lang) || compare(a.id, b.id));
  return { examples, hasReferences: examples.every((example) => example.turns.at(-1)?.role === 'assistant') };
}

function chooseItems(records: readonly Example[], key: Omit<EvaluationKey, 'files'>): Set<string> {
  const languages = new Map<string, Set<string>>();
  for (const example of records) {
    const item = itemOf(example);
    if (!languages.has(item)) languages.set(item, new Set());
    languages.get(item)!.add(example.lang);
  }
  const items = [...languages.keys()].sort(compare);
  if (key.items === null || key.items >= items.length) return new Set(items);
  const order = [...epochOrder(items.length, key.seed, 0)].map((at) => items[at]!);
  const whole = (item: string): number => (languages.get(item)!.size === key.languages.length ? 0 : 1);
  return new Set(order.sort((a, b) => whole(a) - whole(b)).slice(0, key.items));
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
