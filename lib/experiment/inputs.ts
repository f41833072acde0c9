// What an experiment is made from, by content: files by their SHA-256, the model by its weights' and its tokenizer's. A file
// that was moved or renamed is the same; one that was changed is another.
import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Example } from '../data/example';
import { itemOf } from '../data/hold-out';
import { epochOrder } from '../data/order';
import { fileStem, isNamedByPlace, readExamples } from '../data/read';
import type { RenderOptions } from '../data/render';
import { resolveData } from '../data/sources';
import { type ModelSource, resolveModel } from '../model/source';
import { MlitError } from '../native/errors';
import { sha256File } from '../native/files';
import type { EvaluationKey, Job } from './job';
import type { ExperimentSpec } from './spec';

/** How an experiment's training records become tokens. */
export function renderingOf(
  {
    train,
    system,
  }: Pick<ExperimentSpec, 'system'> & {
    train: Pick<ExperimentSpec['train'], 'maxLength' | 'maxPrompt' | 'maxResponse' | 'truncate' | 'lossNorm'>;
  },
  own: Pick<RenderOptions, 'tokenizer' | 'template'>,
): RenderOptions {
  const { maxLength, maxPrompt, maxResponse, truncate, lossNorm } = train;
  return { ...own, system, maxLength, maxPrompt, maxResponse, truncate, lossNorm };
}

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

/**
 * Files of a data set by content; one that was given as `CODE=FILE` keeps its language, and one whose records have no ids its
 * name, for they are called by it.
 */
export interface HashedFiles {
  /** `HASH`, `CODE=HASH` or `HASH NAME`, in the order given. */
  keys: string[];
  /** What was given, with each file's hash. */
  files: { file: string; sha256: string }[];
  /** SHA-256 → path on this machine. */
  paths: Record<string, string>;
}

/**
 * Patterns are expanded and data sets of a hub fetched.
 *
 * @param examples the records that the files hold
 */
export async function hashData(
  entries: readonly string[],
  examples: readonly Example[],
  options: { signal?: AbortSignal | undefined } = {},
): Promise<HashedFiles> {
  const unnamed = new Set(examples.filter(isNamedByPlace).map(({ source }) => source.file));
  const hashed: HashedFiles = { keys: [], files: [], paths: {} };
  for (const { name, path, lang } of await resolveData(entries, options)) {
    const sha256 = await fileHash(path);
    const key = lang === undefined ? sha256 : `${lang}=${sha256}`;
    hashed.keys.push(unnamed.has(name) ? `${key} ${fileStem(name)}` : key);
    hashed.files.push({ file: name, sha256 });
    hashed.paths[sha256] = path;
  }
  return hashed;
}

/** The hash in a key of {@link HashedFiles}. */
export function hashOf(key: string): string {
  return key.replace(/^[^ ]*=/, '').split(' ', 1)[0]!;
}

/** What `readExamples` takes for such keys. */
export function dataEntries(keys: readonly string[], paths: Readonly<Record<string, string>>): string[] {
  return keys.map((key) => (/^[^ ]*=/.exec(key)?.[0] ?? '') + paths[hashOf(key)]!);
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

/**
 * A run may take days: what a job reads has to be what its name says still.
 *
 * @throws MlitError `DATA_INVALID`
 */
export async function refuseChangedFiles({ description, files }: Job): Promise<void> {
  for (const [sha256, path] of Object.entries(files)) {
    const model =
      description.kind === 'judge' && description.judge.by === 'local'
        ? description.judge.model
        : 'model' in description && description.model;
    const isModel = sha256 === model;
    const now = isModel ? await modelHash(await resolveModel(path)) : await fileHash(path);
    if (now === sha256) continue;
    throw new MlitError(
      'DATA_INVALID',
      `${path} has changed since the experiment was begun; start the same command again, and what depends on it is done anew`,
      { fields: { file: path, expected: sha256, actual: now } },
    );
  }
}

/** Prompts with their references, sorted by item and language. */
export interface Evaluation {
  examples: Example[];
  /** How many prompts have a reference response. */
  references: number;
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
  return { examples, references: examples.filter(hasReference).length };
}

export function hasReference({ turns }: Example): boolean {
  return turns.at(-1)?.role === 'assistant';
}

/** What a model is asked: all turns before the reference. */
export function promptOf(example: Example): Example['turns'] {
  return hasReference(example) ? example.turns.slice(0, -1) : example.turns;
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
