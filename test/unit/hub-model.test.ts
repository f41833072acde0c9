// Models straight from a hub: what is fetched of one, what is said where it can't be, and that no failure on the way (a cut
// connection, a busy hub, wrong bytes, two at once) leaves the cache in a state that another client or the next run trips over.
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import type { ServerResponse } from 'node:http';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { pinHubModel, repoOfCachedPath } from '../../lib/model/hub-model';
import { resolveModel } from '../../lib/model/source';
import { commitOf, type FakeHub, type Files, gitHash, startHub, stopAfterEach } from '../support/hub';

const A = commitOf('a');
const B = commitOf('b');
const weights = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * 7) % 251));
const index = (...shards: string[]) =>
  JSON.stringify({ weight_map: Object.fromEntries(shards.map((shard, i) => [`t${i}`, shard])) });

let folder: string;
let hub: FakeHub;
const NAME = 'hf:someone/tiny';
const cache = () => join(folder, 'hub', 'models--someone--tiny');
const blobs = () => readdirSync(join(cache(), 'blobs'));
const FILES: Files = {
  'README.md': '# a model',
  'config.json': '{}',
  'generation_config.json': '{}',
  'tokenizer.json': '{}',
  'tokenizer_config.json': '{}',
  'chat_template.jinja': 'x',
  'model.safetensors': weights,
  'pytorch_model.bin': 'pickle',
  'original/consolidated.safetensors': 'large',
  'flax_model.msgpack': 'large',
};

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hub-model-'));
  hub = await startHub(folder);
  hub.add('models/someone/tiny', FILES);
});
stopAfterEach(() => hub);
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('what is fetched', () => {
  it('is configuration, tokenizer and safetensors, and nothing beside them', async () => {
    const notes: string[] = [];
    const seen: number[] = [];
    const found = await resolveModel(NAME, {
      onNote: (note) => notes.push(note),
      onFetch: ({ doneBytes, totalBytes }) => seen.push(doneBytes / totalBytes),
    });
    expect(found).toEqual({
      path: join(cache(), 'snapshots', A),
      kind: 'folder',
      baseName: 'someone/tiny',
      commit: A,
    });
    expect(readdirSync(found.path).sort()).toEqual([
      'chat_template.jinja',
      'config.json',
      'generation_config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    expect(readFileSync(join(found.path, 'model.safetensors')).equals(weights)).toBe(true);
    expect(readFileSync(join(cache(), 'refs', 'main'), 'utf8')).toBe(A);
    expect(blobs().every((name) => /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(name))).toBe(true);
    expect(notes).toEqual([expect.stringMatching(/^hf:someone\/tiny: fetching 6 files, 0\.2 MiB$/)]);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.at(-1)).toBe(1);
    // Again: asked for what the branch stands at, and nothing else.
    hub.requests = [];
    expect(await resolveModel(NAME)).toEqual(found);
    expect(hub.transfers).toEqual([]);
  });

  it('leaves the weights where only the tokenizer is wanted', async () => {
    const { path } = await resolveModel(NAME, { need: 'tokenizer' });
    expect(existsSync(join(path, 'tokenizer.json'))).toBe(true);
    expect(existsSync(join(path, 'model.safetensors'))).toBe(false);
    await resolveModel(NAME);
    expect(existsSync(join(path, 'model.safetensors'))).toBe(true);
  });

  it('is every shard that the index names', async () => {
    const shards = { 'model-1-of-2.safetensors': 'first', 'model-2-of-2.safetensors': 'second' };
    const { 'model.safetensors': _, ...rest } = FILES;
    const sharded = {
      ...rest,
      ...shards,
      'model.safetensors.index.json': index('model-2-of-2.safetensors', 'model-1-of-2.safetensors'),
      'model-9-of-9.safetensors': 'of another',
    };
    hub.add('models/someone/tiny', sharded);
    const { path } = await resolveModel(NAME);
    expect(
      readdirSync(path)
        .filter((name) => name.startsWith('model'))
        .sort(),
    ).toEqual([...Object.keys(shards), 'model.safetensors.index.json'].sort());
  });

  it('is the .gguf file that is named, or the only one', async () => {
    hub.add('models/someone/tiny', { 'a-q4_k_m.gguf': 'q4', 'sub/a-q8_0.gguf': 'q8', 'README.md': '' });
    const named = await resolveModel(`${NAME}@main:sub/a-q8_0.gguf`);
    expect(named).toMatchObject({ kind: 'gguf', path: join(cache(), 'snapshots', A, 'sub', 'a-q8_0.gguf') });
    expect(readFileSync(named.path, 'utf8')).toBe('q8');
    await expect(resolveModel(NAME)).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
      message: expect.stringMatching(/several \.gguf.*as hf:someone\/tiny:a-q4_k_m\.gguf: a-q4/),
    });
    hub.add('models/someone/tiny', { 'a.gguf': 'only' }, B);
    expect(await resolveModel(NAME)).toMatchObject({ kind: 'gguf', commit: B });
  });

  it('goes with a revision that moves, and stays with a commit', async () => {
    const before = await resolveModel(NAME);
    const repo = hub.repos['models/someone/tiny']!;
    repo.commits[B] = { ...FILES, 'config.json': '{"moved":1}' };
    repo.refs.main = B;
    const after = await resolveModel(NAME);
    expect(after.commit).toBe(B);
    expect(readFileSync(join(cache(), 'refs', 'main'), 'utf8')).toBe(B);
    expect(hub.transfers.filter((request) => request.includes(`${B}/model.safetensors`))).toEqual([]); // the same blob
    const pinned = pinHubModel(NAME, A);
    expect(pinned).toBe(`hf:someone/tiny@${A}`);
    expect(await resolveModel(pinned)).toEqual(before);
    // A history that was rewritten takes the commit away; the cache has it still.
    delete repo.commits[A];
    expect((await resolveModel(pinned)).path).toBe(before.path);
    rmSync(join(cache(), 'snapshots', A), { recursive: true });
    await expect(resolveModel(pinned)).rejects.toThrow(
      /HTTP 404 from the hub: the model has no such revision/,
    );
  });

  it('is called by its name on the hub also where its place in the cache is given', async () => {
    const { path } = await resolveModel(NAME);
    expect((await resolveModel(path)).baseName).toBe('someone/tiny');
    expect(repoOfCachedPath(`/x/models--gpt2/snapshots/${A}/a.gguf`)).toBe('gpt2');
    expect(repoOfCachedPath(`/x/models--a--b--c/snapshots/${A}`)).toBe('a/b--c');
    expect(repoOfCachedPath('/x/models--a--b/blobs')).toBeUndefined();
  });
});

describe('refusals say what to do', () => {
  const refused = (pattern: RegExp) =>
    expect(resolveModel(NAME)).rejects.toMatchObject({
      code: 'DOWNLOAD_FAILED',
      message: expect.stringMatching(pattern),
    });

  it('of gated models, without and with a token', async () => {
    Object.assign(hub.repos['models/someone/tiny']!, { access: 'gated', accepted: ['hf_friend'] });
    await refused(/HTTP 401.*gated; accept its terms at http.*\/someone\/tiny and set HF_TOKEN/);
    vi.stubEnv('HF_TOKEN', 'hf_stranger');
    await refused(/HTTP 403.*gated, and the token's owner has not been let in; accept its terms/);
    vi.stubEnv('HF_TOKEN', 'hf_friend');
    expect((await resolveModel(NAME)).commit).toBe(A);
  });

  it('of models that are not there, closed, or shut', async () => {
    await expect(resolveModel('hf:someone/tinny')).rejects.toThrow(/HTTP 401.*spelt hf:owner\/name/);
    Object.assign(hub.repos['models/someone/tiny']!, { access: 'private', accepted: ['hf_friend'] });
    vi.stubEnv('HF_TOKEN', 'hf_stranger');
    await refused(/HTTP 404.*\(the one given may not\)/);
    hub.repos['models/someone/tiny']!.access = 'disabled';
    await refused(/HTTP 403.*the hub has closed the model/);
  });

  it('of tokens, which are never shown', async () => {
    vi.stubEnv('HF_TOKEN', 'hf_unknown');
    await refused(/HTTP 401.*does not know the token/);
    vi.stubEnv('HF_TOKEN', 'sk-secret');
    const error = await resolveModel(NAME).catch((reason: Error) => reason);
    expect(String(error)).toContain('does not begin with hf_');
    expect(String(error)).not.toContain('secret');
  });

  it('of revisions and files that are not there', async () => {
    await expect(resolveModel(`${NAME}@v9`)).rejects.toThrow(/HTTP 404.*no such revision/);
    await expect(resolveModel(`${NAME}:x.gguf`)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
    await expect(resolveModel(`${NAME}:Q4_K_M`)).rejects.toThrow(/behind the colon a \.gguf file/);
    await expect(resolveModel('hf:a/b/c')).rejects.toThrow(RangeError);
  });

  it.each<[string, Files, RegExp]>([
    ['an adapter', { 'adapter_config.json': '{}' }, /holds an adapter/],
    ['pickles only', { 'config.json': '{}', 'pytorch_model.bin': '' }, /can run code/],
    ['nothing of a model', { 'README.md': '' }, /neither config\.json/],
  ])('of repositories with %s', async (_, files, pattern) => {
    hub.add('models/someone/tiny', files);
    await expect(resolveModel(NAME)).rejects.toMatchObject({
      code: 'MODEL_UNSUPPORTED',
      message: expect.stringMatching(pattern),
    });
  });

  it('of an index that leads elsewhere or nowhere', async () => {
    const files = (text: string) => ({ 'config.json': '{}', 'model.safetensors.index.json': text });
    for (const text of [
      index('../../x.safetensors'),
      index('/etc/x.safetensors'),
      '{',
      '{"weight_map":{}}',
    ]) {
      hub.add('models/someone/tiny', files(text));
      rmSync(cache(), { recursive: true, force: true });
      await expect(resolveModel(NAME), text).rejects.toMatchObject({ code: 'FILE_DAMAGED' });
    }
    hub.add('models/someone/tiny', files(index('model-1.safetensors')));
    rmSync(cache(), { recursive: true, force: true });
    await expect(resolveModel(NAME)).rejects.toThrow(/names model-1\.safetensors, which is not there/);
  });
});

describe('the token', () => {
  it('goes to the hub and not to where the hub sends one for the bytes', async () => {
    vi.stubEnv('HF_TOKEN', 'hf_friend');
    await resolveModel(NAME);
    const authorizations = hub.requests.map(
      (request, i) => `${request.slice(0, 3)} ${hub.headers[i]!.authorization}`,
    );
    expect(new Set(authorizations)).toEqual(new Set(['hub Bearer hf_friend', 'cdn undefined']));
  });

  it('is also that of `hf auth login`', async () => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'token'), 'hf_friend\n');
    Object.assign(hub.repos['models/someone/tiny']!, { access: 'gated', accepted: ['hf_friend'] });
    await resolveModel(NAME);
    expect(readdirSync(join(folder, 'hub', 'models--someone--tiny')).sort()).toEqual([
      'blobs',
      'refs',
      'snapshots',
    ]);
  });
});

describe('interrupted transfers', () => {
  const ranges = () => hub.headers.map(({ range }) => range).filter((range) => range !== undefined);

  it('go on where the connection was cut', async () => {
    hub.add('models/someone/tiny', { 'a.gguf': weights });
    hub.cuts = [60_000, 90_000];
    const { path } = await resolveModel(NAME);
    expect(readFileSync(path).equals(weights)).toBe(true);
    expect(hub.transfers.filter((request) => request.startsWith('cdn'))).toHaveLength(3);
    expect(ranges()).toEqual(expect.arrayContaining(['bytes=60000-', 'bytes=150000-']));
  });

  it('keep what has come when they are given up, for the next one', async () => {
    hub.add('models/someone/tiny', { 'a.gguf': weights });
    hub.cuts = [100_000, 0, 0, 0, 0, 0];
    await expect(resolveModel(NAME)).rejects.toMatchObject({
      code: 'DOWNLOAD_FAILED',
      message: expect.stringMatching(/a\.gguf: the transfer broke off 5 times/),
    });
    expect(existsSync(join(cache(), 'refs'))).toBe(false);
    expect(blobs()).toEqual([expect.stringMatching(/\.mlit-free-/)]);
    hub.headers = [];
    const { path } = await resolveModel(NAME);
    expect(readFileSync(path).equals(weights)).toBe(true);
    expect(ranges()[0]).toBe('bytes=100000-');
    expect(blobs()).toHaveLength(1);
  });

  it('begin anew where the kept bytes are wrong, too many, or the hub knows no ranges', async () => {
    hub.add('models/someone/tiny', { 'a.gguf': weights });
    const { path } = await resolveModel(NAME);
    const [etag] = blobs();
    const part = join(cache(), 'blobs', `${etag}.mlit-free-00000000`);
    for (const kept of [Buffer.alloc(50_000, 1), Buffer.concat([weights, weights]), Buffer.alloc(200_000)]) {
      rmSync(join(cache(), 'blobs', etag!));
      writeFileSync(part, kept);
      await resolveModel(NAME);
      expect(readFileSync(path).equals(weights)).toBe(true);
      expect(blobs()).toEqual([etag]);
    }
    rmSync(join(cache(), 'blobs', etag!));
    writeFileSync(part, weights.subarray(0, 100));
    hub.before = (request, response) => {
      if (!request.url?.includes('/blob/')) return false;
      response.writeHead(200).end(weights);
      return true;
    };
    await resolveModel(NAME);
    expect(readFileSync(path).equals(weights)).toBe(true);
    // 416, and a part of the file that nobody asked for.
    for (const [status, from] of [
      [416, 0],
      [206, 7],
    ] as const) {
      rmSync(join(cache(), 'blobs', etag!));
      writeFileSync(part, weights.subarray(0, 100));
      hub.before = (request, response) => {
        if (!request.url?.includes('/blob/') || request.headers.range === undefined) return false;
        response
          .writeHead(status, { 'content-range': `bytes ${from}-${weights.length - 1}/${weights.length}` })
          .end(weights.subarray(from));
        return true;
      };
      await resolveModel(NAME);
      expect(readFileSync(path).equals(weights)).toBe(true);
    }
  });

  it('leave alone what a living process writes, and take over what a dead one left', async () => {
    hub.add('models/someone/tiny', { 'a.gguf': weights });
    const { path } = await resolveModel(NAME);
    const [etag] = blobs();
    const host = hostname().replace(/[^\w.]/g, '_');
    const living = `${etag}.mlit-${host}-${process.pid}--00000001`;
    const elsewhere = `${etag}.mlit-elsewhere-1-1-00000001`;
    const dead = `${etag}.mlit-${host}-4194304--00000002`;
    const half = weights.subarray(0, 120_000);
    rmSync(join(cache(), 'blobs', etag!));
    for (const name of [living, elsewhere]) writeFileSync(join(cache(), 'blobs', name), 'not ours');
    writeFileSync(join(cache(), 'blobs', dead), half);
    hub.headers = [];
    await resolveModel(NAME);
    expect(ranges()).toContain('bytes=120000-');
    expect(readFileSync(path).equals(weights)).toBe(true);
    expect(blobs().sort()).toEqual([etag!, living, elsewhere].sort());
  });

  it('leave no name behind that a dead process had not given yet', async () => {
    const { path } = await resolveModel(NAME);
    const host = hostname().replace(/[^\w.]/g, '_');
    const old = join(cache(), 'snapshots', B, 'sub');
    mkdirSync(old, { recursive: true });
    const dead = [
      join(cache(), `.ref.mlit-${host}-4194304--00000001`),
      join(path, `model.safetensors.mlit-${host}-4194304-77-00000002`),
      join(path, `config.json.mlit-${host}-${process.pid}-1-00000003`), // the number is another process's now
      join(old, `a.gguf.mlit-${host}-4194304--00000004`),
    ];
    const alive = [
      join(cache(), `.ref.mlit-${host}-${process.pid}--00000005`),
      join(path, `model.safetensors.mlit-${host}-${process.pid}--00000006`),
      join(path, 'config.json.mlit-elsewhere-4194304-1-00000007'),
      join(path, 'README.mlit-old'),
    ];
    for (const file of [...dead, ...alive]) writeFileSync(file, A);
    await resolveModel(NAME);
    expect(dead.filter((file) => existsSync(file))).toEqual([]);
    expect(alive.filter((file) => !existsSync(file))).toEqual([]);
    // Nor are they taken for files of the model.
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect((await resolveModel(NAME)).path).toBe(path);
  });

  it('are refused when the bytes are others than the hub lists', async () => {
    hub.add('models/someone/tiny', { 'a.gguf': weights });
    hub.before = (request, response) => {
      if (!request.url?.includes('/blob/')) return false;
      response.writeHead(200).end(Buffer.alloc(weights.length, 5));
      return true;
    };
    await expect(resolveModel(NAME)).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    expect(blobs()).toEqual([]);
    hub.before = undefined;
    await resolveModel(NAME);
  });

  it('stop at once when told, and keep what has come', async () => {
    hub.add('models/someone/tiny', { 'a.gguf': weights });
    hub.slowMs = 20;
    const control = new AbortController();
    const onFetch = ({ doneBytes }: { doneBytes: number }) =>
      doneBytes > 50_000 && control.abort(new Error('enough'));
    await expect(resolveModel(NAME, { signal: control.signal, onFetch })).rejects.toThrow('enough');
    expect(statSync(join(cache(), 'blobs', blobs()[0]!)).size).toBeGreaterThan(50_000);
  });

  it('of two at once both get the model', async () => {
    hub.slowMs = 2;
    const both = await Promise.all([resolveModel(NAME), resolveModel(NAME)]);
    for (const { path } of both)
      expect(readFileSync(join(path, 'model.safetensors')).equals(weights)).toBe(true);
    expect(blobs().every((name) => /^[0-9a-f]+$/.test(name))).toBe(true);
  });
});

describe('a busy hub', () => {
  /** Answers the first requests that match with a status. */
  const busy = (times: number, status: number, headers: Record<string, string>, what: RegExp) => {
    let left = times;
    hub.before = (request, response) => {
      if (!what.test(request.url ?? '') || left-- <= 0) return false;
      response.writeHead(status, headers).end();
      return true;
    };
  };

  it('is asked again when it says', async () => {
    for (const what of [/revision/, /tree/, /resolve/, /blob/]) {
      rmSync(join(folder, 'hub'), { recursive: true, force: true });
      busy(3, 429, { 'retry-after': '0' }, what);
      await resolveModel(NAME);
    }
    const notes: string[] = [];
    busy(1, 503, { 'retry-after': new Date(Date.now() + 2000).toUTCString() }, /revision/);
    await resolveModel(NAME, { onNote: (note) => notes.push(note) });
    expect(notes).toEqual([expect.stringMatching(/HTTP 503 from the hub; asked again in [12] s/)]);
  });

  it('is left in peace after five times, or when it asks for an hour', async () => {
    busy(9, 503, { 'retry-after': '0' }, /revision/);
    await expect(resolveModel(NAME)).rejects.toThrow(/HTTP 503.*asked 5 times/);
    busy(1, 429, { 'retry-after': '3600' }, /revision/);
    await expect(resolveModel(NAME)).rejects.toThrow(/asks to come back in 3600 s/);
  });
});

describe('without a network', () => {
  it('reads the cache, whoever filled it, and says so', async () => {
    // As Python's client leaves a snapshot: links to blobs by their etags.
    const snapshot = join(cache(), 'snapshots', A);
    mkdirSync(snapshot, { recursive: true });
    mkdirSync(join(cache(), 'refs'));
    writeFileSync(join(cache(), 'refs', 'main'), A);
    for (const name of ['config.json', 'tokenizer.json', 'model.safetensors'])
      writeFileSync(join(snapshot, name), FILES[name]!);
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    const notes: string[] = [];
    const found = await resolveModel(NAME, { onNote: (note) => notes.push(note) });
    expect(found).toMatchObject({ path: snapshot, commit: A });
    expect(notes).toEqual([expect.stringMatching(/HF_HUB_OFFLINE is set; read from the cache/)]);
    expect(hub.requests).toEqual([]);
    // The hub that can't be reached.
    vi.stubEnv('HF_HUB_OFFLINE', undefined);
    vi.stubEnv('HF_ENDPOINT', 'http://127.0.0.1:1');
    expect((await resolveModel(NAME)).path).toBe(snapshot);
    rmSync(join(snapshot, 'model.safetensors'));
    await expect(resolveModel(NAME)).rejects.toThrow(
      /neither config\.json.*can't be reached.*only what is in the cache/,
    );
    await expect(resolveModel(`${NAME}@v1`)).rejects.toMatchObject({
      code: 'DOWNLOAD_FAILED',
      message: expect.stringMatching(/can't be reached.*the cache .* has no revision v1/),
    });
  });

  it('says what kept it from the hub', async () => {
    vi.stubEnv('HF_ENDPOINT', 'http://127.0.0.1:1');
    await expect(resolveModel(NAME)).rejects.toThrow(/can't be reached \(.*(?:ECONNREFUSED|bad port)/);
  });

  it('refuses a listing with paths outside the repository, and writes nothing of it', async () => {
    for (const path of ['../../../evil.json', '/evil.json', 'a/../../evil.json', './config.json']) {
      hub.add('models/someone/tiny', { ...FILES, [path]: '{}' });
      await expect(resolveModel(NAME)).rejects.toMatchObject({
        code: 'DOWNLOAD_FAILED',
        message: expect.stringContaining(JSON.stringify(path)),
      });
    }
    expect(readdirSync(folder)).toEqual([]);
  });

  describe('asked for its list of files', () => {
    const tree = (answer: (url: string, response: ServerResponse) => void): void => {
      hub.before = (request, response) => {
        if (!request.url?.includes('/tree/')) return false;
        answer(request.url, response);
        return true;
      };
    };
    const page = (path: string) => [{ type: 'file', path, size: 2, oid: gitHash('{}') }];
    const json = { 'content-type': 'application/json' };

    it('reads every page of it, and gives the token to no other host', async () => {
      vi.stubEnv('HF_TOKEN', 'hf_secret');
      const other = hub.url.replace('127.0.0.1', 'localhost');
      tree((url, response) => {
        const next = `${other}/api/models/someone/tiny/tree/${A}?recursive=true&cursor=2`;
        const isLast = url.includes('cursor=2');
        response
          .writeHead(200, isLast ? json : { ...json, link: `<${next}>; rel="next"` })
          .end(JSON.stringify(isLast ? page('tokenizer.json') : page('config.json')));
      });
      const { path } = await resolveModel(NAME, { need: 'tokenizer' });
      expect(readdirSync(path)).toContain('tokenizer.json');
      const asked = hub.requests.flatMap((request, i) =>
        request.includes('/tree/') ? [hub.headers[i]!] : [],
      );
      expect(asked.map(({ authorization }) => authorization)).toEqual(['Bearer hf_secret', undefined]);
    });

    it.each([
      ['is always followed by a next page', /more than 1000 pages/, '[]'],
      ['never ends', /more than 128 MiB/, undefined],
    ])('says so where it %s, and writes nothing', { timeout: 60_000 }, async (_, message, whole) => {
      const piece = Buffer.alloc(1 << 20, ' ');
      tree((url, response) => {
        response.writeHead(200, { ...json, link: `<${hub.url}${url}>; rel="next"` });
        const more = (): void => {
          if (!response.destroyed) response.write(piece, more);
        };
        if (whole === undefined) more();
        else response.end(whole);
      });
      await expect(resolveModel(NAME)).rejects.toMatchObject({
        code: 'DOWNLOAD_FAILED',
        message: expect.stringMatching(message),
      });
      expect(hub.requests.length).toBeLessThanOrEqual(1001);
      expect(readdirSync(folder)).toEqual([]);
    });

    it('goes on with the cache where it has the very commit', async () => {
      await resolveModel(`${NAME}@${A}`);
      tree((_, response) => {
        response.writeHead(200, json).end(Buffer.alloc((128 << 20) + 1, ' '));
      });
      const notes: string[] = [];
      await resolveModel(`${NAME}@${A}`, { onNote: (note) => notes.push(note) });
      expect(notes).toEqual([expect.stringMatching(/gives no list of files that ends; read from the cache/)]);
    });
  });

  it('fetches again what does not have the listed size', async () => {
    const { path } = await resolveModel(NAME);
    const config = join(path, 'config.json');
    appendFileSync(config, 'x');
    await resolveModel(NAME);
    expect(readFileSync(config, 'utf8')).toBe('{}');
    expect(blobs()).toContain(gitHash('{}'));
  });
});
