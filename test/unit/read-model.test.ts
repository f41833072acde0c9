// The read model says what the jobs' files say, is built anew when they change, and lets nobody write or look elsewhere.
import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { JobKind } from '../../lib/experiment/job';
import { query, refreshReadModel } from '../../lib/experiment/store/read-model';
import { TABLES, VIEWS } from '../../lib/experiment/store/schema';
import { Store } from '../../lib/experiment/store/store';
import { root, scratch } from '../support/fixtures';

// Brackets, stars and quotes are letters of a path, not patterns or ends of texts.
const parent = scratch();
const folder = join(parent, "st[o]re*'s");
const hash = (n: number): string => n.toString(16).padStart(32, 'a');
const [MIX, TRAIN, SAMPLE, MEASURE, SCORE, BASE_SAMPLE, BASE_MEASURE] = [1, 2, 3, 4, 5, 6, 7].map(hash) as [
  string,
  string,
  string,
  string,
  string,
  string,
  string,
];
const lines = (values: readonly unknown[]): string =>
  values.map((value) => `${JSON.stringify(value)}\n`).join('');

async function finish(store: Store, name: string, kind: JobKind, files: Record<string, string>) {
  const part = await store.begin(name);
  for (const [file, text] of Object.entries(files)) {
    await mkdir(join(part, file, '..'), { recursive: true });
    await writeFile(join(part, file), text);
  }
  await store.commit({
    hash: name,
    kind,
    description: { kind, seed: 1 },
    startedAt: '2024-05-06T07:08:09.000Z',
    seconds: 10,
    host: 'here',
    threads: 2,
    summary: { steps: 2 },
  });
}

const answer = (item: string, lang: string, response: string) => ({
  id: `${item}-${lang}`,
  lang,
  parallel_id: item,
  sample: 0,
  adapter: null,
  prompt: 'Q?',
  response,
  tokens: [1, 2, 3],
  finishReason: 'stop',
});
const measured = (item: string, lang: string, answerLang: string, measures: Record<string, number>) => ({
  id: `${item}-${lang}`,
  sample: 0,
  lang,
  answerLang,
  answerLangBy: 'script',
  measures,
  parallel_id: item,
});

const graph = {
  version: 1,
  experiment: "e2 'mini'",
  protocol: 'e2',
  spec: { n: 480 },
  arms: [
    { id: 'base', label: 'untuned', at: {}, evaluate: ['en', 'ru'] },
    { id: 'pinch-10', label: 'P = 10 %', at: { percent: 10 }, evaluate: ['en', 'ru'] },
  ],
  seeds: [1],
  models: [
    { arm: 'base', seed: 1, jobs: { sample: BASE_SAMPLE, measure: BASE_MEASURE } },
    {
      arm: 'pinch-10',
      seed: 1,
      jobs: { mix: MIX, train: TRAIN, sample: SAMPLE, measure: MEASURE, score: SCORE },
    },
  ],
  estimates: { [TRAIN]: 8 },
};

beforeAll(async () => {
  await using store = await Store.open(folder, { write: true });
  await finish(store, MIX, 'mix', {
    'mixture.jsonl': '',
    'manifest.json': JSON.stringify({
      version: 1,
      languages: {
        en: { examples: 432, responseBytes: 5000, sources: [], translationSystems: [] },
        ru: { examples: 48, responseBytes: 900, supervisedTokens: 200, tokens: 700, sources: [] },
      },
    }),
  });
  await finish(store, TRAIN, 'train', {
    'adapter/adapter_config.json': '{}',
    'run/events.jsonl': lines([
      { type: 'step', step: 1, loss: 2.5, learningRate: 1e-4, gradNorm: 1, tokens: 90, supervisedTokens: 30 },
      { type: 'eval', step: 1, loss: 2, perplexity: 7.39, lossByLanguage: {}, best: true, seconds: 1 },
      { type: 'step', step: 2, loss: 1.5, learningRate: 5e-5, gradNorm: 1, tokens: 80, supervisedTokens: 20 },
      { type: 'end', step: 2, reason: 'finished' },
    ]),
  });
  await finish(store, SAMPLE, 'sample', {
    'answers.jsonl': lines([
      answer('i1', 'en', 'a "cat",\nor two'),
      answer('i1', 'ru', 'кот'),
      answer('i2', 'ru', 'dog'),
    ]),
  });
  await finish(store, MEASURE, 'measure', {
    'measures.jsonl': lines([
      measured('i1', 'en', 'en', { chrf: 40, exactMatch: 1 }),
      measured('i1', 'ru', 'ru', { chrf: 30 }),
      measured('i2', 'ru', 'en', { chrf: 10 }),
      measured('i2', 'sw', 'sw', { chrf: 99 }),
    ]),
    'summary.json': '{}',
  });
  await finish(store, SCORE, 'score', {
    'likelihoods.jsonl': lines([
      { id: 'i1-ru', lang: 'ru', parallel_id: 'i1', nats: 6, tokens: 3, bytes: 6 },
      { id: 'i2-ru', lang: 'ru', parallel_id: 'i2', nats: 2, tokens: 1, bytes: 10 },
    ]),
  });
  await finish(store, BASE_SAMPLE, 'sample', { 'answers.jsonl': '' });
  await finish(store, BASE_MEASURE, 'measure', { 'measures.jsonl': '' });
  await store.experiments.write('mini', { 'graph.json': JSON.stringify(graph) });
  await refreshReadModel(folder);
});

const ask = async (sql: string): Promise<unknown[][]> => (await query(folder, sql)).rows;

describe('query', () => {
  it('has every table, filled from the jobs', async () => {
    const rows = await Promise.all(
      Object.keys(TABLES).map(async (name) => [name, (await ask(`SELECT count(*) FROM ${name}`))[0]![0]]),
    );
    expect(Object.fromEntries(rows)).toEqual({
      experiments: 1,
      models: 2,
      judgements: 0,
      verdicts: 0,
      jobs: 7,
      estimates: 1,
      train_steps: 2,
      train_evals: 1,
      mixtures: 2,
      answers: 3,
      answer_languages: 4,
      measures: 5,
      likelihoods: 2,
      meta: 3,
    });
  });

  it('gives values as they were written', async () => {
    expect(await query(folder, 'SELECT * FROM models WHERE arm <> $$base$$')).toEqual({
      columns: Object.keys(TABLES.models.columns),
      rows: [
        [
          "e2 'mini'",
          'pinch-10',
          'P = 10 %',
          1,
          1,
          { percent: 10 },
          ['en', 'ru'],
          MIX,
          TRAIN,
          SAMPLE,
          SCORE,
          MEASURE,
        ],
      ],
    });
    expect(
      await ask("SELECT started_at, bytes, description, summary FROM jobs WHERE kind = 'train'"),
    ).toEqual([['2024-05-06 07:08:09', expect.any(Number), { kind: 'train', seed: 1 }, { steps: 2 }]]);
    expect(await ask('SELECT lang, examples, supervised_tokens FROM mixtures ORDER BY lang')).toEqual([
      ['en', 432, null],
      ['ru', 48, 200],
    ]);
    expect(await ask('SELECT step, loss, supervised_tokens FROM train_steps ORDER BY step')).toEqual([
      [1, 2.5, 30],
      [2, 1.5, 20],
    ]);
    expect(await ask("SELECT item, response, new_tokens FROM answers WHERE lang = 'en'")).toEqual([
      ['i1', 'a "cat",\nor two', 3],
    ]);
    expect(await ask('SELECT 9007199254740993, 1.25::DECIMAL(6, 2), NULL, [1, 2]')).toEqual([
      ['9007199254740993', 1.25, null, [1, 2]],
    ]);
  });

  it('answers the common questions by views', async () => {
    expect(await ask('SELECT arm, lang, measure, items, value FROM scores ORDER BY ALL')).toEqual([
      ['pinch-10', 'en', 'chrf', 1, 40],
      ['pinch-10', 'en', 'exactMatch', 1, 1],
      ['pinch-10', 'ru', 'bytes', 2, 8],
      ['pinch-10', 'ru', 'chrf', 2, 20],
      ['pinch-10', 'ru', 'nats', 2, 4],
      ['pinch-10', 'ru', 'natsPerByte', 2, 0.5],
      ['pinch-10', 'ru', 'natsPerToken', 2, 2],
      ['pinch-10', 'ru', 'targetTokens', 2, 2],
    ]);
    expect(
      await ask('SELECT lang, answer_lang, answers, share FROM languages_of_answers ORDER BY ALL'),
    ).toEqual([
      ['en', 'en', 1, 1],
      ['ru', 'en', 1, 0.5],
      ['ru', 'ru', 1, 0.5],
    ]);
    expect(await ask("SELECT jobs, seconds, expected_seconds FROM costs WHERE kind = 'train'")).toEqual([
      [1, 10, 8],
    ]);
    expect(await ask("SELECT jobs, seconds, expected_seconds FROM costs WHERE kind = 'sample'")).toEqual([
      [2, 20, null],
    ]);
  });

  it('explains each table and column, and so does docs/store.md', async () => {
    const docs = await readFile(join(root, 'docs', 'store.md'), 'utf8');
    for (const [name, { about, columns }] of Object.entries(TABLES)) {
      expect(await ask(`SELECT comment FROM duckdb_tables() WHERE table_name = '${name}'`)).toEqual([
        [about],
      ]);
      const comments = await ask(
        `SELECT column_name, comment FROM duckdb_columns() WHERE table_name = '${name}' ORDER BY column_index`,
      );
      expect(comments).toEqual(Object.entries(columns).map(([column, [, text]]) => [column, text]));
      const row = docs.split('\n').find((line) => line.startsWith(`| \`${name}\``));
      for (const column of Object.keys(columns)) expect(row, name).toContain(`\`${column}\``);
    }
    for (const [name, { about }] of Object.entries(VIEWS)) {
      expect(await ask(`SELECT comment FROM duckdb_views() WHERE view_name = '${name}'`)).toEqual([[about]]);
      expect(docs).toContain(`| \`${name}\``);
    }
  });

  it('runs the questions of docs/store.md', async () => {
    const docs = await readFile(join(root, 'docs', 'store.md'), 'utf8');
    const block = docs.match(/```sql\n([\s\S]*?)```/)![1]!;
    const questions = block.split(';').filter((text) => text.trim() !== '');
    questions.push(...[...docs.matchAll(/experiment query runs "([^"]+)"/g)].map((found) => found[1]!));
    expect(questions.length).toBeGreaterThan(4);
    const answers = await Promise.all(questions.map((sql) => query(folder, sql)));
    expect(answers[0]).toEqual({ columns: ['arm', 'seed', 'ru'], rows: [['pinch-10', 1, 0.5]] });
    expect(answers[1]!.rows).toEqual([['pinch-10', 'ru', 'en', 'dog']]);
    expect(answers[2]!.rows).toHaveLength(2);
  });

  it.each([
    ['SELCT 1', /syntax error at or near "SELCT"/],
    ['SELECT * FROM job', /There are experiments, models, judgements, jobs/],
    ['SELECT speed FROM jobs', /"speed" not found/],
    ['', /expected one statement, found 0/],
    ['SELECT 1; SELECT 2', /expected one statement, found 2/],
    ['DELETE FROM jobs', /read-only/],
    ["SELECT * FROM read_text('/etc/hostname')", /disabled by configuration/],
    ["COPY jobs TO 'stolen.csv'", /disabled by configuration/],
    ["ATTACH 'other.duckdb'", /disabled by configuration/],
    ['SET enable_external_access = true', /locked|cannot be/i],
    ['INSTALL httpfs', /disabled by configuration/],
  ])('refuses %s', async (sql, message) => {
    const error = await query(folder, sql).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RangeError);
    expect((error as Error).message).toMatch(message);
    expect(await ask('SELECT count(*) FROM jobs')).toEqual([[7]]);
  });

  it('is interrupted', async () => {
    const controller = new AbortController();
    const asked = query(
      folder,
      'SELECT count(*) FROM range(1000000000000) a, range(1000) b WHERE a.range % 7 = 3',
      {
        signal: controller.signal,
      },
    );
    setTimeout(() => controller.abort(), 300);
    await expect(asked).rejects.toThrow(/abort/i);
  });

  it('says that there is no store', async () => {
    await expect(query(join(parent, 'none'), 'SELECT 1')).rejects.toMatchObject({ code: 'STORE_INVALID' });
  });
});

describe('refreshReadModel', () => {
  it('builds only when jobs or experiments have changed, or the file is damaged', async () => {
    const file = await refreshReadModel(folder);
    const built = async () => (await stat(file)).ino;
    const first = await built();
    await refreshReadModel(folder);
    expect(await built()).toBe(first);

    await using store = await Store.open(folder, { write: true });
    await finish(store, hash(9), 'mix', {});
    expect(await ask('SELECT count(*) FROM jobs')).toEqual([[8]]);
    await store.experiments.write('second', {
      'graph.json': JSON.stringify({ ...graph, experiment: 'second' }),
    });
    expect(await ask('SELECT count(*) FROM experiments')).toEqual([[2]]);
    await rm(join(folder, 'experiments', 'second'), { recursive: true });
    await rm(join(folder, 'jobs', hash(9)), { recursive: true });
    expect(await ask('SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM experiments)')).toEqual([
      [7, 1],
    ]);
    await writeFile(file, 'not a database');
    const left = `${file}.tmp-killed`;
    await writeFile(left, '');
    await utimes(left, 1, 1);
    expect(await ask('SELECT count(*) FROM jobs')).toEqual([[7]]);
    expect((await readdir(folder)).filter((name) => name.includes('.tmp-'))).toEqual([]);
  });

  it('works for several who ask at once', async () => {
    await rm(join(folder, 'results.duckdb'));
    const asked = Array.from({ length: 6 }, () => ask('SELECT count(*) FROM measures'));
    expect(await Promise.all(asked)).toEqual(Array(6).fill([[5]]));
  });
});
