// What comes from elsewhere in forms that others define: tables, compressed files, published data sets, a hub's answers, and
// the lists of files that both hubs and models bring, whose names become names on this disk.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { DuckDBInstance } from '@duckdb/node-api';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Experiments } from '../../lib/experiment/store/experiments';
import { readProgress } from '../../lib/experiment/store/progress';
import { importData, readExamples } from '../../lib/index';
import { fetchSnapshot } from '../../lib/model/hub/snapshot';
import { fetchHubModel } from '../../lib/model/hub-model';
import { INDEX_FILE, modelIdentity, shardsOf } from '../../lib/model/weight-files';
import { commitOf, type FakeHub, gitHash, startHub } from '../support/hub';
import { answers, damaged, deep, hostileFolder, mutated, property, textOf } from './hostile';

const write = hostileFolder();

/** A database is opened for each table. */
const CASES = 15;

describe('tables', () => {
  const csv =
    'id,lang,instruction,response\n1,fi,"Sano, ""kissa""",kissa\n2,sw,"Sema\nndiyo",ndiyo\n3,en,Say,\n';
  const chat = 'id\tmessages\n1\t"[{""role"":""user"",""content"":""q""}]"\n';
  for (const need of ['response', 'prompt'] as const)
    property(
      `of CSV, damaged, for ${need}`,
      damaged(csv),
      async (bytes) => {
        const file = write('data.csv', bytes);
        await answers(() => readExamples([file], { need }), 'data.csv');
      },
      CASES,
    );
  property(
    'of TSV with conversations, damaged',
    damaged(chat),
    async (bytes) => {
      const file = write('data.tsv', bytes);
      await answers(() => readExamples([file], { need: 'prompt' }), 'data.tsv');
    },
    CASES,
  );

  // Made before the tests are collected: the property needs its bytes.
  const made = mkdtempSync(join(tmpdir(), 'mlit-parquet-'));
  afterAll(() => rmSync(made, { recursive: true, force: true }));
  let parquet = Buffer.alloc(0);
  beforeAll(async () => {
    const connection = await (await DuckDBInstance.create(':memory:', { threads: '1' })).connect();
    const rows = `SELECT i AS id, 'fi' AS lang, [{role: 'user', content: 'q' || i}, {role: 'assistant', content: 'a'}] AS messages FROM range(20) t(i)`;
    await connection.run(`COPY (${rows}) TO '${join(made, 'valid.parquet')}' (FORMAT parquet)`);
    connection.closeSync();
    parquet = readFileSync(join(made, 'valid.parquet'));
  });
  property(
    'of Parquet, damaged',
    fc.array(fc.tuple(fc.nat(5000), fc.nat(255)), { minLength: 1, maxLength: 6 }),
    async (edits) => {
      const bytes = Buffer.from(parquet);
      for (const [at, byte] of edits) bytes[at % bytes.length] = byte;
      const file = write('data.parquet', bytes);
      await answers(() => readExamples([file]), 'data.parquet');
    },
    CASES,
  );
  property(
    'of Parquet, cut',
    fc.nat(5000),
    async (length) => {
      const file = write('cut.parquet', parquet.subarray(0, length % parquet.length));
      await expect(readExamples([file])).rejects.toMatchObject({ name: 'MlitError' });
    },
    CASES,
  );

  for (const [name, text] of [
    ['data.csv.gz', csv],
    ['data.jsonl.gz', '{"instruction":"Say","response":"x"}\n'.repeat(50)],
  ] as const)
    property(`compressed, ${name}, damaged`, damaged(gzipSync(text)), async (bytes) => {
      const file = write(name, bytes);
      await answers(() => readExamples([file]), name);
    });
});

describe('published sets', () => {
  const message = {
    message_id: 'a',
    parent_id: null,
    role: 'prompter',
    text: 'q',
    lang: 'en',
    review_result: true,
    deleted: false,
    replies: [{ message_id: 'b', parent_id: 'a', role: 'assistant', text: 'a', lang: 'en', rank: 0 }],
  };
  for (const [name, record] of [
    ['lima', { conversations: ['q', 'a', 'q', 'a'], source: 's' }],
    ['alpaca-farm', { instruction: 'q', input: '', output: 'a', generator: 'g', dataset: 'helpful' }],
    ['oasst', { message_tree_id: 'a', tree_state: 'ready_for_export', prompt: message }],
    ['oasst', message],
  ] as const)
    property(
      `of ${name}, ${Object.keys(record)[0]}…, with places replaced`,
      mutated(record),
      async (value) => {
        const file = write('set.jsonl', `${textOf(value)}\n`);
        const read = await answers(() => importData(name, [file], { withOutput: true }), 'set.jsonl');
        for (const kept of read?.records ?? []) expect(typeof kept.id).toBe('string');
      },
    );
});

describe('an index of shards', () => {
  const valid = { metadata: {}, weight_map: { a: 'm-1.safetensors', b: 'sub/m-2.safetensors' } };
  const plain = /^(?!.*(?:^|\/)\.\.(?:\/|$))[^/].*\.safetensors$/;
  property('with places replaced', mutated(valid), async (value) => {
    const names = await answers(() => shardsOf(textOf(value), 'index.json'), 'index.json');
    for (const name of names ?? []) expect(name).toMatch(plain);
  });
  it('whose shards are lists in lists is refused', () => {
    const text = `{"weight_map":{"a":"m.safetensors","b":${deep('[', ']')}}}`;
    expect(() => shardsOf(text, 'index.json')).toThrow(/^index\.json: expected weight_map/);
  });
  property('beside no weights', damaged(JSON.stringify(valid)), async (bytes) => {
    write('config.json', '{}');
    const folder = join(write(INDEX_FILE, bytes), '..');
    await answers(() => modelIdentity(folder, 'folder'), 'safetensors');
  });
});

describe('a hub’s answers', () => {
  const home = mkdtempSync(join(tmpdir(), 'mlit-fuzz-hub-'));
  let hub: FakeHub;
  beforeAll(async () => {
    hub = await startHub(join(home, 'cache'));
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await hub.stop();
    rmSync(home, { recursive: true, force: true });
  });
  /** The hub says this of the one repository that there is. */
  const says = (answer: { revision?: unknown; tree?: unknown }): void => {
    hub.add('models/o/m', { 'config.json': '{}', 'model.gguf': 'x' });
    hub.before = (request, response) => {
      const what = /^\/api\/models\/o\/m\/(revision|tree)\//.exec(request.url ?? '')?.[1];
      if (what === undefined || !(what in answer)) return false;
      const text = textOf(answer[what as 'revision' | 'tree']);
      response.writeHead(200, { 'content-type': 'application/json' }).end(text);
      return true;
    };
  };
  const ask = (): Promise<string[]> =>
    fetchSnapshot('model', 'hf:o/m', { repo: 'o/m', revision: 'main' }, (paths) => {
      for (const path of paths) expect(path.split('/')).not.toContain('..');
      return [];
    }).then(({ paths }) => paths);
  const revision = { _id: '1', id: 'o/m', sha: commitOf('a'), lastModified: '2024-01-01T00:00:00.000Z' };
  const tree = [
    { type: 'file', path: 'config.json', size: 2, oid: gitHash('{}') },
    { type: 'file', path: 'model.gguf', size: 1, oid: 'b'.repeat(40), lfs: { oid: 'c'.repeat(64), size: 1 } },
    { type: 'directory', path: 'sub', size: 0, oid: '' },
  ];
  property('of a revision, with places replaced', mutated(revision), async (value) => {
    says({ revision: value });
    await answers(ask, 'hf:o/m');
  });
  property('of files, with places replaced', mutated(tree), async (value) => {
    says({ tree: value });
    await answers(ask, 'hf:o/m');
  });
  it('whose names lead out of the cache are refused, and nothing is written there', async () => {
    for (const path of [
      '../../../out.gguf',
      'a/../../../../out.gguf',
      '/out.gguf',
      'a//out.gguf',
      './out.gguf',
      'out\0.gguf',
      `${'o'.repeat(5000)}ut.gguf`,
    ]) {
      says({});
      hub.before = (request, response) => {
        if (request.url?.includes('/revision/')) return false;
        const tree = [{ type: 'file', path, size: 1, oid: gitHash('x') }];
        const body = request.url?.includes('/tree/') ? JSON.stringify(tree) : 'x';
        response.writeHead(200, { 'content-type': 'application/json' }).end(body);
        return true;
      };
      await expect(fetchHubModel('hf:o/m', 'weights'), path.slice(0, 40)).rejects.toMatchObject({
        name: 'MlitError',
        code: 'DOWNLOAD_FAILED',
        message: expect.stringMatching(/^hf:o\/m: the hub lists .{0,300}$/s),
      });
    }
    const names = existsSync(home) ? (readdirSync(home, { recursive: true }) as string[]) : [];
    expect(names.filter((name) => name.includes('out'))).toEqual([]);
  });
});

describe('what an experiment keeps of itself', () => {
  const graph = { version: 1, name: 'e', models: [{ id: 'a' }], arms: [], jobs: {} };
  mkdirSync(join(write('x', ''), '..', 'experiments', 'e'), { recursive: true });
  property('graph.json with places replaced', mutated(graph), async (value) => {
    const file = write(join('experiments', 'e', 'graph.json'), textOf(value));
    const read = await answers(() => new Experiments(join(file, '..', '..', '..')).graph('e'), 'graph.json');
    if (read) expect(read.version).toBe(1);
  });
  property(
    'progress.json with places replaced',
    mutated({ pid: 1, started: 1, host: 'h', done: 1, total: 2 }),
    async (value) => {
      const file = write('progress.json', textOf(value));
      await answers(() => readProgress(join(file, '..')));
    },
  );
  it('is not followed where it nests without end', async () => {
    const file = write(
      join('experiments', 'e', 'graph.json'),
      `{"version":1,"models":[],"a":${deep('[', ']')}}`,
    );
    await expect(new Experiments(join(file, '..', '..', '..')).graph('e')).rejects.toMatchObject({
      code: 'STORE_INVALID',
    });
  });
});
