// What importers share: from records of a published set, as its authors wrote them, to records of this library's form.

import { MlitError } from '../../native/errors';

/** One value of a file, with its place. */
export interface ImportValue {
  value: unknown;
  file: string;
  line: number;
}

/** A record as it is written to JSONL. `parallel_id` is its id, so that translations can be joined to it. */
export interface ImportedRecord {
  id: string;
  lang: string;
  parallel_id: string;
  instruction?: string;
  input?: string;
  response?: string;
  /** In place of instruction and response where there is more than one exchange. */
  messages?: { role: 'user' | 'assistant'; content: string }[];
  source: string;
}

/** Which records of a published set are wanted. */
export interface ImportOptions {
  /** `oasst`: records in this language only; else: the language of the set. Default: all, and `en`. */
  lang?: string | undefined;
  /** Records to keep at most, the first ones. */
  max?: number | undefined;
  /** `alpaca-farm`: parts to leave out. */
  excludeDataset?: readonly string[] | undefined;
  /** `alpaca-farm`: keep the set's model answers as responses. Default false. */
  withOutput?: boolean | undefined;
}

/** What an importer has read, and what it left out for which reason. */
export interface Imported {
  records: ImportedRecord[];
  /** Records (`oasst`: first turns) met. */
  read: number;
  /** How many were left out for which reason; read = records + their sum. */
  skipped: Record<string, number>;
  /** What a person should know of the set. */
  notes: string[];
}

export type Importer = (values: AsyncIterable<ImportValue>, options: ImportOptions) => Promise<Imported>;

/** Collects what is kept and counts what is not. */
export class Import implements Imported {
  readonly records: ImportedRecord[] = [];
  readonly skipped: Record<string, number> = {};
  readonly notes: string[] = [];
  read = 0;
  readonly #max: number;

  constructor({ max }: ImportOptions) {
    if (max !== undefined && (!Number.isInteger(max) || max < 1))
      throw new RangeError(`max: expected a whole number from 1, got ${max}`);
    this.#max = max ?? Number.POSITIVE_INFINITY;
  }

  keep(record: Omit<ImportedRecord, 'parallel_id'>): void {
    const { id, lang, ...rest } = record;
    if (this.records.length >= this.#max) this.leaveOut('over --max');
    else this.records.push({ id, lang, parallel_id: id, ...rest });
  }

  leaveOut(reason: string): void {
    this.skipped[reason] = (this.skipped[reason] ?? 0) + 1;
  }
}

/** A record that is an object, of which `set` says what form was expected. */
export function objectOf(entry: ImportValue, set: string): Record<string, unknown> {
  const { value } = entry;
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw notOfForm(entry, set, 'a JSON object', value);
  return value as Record<string, unknown>;
}

export function stringOf(entry: ImportValue, set: string, field: string, value: unknown): string {
  if (typeof value !== 'string') throw notOfForm(entry, set, `"${field}" to be a string`, value);
  return value;
}

export function notOfForm(entry: ImportValue, set: string, expected: string, got: unknown): MlitError {
  const { file, line } = entry;
  const text = got === undefined ? 'nothing' : JSON.stringify(got).slice(0, 60);
  return new MlitError(
    'DATA_INVALID',
    `${file}:${line}: no record of ${set}: expected ${expected}, got ${text}`,
    { fields: { file, line, expected } },
  );
}
