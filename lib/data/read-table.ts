// Parquet, CSV and TSV by DuckDB, which reads what others write. It is loaded only where such a file comes, sees that one
// file and nothing else of the machine, and fetches no extensions.

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { DuckDBConnection, JS } from '@duckdb/node-api';
import { MlitError } from '../native/errors';

const TABLE = /\.(parquet|(csv|tsv)(\.gz)?)$/i;

/** Whether a file is read as a table, by its name. */
export function isTable(file: string): boolean {
  return TABLE.test(file);
}

export interface ReadTableOptions {
  /** What messages call the file. Default: its path. */
  name?: string;
  /** Columns whose text may be a JSON array, as conversations are in CSV. */
  lists: readonly string[];
  signal?: AbortSignal | undefined;
}

/**
 * Rows of a table as JSON values, `line` being the row's number from 1, a header not counted. Nested columns become arrays
 * and objects, whole numbers numbers where they fit (else strings), dates ISO strings. Cells of CSV are text; an empty cell
 * is absent, `""` is an empty text.
 *
 * @throws MlitError `FILE_NOT_FOUND`, `FILE_DAMAGED`, `DATA_INVALID` (the row, where the table tells it), `FILE_IO`
 */
export async function* readTable(
  path: string,
  options: ReadTableOptions,
): AsyncGenerator<{ value: Record<string, unknown>; line: number }> {
  const file = options.name ?? path;
  await checkFile(path, file);
  if (path.endsWith('.gz')) await checkGzip(path, file, options.signal);
  const connection = await openDuckDB([resolve(path), literal(path)]);
  const stop = (): void => connection.interrupt();
  options.signal?.addEventListener('abort', stop, { once: true });
  let line = 0;
  try {
    options.signal?.throwIfAborted();
    // Not stream(): there an error in the middle of a file ends the rows without a word (node-api 1.5.6).
    const result = await connection.run(`SELECT * FROM ${scanOf(path)}`);
    if (!isParquet(file)) await refuseRejects(connection, file);
    const columns = result.columnNames();
    for await (const rows of result.yieldRowsJs()) {
      options.signal?.throwIfAborted();
      for (const row of rows) {
        line += 1;
        const value: Record<string, unknown> = {};
        for (const [at, column] of columns.entries()) {
          const place = { file, line, column };
          const cell = toJson(row[at] as JS, place);
          if (cell !== null) value[column] = options.lists.includes(column) ? parseList(cell, place) : cell;
        }
        yield { value, line };
      }
    }
  } catch (cause) {
    options.signal?.throwIfAborted();
    if (cause instanceof MlitError) throw cause;
    throw explain(cause as Error, file);
  } finally {
    options.signal?.removeEventListener('abort', stop);
    connection.closeSync();
  }
}

/** A connection of its own to an empty database that can read the given files (absolute paths), and nothing else. */
export async function openDuckDB(files: readonly string[]): Promise<DuckDBConnection> {
  const { DuckDBInstance } = await import('@duckdb/node-api').catch((cause: Error) => {
    throw new MlitError(
      'INTERNAL',
      `DuckDB, which reads Parquet and CSV, can’t be loaded (${cause.message}); install the package’s dependencies again`,
      { cause },
    );
  });
  const instance = await DuckDBInstance.create(':memory:', {
    threads: '1',
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  });
  const connection = await instance.connect();
  await connection.run(`SET allowed_paths = [${files.map(quote).join(', ')}]`);
  await connection.run('SET enable_external_access = false');
  await connection.run('SET lock_configuration = true');
  return connection;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** Bytes of the longest row of CSV. */
const MAX_ROW = 1 << 24;

/** A path as DuckDB takes it without seeing a pattern in it: the caller has expanded those. */
function literal(file: string): string {
  return resolve(file).replace(/[*?[]/g, (sign) => `[${sign}]`);
}

function scanOf(file: string): string {
  const name = quote(literal(file));
  if (isParquet(file)) return `read_parquet(${name}, hive_partitioning = false)`;
  const delimiter = /\.tsv(\.gz)?$/i.test(file) ? '\t' : ',';
  return `read_csv(${name}, header = true, skip = 0, delim = '${delimiter}', quote = '"', escape = '"', comment = '', all_varchar = true, allow_quoted_nulls = false, max_line_size = ${MAX_ROW}, store_rejects = true, hive_partitioning = false)`;
}

async function checkFile(path: string, file: string): Promise<void> {
  const info = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    const missing = cause.code === 'ENOENT';
    throw new MlitError(
      missing ? 'FILE_NOT_FOUND' : 'FILE_IO',
      `${file}: ${missing ? 'there is no such file' : cause.message}`,
      { fields: { file }, cause },
    );
  });
  if (info.size === 0)
    throw new MlitError('DATA_EMPTY', `${file}: there are no records in this file`, { fields: { file } });
  if (!info.isFile()) throw new MlitError('FILE_IO', `${file}: expected a file`, { fields: { file } });
}

/**
 * DuckDB takes the end of what can be decompressed for the end of the table. (Not by compose(): its iterator can lose the
 * error of a stream that ends early, and wait for ever.)
 */
async function checkGzip(path: string, file: string, signal: AbortSignal | undefined): Promise<void> {
  try {
    const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
    await pipeline(createReadStream(path), createGunzip(), nowhere, signal === undefined ? {} : { signal });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new MlitError('FILE_DAMAGED', `${file}: the compressed data is damaged or cut short`, {
      fields: { file },
      cause,
    });
  }
}

function isParquet(file: string): boolean {
  return /\.parquet$/i.test(file);
}

/** Rows that DuckDB left out: the first is told with its line and column. */
async function refuseRejects(connection: DuckDBConnection, file: string): Promise<void> {
  const rejects = await connection.run(
    'SELECT line, column_name, error_message, csv_line FROM reject_errors ORDER BY line, column_idx',
  );
  const [row] = await rejects.getRowsJS();
  if (row === undefined) return;
  const line = Number(row[0]);
  const [column, problem, text] = row.slice(1).map((cell) => (cell === null ? undefined : String(cell)));
  const where = `${file}, line ${line}${column === undefined ? '' : `, column "${column}"`}`;
  throw new MlitError(
    'DATA_INVALID',
    `${where}: ${problem}; a text with commas, quotes or line breaks stands in double quotes. The row is ${JSON.stringify((text ?? '').slice(0, 60))}`,
    { fields: { file, line, ...(column !== undefined && { field: column }) } },
  );
}

interface Cell {
  file: string;
  line: number;
  column: string;
}

function toJson(value: JS, cell: Cell): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  }
  if (value === null || typeof value !== 'object') return value;
  if (value instanceof Date) return value.toISOString();
  if (ArrayBuffer.isView(value)) return decodeBytes(value, cell);
  if (Array.isArray(value)) return value.map((each) => toJson(each, cell));
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, toJson(each as JS, cell)]));
}

/** Texts are written as plain bytes by some; bytes that are none (pictures) are nothing that a record could be made of. */
function decodeBytes(bytes: Uint8Array, { file, line, column }: Cell): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    if (!/^(instruction|input|response|text|id|lang|parallel_id|messages|conversations)$/.test(column))
      return null;
    throw new MlitError(
      'DATA_INVALID',
      `${file}:${line}: column "${column}": expected UTF-8 text, but the cell has other bytes`,
      { fields: { file, line, field: column }, cause },
    );
  }
}

function parseList(cell: unknown, { file, line, column }: Cell): unknown {
  if (typeof cell !== 'string') return cell;
  try {
    return JSON.parse(cell);
  } catch (cause) {
    throw new MlitError(
      'DATA_INVALID',
      `${file}:${line}: column "${column}": expected a JSON array of turns, got ${JSON.stringify(cell.slice(0, 40))}… (${(cause as Error).message})`,
      { fields: { file, line, field: column, expected: 'a JSON array of turns' }, cause },
    );
  }
}

/** DuckDB's words, shortened to what concerns the file. */
function explain(cause: Error, file: string): MlitError {
  const [first = ''] = cause.message.split('\n');
  const words = first.replace(/^[A-Z][A-Za-z]*( [A-Z/][A-Za-z/]*)* Error: /, '').trim();
  const machine = /out of memory/i.test(first) ? 'OUT_OF_MEMORY' : 'FILE_IO';
  if (machine === 'OUT_OF_MEMORY' || /permission denied|too many open files/i.test(first)) {
    return new MlitError(machine, `${file}: the table can't be read (${words})`, { fields: { file }, cause });
  }
  if (isParquet(file)) {
    return new MlitError('FILE_DAMAGED', `${file}: the file is damaged or cut short (${words})`, {
      fields: { file },
      cause,
    });
  }
  return new MlitError(
    'DATA_INVALID',
    `${file}: expected a table with a header and one row a record, texts with commas, quotes or line breaks in double quotes, quotes inside doubled, a row at most ${MAX_ROW >> 20} MiB (${words})`,
    { fields: { file }, cause },
  );
}
