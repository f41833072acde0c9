// Builds the read model from what the store says is finished. Small things go in as JSON rows; the lines of answers and
// measures are read by DuckDB from the jobs' files.

import { readFile } from 'node:fs/promises';
import type { DuckDBConnection } from '@duckdb/node-api';
import type { MixtureManifest } from '../../data/mixture/types';
import { quote, rowStructure, SCHEMA_VERSION, schemaStatements, type TableName } from './schema';
import type { Store } from './store';
import type { ExperimentGraph } from './types';

/** Fills an empty database. */
export async function buildReadModel(
  connection: DuckDBConnection,
  store: Store,
  graphs: readonly ExperimentGraph[],
  fingerprint: string,
  signal?: AbortSignal,
): Promise<void> {
  await connection.run('BEGIN');
  for (const statement of schemaStatements()) await connection.run(statement);
  await insert(connection, 'experiments', graphs.map(experimentRow));
  await insert(connection, 'models', graphs.flatMap(modelRows));
  await insert(connection, 'judgements', graphs.flatMap(judgementRows));
  await insert(connection, 'estimates', graphs.flatMap(estimateRows));
  await insert(connection, 'jobs', store.jobs().map(jobRow));
  await insert(connection, 'mixtures', await mixtureRows(store));
  for (const load of LOADS) {
    signal?.throwIfAborted();
    await loadLines(connection, store, load);
  }
  const meta = { fingerprint, schema: String(SCHEMA_VERSION), built_at: new Date().toISOString() };
  await insert(
    connection,
    'meta',
    Object.entries(meta).map(([key, value]) => ({ key, value })),
  );
  await connection.run('COMMIT');
}

type Row = Record<string, unknown>;

async function insert(connection: DuckDBConnection, table: TableName, rows: readonly Row[]): Promise<void> {
  if (rows.length === 0) return;
  await connection.run(
    `INSERT INTO ${table} BY NAME SELECT unnest(from_json(?, ${quote(rowStructure(table))}), recursive := true)`,
    [JSON.stringify(rows)],
  );
}

function experimentRow({ experiment, protocol, seeds, spec }: ExperimentGraph): Row {
  return { experiment, protocol, seeds, spec };
}

function modelRows({ experiment, arms, models }: ExperimentGraph): Row[] {
  const places = new Map(arms.map((arm, place) => [arm.id, { ...arm, place }]));
  return models.map(({ arm, seed, jobs }) => {
    const { label = arm, at = {}, evaluate = [], place = null } = places.get(arm) ?? {};
    return {
      experiment,
      arm,
      label,
      seed,
      place,
      at,
      evaluate,
      ...Object.fromEntries(Object.entries(jobs).map(([kind, hash]) => [`${kind}_job`, hash])),
    };
  });
}

function judgementRows({ experiment, judgements = [] }: ExperimentGraph): Row[] {
  return judgements.map(({ job, ...judgement }) => ({ experiment, ...judgement, judge_job: job }));
}

function estimateRows({ experiment, estimates }: ExperimentGraph): Row[] {
  return Object.entries(estimates ?? {}).map(([job, seconds]) => ({ experiment, job, seconds }));
}

function jobRow(job: ReturnType<Store['jobs']>[number]): Row {
  const { hash, kind, startedAt, seconds, host, threads, description, summary, outputs } = job;
  const bytes = Object.values(outputs).reduce((sum, file) => sum + file.bytes, 0);
  return { job: hash, kind, started_at: startedAt, seconds, host, threads, bytes, description, summary };
}

async function mixtureRows(store: Store): Promise<Row[]> {
  const rows: Row[] = [];
  for (const { hash, kind, outputs } of store.jobs()) {
    if (kind !== 'mix' || !('manifest.json' in outputs)) continue;
    const text = await readFile(store.outputPath(hash, 'manifest.json'), 'utf8');
    for (const [lang, entry] of Object.entries((JSON.parse(text) as MixtureManifest).languages)) {
      const { examples, responseBytes, supervisedTokens, tokens } = entry;
      rows.push({
        job: hash,
        lang,
        examples,
        response_bytes: responseBytes,
        supervised_tokens: supervisedTokens,
        tokens,
      });
    }
  }
  return rows;
}

/** How the lines of one file of a kind's jobs become rows. */
interface Load {
  kind: string;
  file: string;
  table: TableName;
  /** Fields as they stand in the file. */
  fields: Readonly<Record<string, string>>;
  select: string;
  where?: string;
}

const RECORD = { id: 'VARCHAR', lang: 'VARCHAR', parallel_id: 'VARCHAR', item: 'VARCHAR' };
const KEY = 'id, coalesce(parallel_id, item, id) AS item, lang';
const MEASURED = { ...RECORD, sample: 'INTEGER', answerLang: 'VARCHAR', measures: 'MAP(VARCHAR, DOUBLE)' };
const EVENTS = { kind: 'train', file: 'run/events.jsonl' } as const;

const LOADS: readonly Load[] = [
  {
    ...EVENTS,
    table: 'train_steps',
    fields: {
      type: 'VARCHAR',
      step: 'INTEGER',
      loss: 'DOUBLE',
      learningRate: 'DOUBLE',
      gradNorm: 'DOUBLE',
      tokens: 'BIGINT',
      supervisedTokens: 'BIGINT',
      seconds: 'DOUBLE',
    },
    select: `step, loss, learningRate AS learning_rate, gradNorm AS grad_norm, tokens,
      supervisedTokens AS supervised_tokens, seconds`,
    where: "type = 'step'",
  },
  {
    ...EVENTS,
    table: 'train_evals',
    fields: { type: 'VARCHAR', step: 'INTEGER', loss: 'DOUBLE', perplexity: 'DOUBLE', best: 'BOOLEAN' },
    select: 'step, loss, perplexity, best',
    where: "type = 'eval'",
  },
  {
    kind: 'sample',
    file: 'answers.jsonl',
    table: 'answers',
    fields: {
      ...RECORD,
      sample: 'INTEGER',
      prompt: 'VARCHAR',
      response: 'VARCHAR',
      tokens: 'BIGINT[]',
      finishReason: 'VARCHAR',
    },
    select: `${KEY}, coalesce(sample, 0) AS sample, prompt, response, len(tokens) AS new_tokens,
      finishReason AS finish_reason`,
  },
  {
    kind: 'measure',
    file: 'measures.jsonl',
    table: 'answer_languages',
    fields: MEASURED,
    select: `${KEY}, coalesce(sample, 0) AS sample, answerLang AS answer_lang`,
    where: 'answerLang IS NOT NULL',
  },
  {
    kind: 'measure',
    file: 'measures.jsonl',
    table: 'measures',
    fields: MEASURED,
    select: `${KEY}, coalesce(sample, 0) AS sample, unnest(map_keys(measures)) AS measure,
      unnest(map_values(measures)) AS value`,
  },
  {
    kind: 'score',
    file: 'likelihoods.jsonl',
    table: 'likelihoods',
    fields: { ...RECORD, nats: 'DOUBLE', tokens: 'BIGINT', bytes: 'BIGINT' },
    select: `${KEY}, nats, tokens, bytes`,
  },
  {
    kind: 'judge',
    file: 'verdicts.jsonl',
    table: 'verdicts',
    fields: {
      judge: 'VARCHAR',
      id: 'VARCHAR',
      item: 'VARCHAR',
      lang: 'VARCHAR',
      sample: 'INTEGER',
      order: 'VARCHAR',
      verdict: 'VARCHAR',
      reason: 'VARCHAR',
      model: 'VARCHAR',
      identical: 'BOOLEAN',
    },
    select: `judge, id, item, lang, sample, "order" AS shown, verdict, reason, model,
      coalesce(identical, false) AS identical`,
  },
];

async function loadLines(connection: DuckDBConnection, store: Store, load: Load): Promise<void> {
  const files = store
    .jobs()
    .filter(({ kind, outputs }) => kind === load.kind && load.file in outputs)
    .map(({ hash }) => ({ job: hash, file: store.outputPath(hash, load.file) }));
  if (files.length === 0) return;
  const columns = Object.entries(load.fields).map(([name, type]) => `"${name}": ${quote(type)}`);
  const source = `read_json([${files.map(({ file }) => quote(file)).join(', ')}], format = 'newline_delimited',
    columns = {${columns.join(', ')}}, filename = true)`;
  const names = files.map(({ job, file }) => `(${quote(file)}, ${quote(job)})`).join(', ');
  await connection.run(`
    INSERT INTO ${load.table} BY NAME
    SELECT names.job, ${load.select}
    FROM ${source} AS lines JOIN (VALUES ${names}) AS names(filename, job) ON names.filename = lines.filename
    ${load.where === undefined ? '' : `WHERE ${load.where}`}`);
}
