// Reads records from files, line by line, so that a data set need not fit in memory as text, and so that whatever is wrong
// with a line is said with its number.

import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { createGunzip } from 'node:zlib';
import { MlitError } from '../native/errors';
import { shallow } from '../native/untrusted';
import { checkLanguageCode } from '../text/language-codes';
import { refuseUnknownOptions } from '../text/options';
import { type Example, place } from './example';
import { asTranslation, collision, describeHoles, tableHoles } from './join';
import { isTable, readTable } from './read-table';
import {
  RECORD_FIELDS,
  type RecordForm,
  type RecordNeed,
  type RecordOptions,
  recordForm,
  toExample,
} from './record';
import { type DataSource, resolveData } from './sources';

/** How records are read. */
export interface ReadOptions {
  /** What each record must have. Default `response`. */
  need?: RecordNeed;
  /** Renames: wanted field → the name it has in the files. */
  field?: Readonly<Record<string, string>>;
  signal?: AbortSignal | undefined;
  /** Told one line for each file when it has been read: how many records of which form. */
  onNote?: ((note: string) => void) | undefined;
}

const FORM_NAMES: Readonly<Record<Exclude<RecordForm, 'instruction'>, string>> = {
  messages: 'messages',
  conversations: 'conversations (ShareGPT)',
  text: 'plain text',
};

function formName(value: unknown, options: RecordOptions): string {
  const record = value as Record<string, unknown>;
  const form = recordForm(record, options) ?? 'text';
  if (form !== 'instruction') return FORM_NAMES[form];
  return record[options.field.response ?? 'response'] == null
    ? 'an instruction alone'
    : 'instruction and response';
}

/** `24 records with messages`, or how many of each form. */
function describeForms(forms: ReadonlyMap<string, number>): string {
  const all = [...forms].sort(([, a], [, b]) => b - a);
  const count = all.reduce((sum, [, n]) => sum + n, 0);
  const records = `${count} ${count === 1 ? 'record' : 'records'}`;
  if (all.length === 1) return `${records} with ${all[0]![0]}`;
  return `${records}: ${all.map(([form, n]) => `${n} with ${form}`).join(', ')}`;
}

/**
 * All records of the files, in order. Files are JSONL (also `.gz`), one JSON array, Parquet, CSV or TSV; `-` is standard
 * input. An entry may be a pattern (`data/*.parquet`), a data set of a hub (`hf:owner/name[@revision][:path]`), or a file in
 * one language of a parallel set (`fi=FILE`: its records are joined to the others' by id, see lib/data/join).
 *
 * @throws MlitError `FILE_NOT_FOUND`, `FILE_DAMAGED`, `DATA_INVALID` (file, line, what was expected), `DATA_EMPTY`,
 * `DOWNLOAD_FAILED`; the signal's reason
 */
export async function readExamples(files: readonly string[], options: ReadOptions = {}): Promise<Example[]> {
  const examples: Example[] = [];
  for await (const example of streamExamples(files, options)) examples.push(example);
  return examples;
}

/** The same, one by one. Ids are checked to be unique over all files. */
export async function* streamExamples(
  files: readonly string[],
  options: ReadOptions = {},
): AsyncGenerator<Example> {
  refuseUnknownOptions('readExamples', options, { need: true, field: true, signal: true, onNote: true });
  if (files.length === 0) throw new RangeError('data: expected at least one file');
  const record: RecordOptions = { need: options.need ?? 'response', field: options.field ?? {} };
  for (const name of Object.keys(record.field)) {
    if (!(RECORD_FIELDS as readonly string[]).includes(name)) {
      throw new RangeError(
        `field: "${name}" is no field of a record; expected one of ${RECORD_FIELDS.join(', ')}`,
      );
    }
  }
  const seen = new Map<string, string>();
  const stems = new Map<string, string>();
  const translations: Example[] = [];
  for (const file of await resolveData(files, options)) {
    const forms = new Map<string, number>();
    const stem = ownStem(file.name, stems);
    for await (const { value, line } of valuesOf(file, record, options.signal)) {
      const source = { file: file.name, line };
      const read = toExample(value, record, source, stem);
      checkLanguageCode(read.lang, `${place(source)}: ${record.field.lang ?? 'lang'}`);
      const named = read.id !== `${stem}:${line}`;
      const example = file.lang === undefined ? read : asTranslation(read, file.lang, named);
      const before = seen.get(example.id);
      if (before !== undefined) throw collision(example, before);
      seen.set(example.id, place(source));
      const form = formName(value, record);
      forms.set(form, (forms.get(form) ?? 0) + 1);
      if (file.lang !== undefined) translations.push(example);
      yield example;
    }
    if (forms.size === 0)
      throw new MlitError('DATA_EMPTY', `${file.name}: there are no records in this file`, {
        fields: { file: file.name },
      });
    options.onNote?.(`${file.name}: ${describeForms(forms)}`);
  }
  const holes = describeHoles(tableHoles(translations));
  if (holes !== undefined) options.onNote?.(holes);
}

/** The file's stem, with a number behind it where another file of the same name came before. */
function ownStem(file: string, taken: Map<string, string>): string {
  const stem = fileStem(file);
  for (let n = 1; ; n += 1) {
    const name = n === 1 ? stem : `${stem}~${n}`;
    const owner = taken.get(name) ?? file;
    if (owner !== file) continue;
    taken.set(name, file);
    return name;
  }
}

/** Whether a record had no id of its own, and is called by its place. */
export function isNamedByPlace({ id, source }: Example): boolean {
  return id.startsWith(fileStem(source.file)) && id.endsWith(`:${source.line}`);
}

/** What records without ids are called by. */
export function fileStem(file: string): string {
  return file === '-'
    ? 'stdin'
    : basename(file).replace(/\.(jsonl|ndjson|json|parquet|csv|tsv)?(\.gz)?$/, '');
}

function valuesOf(
  { name, path }: DataSource,
  record: RecordOptions,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ value: unknown; line: number }> {
  if (!isTable(path)) return jsonValues(path, name, signal);
  const lists = [record.field.messages ?? 'messages', record.field.conversations ?? 'conversations'];
  return readTable(path, { name, lists, signal });
}

/** JSON values of a file with their line (or element) numbers from 1; `file` is what messages call it. */
export async function* jsonValues(
  path: string,
  file: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ value: unknown; line: number }> {
  let first = true;
  let array: { text: string[]; from: number } | null = null;
  for await (const { text, line } of lines(path, file, signal)) {
    if (array !== null) {
      array.text.push(text);
      continue;
    }
    if (text.trim() === '') continue;
    if (first && text.trimStart().startsWith('[')) {
      array = { text: [text], from: line };
      continue;
    }
    first = false;
    yield { value: parse(text, `${file}:${line}`, { file, line }, 'one JSON object on this line'), line };
  }
  if (array === null) return;
  const whole = parse(array.text.join('\n'), file, { file }, 'a JSON array of records');
  for (const [index, value] of (whole as unknown[]).entries()) yield { value, line: index + 1 };
}

function parse(
  text: string,
  where: string,
  fields: Record<string, string | number>,
  expected: string,
): unknown {
  try {
    return shallow(JSON.parse(text));
  } catch (cause) {
    const start = text.trim().slice(0, 40);
    throw new MlitError(
      'DATA_INVALID',
      `${where}: expected ${expected}, got ${JSON.stringify(start)}… (${(cause as Error).message})`,
      { fields: { ...fields, expected }, cause },
    );
  }
}

/** Lines of a file by `\n` alone (U+2028 may stand inside a JSON string), decoded strictly. */
async function* lines(
  path: string,
  file: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ text: string; line: number }> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let line = 0;
  const decode = (bytes: Uint8Array): { text: string; line: number } => {
    line += 1;
    try {
      return { text: decoder.decode(bytes), line };
    } catch (cause) {
      const encoding = (cause as NodeJS.ErrnoException).code === 'ERR_ENCODING_INVALID_ENCODED_DATA';
      const what = encoding
        ? 'expected UTF-8 text, but the line has other bytes'
        : `the line has ${bytes.length} bytes, more than a string can hold; write one record a line`;
      throw new MlitError('DATA_INVALID', `${file}:${line}: ${what}`, { fields: { file, line }, cause });
    }
  };
  // The pieces of a line that has not ended yet: joined once, when it does.
  let pieces: Buffer[] = [];
  try {
    for await (const chunk of byteStream(path)) {
      signal?.throwIfAborted();
      let data = chunk as Buffer;
      for (let end = data.indexOf(10); end !== -1; end = data.indexOf(10)) {
        yield decode(joined(pieces, data.subarray(0, end)));
        pieces = [];
        data = data.subarray(end + 1);
      }
      if (data.length > 0) pieces.push(data);
    }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT')
      throw new MlitError('FILE_NOT_FOUND', `${file}: there is no such file`, { fields: { file }, cause });
    if (typeof code === 'string' && code.startsWith('Z_')) {
      throw new MlitError('FILE_DAMAGED', `${file}: the compressed data is damaged or cut short`, {
        fields: { file },
        cause,
      });
    }
    if (typeof code === 'string' && /^E[A-Z]+$/.test(code)) {
      const what =
        code === 'EISDIR'
          ? 'this is a folder; name files, or a pattern such as "FOLDER/*.jsonl"'
          : (cause as Error).message;
      throw new MlitError('FILE_IO', `${file}: ${what}`, { fields: { file }, cause });
    }
    throw cause;
  }
  if (pieces.length > 0) yield decode(Buffer.concat(pieces));
}

function joined(pieces: readonly Buffer[], last: Buffer): Buffer {
  return pieces.length === 0 ? last : Buffer.concat([...pieces, last]);
}

function byteStream(file: string): AsyncIterable<unknown> {
  if (file === '-') return process.stdin;
  const stream = createReadStream(file, { highWaterMark: 1 << 18 });
  if (!file.endsWith('.gz')) return stream;
  const gunzip = createGunzip();
  stream.once('error', (error) => gunzip.destroy(error));
  return stream.pipe(gunzip);
}
