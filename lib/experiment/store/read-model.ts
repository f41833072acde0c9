// results.duckdb: the store's contents as tables, for questions in SQL. It is never the truth: it is built from the finished
// jobs and the experiments' graphs into a file of its own, renamed when whole, and built again when those have changed.

import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { DuckDBConnection, DuckDBResultReader } from '@duckdb/node-api';
import { MlitError } from '../../native/errors';
import { refuseUnknownOptions } from '../../text/options';
import { buildReadModel } from './build';
import { explainFullDisk } from './disk';
import { SCHEMA_VERSION, TABLES, VIEWS } from './schema';
import { Store } from './store';
import type { ExperimentGraph, Json } from './types';

/** A table that answers a question. */
export interface QueryResult {
  columns: string[];
  /** Whole numbers too large for a double are text; JSON columns are values. */
  rows: Json[][];
}

/** What a question tells, and what ends it. */
export interface QueryOptions {
  signal?: AbortSignal | undefined;
  /** One line a person should read: that the read model is built anew. */
  onNote?: ((note: string) => void) | undefined;
}

/** No build takes as long. */
const LEFT_MS = 3_600_000;

/** Nothing is fetched and no extension loaded, whatever is asked. */
const QUIET = { autoinstall_known_extensions: 'false', autoload_known_extensions: 'false' };

/** A question can read the read model and nothing else. */
const READ_ONLY = {
  ...QUIET,
  access_mode: 'READ_ONLY',
  enable_external_access: 'false',
  lock_configuration: 'true',
};

/**
 * Answers a question in SQL; brings results.duckdb up to date before. Works while a run writes.
 *
 * @param folder a store
 * @param sql one statement that reads (DuckDB's SQL; tables and views in docs/store.md)
 * @throws RangeError with DuckDB's message where the SQL is wrong
 * @throws MlitError `STORE_INVALID`, `FILE_IO`
 */
export async function query(folder: string, sql: string, options: QueryOptions = {}): Promise<QueryResult> {
  refuseUnknownOptions('queryStore', options, { signal: true, onNote: true });
  const file = await refreshReadModel(folder, options);
  return connected(file, READ_ONLY, options.signal, async (connection) => {
    let reader: DuckDBResultReader;
    try {
      const count = sql.trim() === '' ? 0 : (await connection.extractStatements(sql)).count;
      // DuckDB makes two of a PIVOT itself.
      if (count !== 1 && !/\bpivot\b/i.test(sql)) throw new Error(`expected one statement, found ${count}`);
      reader = await connection.runAndReadAll(sql);
    } catch (error) {
      options.signal?.throwIfAborted();
      throw new RangeError(describeMistake((error as Error).message), { cause: error });
    }
    const types = reader.columnTypes();
    return {
      columns: reader.deduplicatedColumnNames(),
      rows: reader
        .getRowsJson()
        .map((row) => row.map((value, column) => plain(value as Json, types[column]!))),
    };
  });
}

function describeMistake(message: string): string {
  const names = [...Object.keys(TABLES), ...Object.keys(VIEWS)].join(', ');
  return `SQL: ${message}${/with name .* does not exist/.test(message) ? `\nThere are ${names}.` : ''}`;
}

const WHOLE = /^(U?(BIGINT|HUGEINT)|DECIMAL.*)$/;

function plain(value: Json, type: { toString(): string; alias?: string }): Json {
  if (typeof value !== 'string') return value;
  if (type.alias === 'JSON') return JSON.parse(value) as Json;
  if (!WHOLE.test(String(type))) return value;
  const number = Number(value);
  return Number.isSafeInteger(number) || value.includes('.') ? number : value;
}

/** Builds results.duckdb where it is not of the store's present contents, and gives back its path. */
export async function refreshReadModel(folder: string, options: QueryOptions = {}): Promise<string> {
  const root = resolve(folder);
  await using store = await Store.open(root, { write: false, ...options });
  const graphs: ExperimentGraph[] = [];
  for (const name of await store.experiments.list()) {
    const graph = await store.experiments.graph(name);
    if (graph) graphs.push(graph);
  }
  const file = join(root, 'results.duckdb');
  const fingerprint = fingerprintOf(store, graphs);
  if ((await builtFrom(file)) === fingerprint) return file;
  const temporary = `${file}.tmp-${randomUUID()}`;
  try {
    await connected(temporary, QUIET, options.signal, (connection) =>
      buildReadModel(connection, store, graphs, fingerprint, options.signal),
    );
    await rename(temporary, file);
    return file;
  } catch (error) {
    options.signal?.throwIfAborted();
    const explained = await explainFullDisk(error, root);
    if (explained instanceof MlitError) throw explained;
    throw new MlitError('FILE_IO', `cannot build ${file}: ${(error as Error).message}`, {
      fields: { file },
      cause: error,
    });
  } finally {
    for (const left of [temporary, `${temporary}.wal`]) await rm(left, { force: true });
    await removeLeftovers(root);
  }
}

/** What a process that was killed while building has left. */
async function removeLeftovers(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    if (!name.startsWith('results.duckdb.tmp-')) continue;
    const { mtimeMs } = (await stat(join(root, name)).catch(() => undefined)) ?? { mtimeMs: Date.now() };
    if (Date.now() - mtimeMs > LEFT_MS) await rm(join(root, name), { force: true });
  }
}

function fingerprintOf(store: Store, graphs: readonly ExperimentGraph[]): string {
  return createHash('sha256')
    .update(JSON.stringify([SCHEMA_VERSION, Object.keys(TABLES), VIEWS, store.jobs(), graphs]))
    .digest('hex');
}

/** Undefined where there is no read model, or one that can't be read. */
async function builtFrom(file: string): Promise<string | undefined> {
  if (!existsSync(file)) return undefined;
  try {
    return await connected(file, READ_ONLY, undefined, async (connection) => {
      const found = await connection.runAndReadAll("SELECT value FROM meta WHERE key = 'fingerprint'");
      return found.getRowsJson()[0]?.[0] as string | undefined;
    });
  } catch {
    return undefined;
  }
}

async function connected<T>(
  file: string,
  config: Record<string, string>,
  signal: AbortSignal | undefined,
  work: (connection: DuckDBConnection) => Promise<T>,
): Promise<T> {
  const { DuckDBInstance } = await import('@duckdb/node-api');
  const instance = await DuckDBInstance.create(file, config);
  const connection = await instance.connect();
  // Again and again, for a statement that has not begun takes no notice.
  let interrupting: NodeJS.Timeout | undefined;
  const interrupt = (): void => {
    interrupting ??= setInterval(() => connection.interrupt(), 20);
  };
  signal?.addEventListener('abort', interrupt);
  try {
    signal?.throwIfAborted();
    return await work(connection);
  } finally {
    signal?.removeEventListener('abort', interrupt);
    clearInterval(interrupting);
    connection.closeSync();
    instance.closeSync();
  }
}
