// Data sets on a hub, served by a hub of this test's own: what is asked for, what is kept, and every way of failing.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fetchHubData } from '../../lib/data/hub';
import { readExamples } from '../../lib/data/read';
import { parseHubReference } from '../../lib/model/hub/reference';
import { commitOf, type FakeHub, startHub, stopAfterEach } from '../support/hub';

const COMMIT = commitOf('a');
const line = (id: string, lang = 'en') =>
  `${JSON.stringify({ id, lang, instruction: `question ${id}`, response: 'answer' })}\n`;

let folder: string;
let hub: FakeHub;
const cache = () => join(folder, 'hub', 'datasets--someone--set');
const serve = (files: Record<string, string>) => {
  hub.add('datasets/someone/set', files).refs.v1 = COMMIT;
};
const FILES = {
  'README.md': '# a set',
  'data/train-0.jsonl': line('1') + line('2'),
  'data/train-1.jsonl': line('3', 'fi'),
  'data/test.csv': 'id,instruction,response\nt1,q,a\n',
  'dataset_infos.json': '{}',
};

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hub-'));
  hub = await startHub(folder);
  serve(FILES);
});
stopAfterEach(() => hub);
afterEach(() => rmSync(folder, { recursive: true }));

describe('references', () => {
  it('has owner and name, and may have a revision and a path', () => {
    expect(parseHubReference('hf:a/b')).toEqual({ repo: 'a/b', revision: 'main' });
    expect(parseHubReference('hf:a/b@refs/convert/parquet:x/*.parquet')).toEqual({
      repo: 'a/b',
      revision: 'refs/convert/parquet',
      path: 'x/*.parquet',
    });
    expect(parseHubReference('hf:old')).toEqual({ repo: 'old', revision: 'main' });
    for (const wrong of [
      'hf:',
      'hf:a/b/c',
      'hf:a b',
      'hf:../x',
      'hf:a/b:../x',
      'hf:a/b@../../x',
      'hf:a/b@:x',
    ])
      expect(() => parseHubReference(wrong), wrong).toThrow(/expected hf:owner\/name/);
  });
});

describe('fetching', () => {
  it('reads the files that a pattern names, in order, and calls them by their address', async () => {
    const notes: string[] = [];
    const examples = await readExamples(['hf:someone/set:data/train-*.jsonl'], {
      onNote: (n) => notes.push(n),
    });
    expect(examples.map(({ id, lang }) => `${id} ${lang}`)).toEqual(['1 en', '2 en', '3 fi']);
    expect(examples[0]!.source).toEqual({ file: 'hf:someone/set:data/train-0.jsonl', line: 1 });
    expect(notes[0]).toMatch(/hf:someone\/set:data\/train-\*\.jsonl: fetching 2 files/);
  });

  it('keeps files as Python’s client does, and fetches none twice', async () => {
    const [first] = await fetchHubData('hf:someone/set@v1:data/test.csv');
    expect(first).toEqual({
      name: 'hf:someone/set@v1:data/test.csv',
      path: join(cache(), 'snapshots', COMMIT, 'data', 'test.csv'),
    });
    expect(readFileSync(first!.path, 'utf8')).toBe(FILES['data/test.csv']);
    expect(readlinkSync(first!.path)).toMatch(/^\.\.\/\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/);
    expect(readFileSync(join(cache(), 'refs', 'v1'), 'utf8')).toBe(COMMIT);
    hub.requests = [];
    await fetchHubData('hf:someone/set@v1:data/test.csv');
    expect(hub.transfers).toEqual([]);
  });

  it('asks nothing about a commit’s name, and reads tables and one language of a set', async () => {
    const examples = await readExamples([`sw=hf:someone/set@${COMMIT}:data/test.csv`]);
    expect(examples).toMatchObject([{ id: 't1.sw', lang: 'sw', parallelId: 't1' }]);
    expect(hub.requests.filter((request) => request.includes('/revision/'))).toEqual([]);
  });

  it('takes a folder, and the only file of records where no path is given', async () => {
    expect(await fetchHubData('hf:someone/set:data')).toHaveLength(3);
    serve({ 'README.md': '', 'dataset_infos.json': '{}', 'all.jsonl': line('1') });
    expect((await fetchHubData('hf:someone/set')).map(({ name }) => name)).toEqual([
      'hf:someone/set:all.jsonl',
    ]);
  });
});

describe('failing', () => {
  it('does not choose between splits', async () => {
    await expect(fetchHubData('hf:someone/set')).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
      message: expect.stringMatching(
        /several files.*hf:someone\/set:data\/test\.csv: data\/test\.csv, data\/train-0/,
      ),
    });
    await expect(fetchHubData('hf:someone/set:*.parquet')).rejects.toThrow(
      /no file .* matches '\*\.parquet'; there are data/,
    );
    serve({ 'README.md': '' });
    await expect(fetchHubData('hf:someone/set')).rejects.toThrow(/no file of records/);
  });

  it('says that a data set is not there or not open', async () => {
    await expect(fetchHubData('hf:someone/other')).rejects.toMatchObject({
      code: 'DOWNLOAD_FAILED',
      message: expect.stringMatching(/HTTP 401.*HF_TOKEN/),
    });
  });

  it('refuses a file that is not the one listed, and keeps nothing of it', async () => {
    for (const path of ['data/test.csv', 'data/train-0.jsonl'] as const) {
      hub.before = (request, response) => {
        if (!/\/(resolve|blob)\//.test(request.url ?? '')) return false;
        response.writeHead(200).end(FILES[path].replace('q', 'x'));
        return true;
      };
      await expect(fetchHubData(`hf:someone/set:${path}`)).rejects.toMatchObject({
        code: 'CHECKSUM_MISMATCH',
      });
    }
    expect(readdirSync(join(cache(), 'blobs'))).toEqual([]);
    expect(existsSync(join(cache(), 'refs'))).toBe(false);
  });

  it('stops when told', async () => {
    const control = new AbortController();
    hub.before = () => {
      control.abort(new Error('enough'));
      return true;
    };
    await expect(fetchHubData('hf:someone/set:data/test.csv', { signal: control.signal })).rejects.toThrow(
      'enough',
    );
  });
});

describe('without a network', () => {
  it('reads the cache where it may not ask, and says so', async () => {
    await fetchHubData('hf:someone/set:data/train-*.jsonl');
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    hub.requests = [];
    const notes: string[] = [];
    const found = await fetchHubData('hf:someone/set:data/train-*.jsonl', {
      onNote: (note) => notes.push(note),
    });
    expect(found.map(({ name }) => name)).toEqual([
      'hf:someone/set:data/train-0.jsonl',
      'hf:someone/set:data/train-1.jsonl',
    ]);
    expect(notes).toEqual([expect.stringMatching(/HF_HUB_OFFLINE is set; read from the cache/)]);
    expect(hub.requests).toEqual([]);
    await expect(fetchHubData('hf:someone/set:data/test.csv')).rejects.toThrow(
      /no file of the data set matches/,
    );
  });

  it('reads the cache where the hub can’t be reached, and else says both', async () => {
    await fetchHubData('hf:someone/set:data/test.csv');
    vi.stubEnv('HF_ENDPOINT', 'http://127.0.0.1:1');
    expect(await fetchHubData('hf:someone/set:data/test.csv')).toHaveLength(1);
    await expect(fetchHubData('hf:someone/new')).rejects.toMatchObject({
      code: 'DOWNLOAD_FAILED',
      message: expect.stringMatching(/can't be reached.*no revision main/),
    });
    vi.stubEnv('HF_HUB_OFFLINE', 'true');
    await expect(fetchHubData('hf:someone/set@v1')).rejects.toThrow(
      /HF_HUB_OFFLINE is set, and the cache .* has no revision v1/,
    );
  });

  it('reads what another client has put there', async () => {
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    const snapshot = join(cache(), 'snapshots', COMMIT);
    mkdirSync(snapshot, { recursive: true });
    writeFileSync(join(snapshot, 'x.jsonl'), line('1'));
    expect(await readExamples([`hf:someone/set@${COMMIT}`])).toMatchObject([{ id: '1' }]);
  });
});
