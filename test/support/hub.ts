// A hub of the tests' own, which speaks as much of the hub's API as clients use: revisions, trees, files by range, large ones
// behind a redirect to another host, closed and gated repositories; and which can be made to fail in the ways that hubs do.
import { createHash } from 'node:crypto';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, vi } from 'vitest';

export type Files = Record<string, string | Buffer>;

export interface FakeRepo {
  /** Branches and tags. */
  refs: Record<string, string>;
  commits: Record<string, Files>;
  /** gated: for tokens of `accepted` only. private: is not there for others. */
  access?: 'gated' | 'private' | 'disabled';
  accepted?: string[];
}

export const commitOf = (digit: string): string => digit.repeat(40);

export class FakeHub {
  /** By `models/owner/name` or `datasets/owner/name`. */
  readonly repos: Record<string, FakeRepo> = {};
  /** All requests: `hub GET /…` or `cdn GET /…`. */
  requests: string[] = [];
  headers: IncomingMessage['headers'][] = [];
  /** Answers before the hub does; true: it has. */
  before: ((...args: Parameters<RequestListener>) => boolean) | undefined;
  /** Of each answer with a file's bytes: how many are sent before the connection is cut. Taken from the front. */
  cuts: number[] = [];
  /** Pause between pieces of 16 KiB of a file. */
  slowMs = 0;
  /** Bytes of files that were handed to connections. */
  bytesSent = 0;
  readonly #servers: Server[] = [];
  #cdn = '';
  url = '';

  async start(): Promise<void> {
    const listen = async (name: string, listener: RequestListener): Promise<string> => {
      const server = createServer((request, response) => {
        this.requests.push(`${name} ${request.method} ${decodeURIComponent(request.url ?? '')}`);
        this.headers.push(request.headers);
        if (!this.before?.(request, response)) listener(request, response);
      });
      this.#servers.push(server);
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      // Another name is another origin, as it is for a hub and its content network.
      return `http://${name === 'hub' ? '127.0.0.1' : 'localhost'}:${(server.address() as AddressInfo).port}`;
    };
    this.#cdn = await listen('cdn', (request, response) => this.#serveBlob(request, response));
    this.url = await listen('hub', (request, response) => this.#answer(request, response));
  }

  async stop(): Promise<void> {
    for (const server of this.#servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  /** One repository with one commit, `main`. */
  add(name: string, files: Files, commit = commitOf('a')): FakeRepo {
    this.repos[name] = { refs: { main: commit }, commits: { [commit]: files } };
    return this.repos[name];
  }

  /** Requests for bytes of files. */
  get transfers(): string[] {
    return this.requests.filter((request) => /GET .*\/(?:resolve|blob)\//.test(request));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '', this.url);
    const path = decodeURIComponent(url.pathname);
    const api = /^\/api\/(models|datasets)\/([^/]+\/[^/]+)\/(revision|tree)\/(.+)$/.exec(path);
    const file = /^\/(datasets\/)?([^/]+\/[^/]+)\/resolve\/(.+)$/.exec(path);
    const key = api ? `${api[1]}/${api[2]}` : `${file?.[1] ? 'datasets' : 'models'}/${file?.[2]}`;
    const repo = this.repos[key];
    const token = /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1];
    const refuse = (status: number, code: string): void => {
      const headers = { 'x-error-code': code, 'x-error-message': code, 'content-type': 'application/json' };
      response.writeHead(status, headers).end(JSON.stringify({ error: code }));
    };
    const isLetIn = token !== undefined && repo?.accepted?.includes(token) === true;
    if (token === 'hf_unknown') {
      response.writeHead(401, { 'x-error-message': 'Invalid credentials in Authorization header' }).end();
    } else if (!repo || (repo.access === 'private' && !isLetIn)) {
      refuse(token === undefined ? 401 : 404, 'RepoNotFound');
    } else if (repo.access === 'disabled') refuse(403, 'DisabledRepo');
    else if (repo.access === 'gated' && file && !isLetIn)
      refuse(token === undefined ? 401 : 403, 'GatedRepo');
    else this.#serve(repo, api?.[3] ?? 'resolve', (api?.[4] ?? file?.[3])!, request, response, refuse, key);
  }

  #serve(
    repo: FakeRepo,
    what: string,
    rest: string,
    request: IncomingMessage,
    response: ServerResponse,
    refuse: (status: number, code: string) => void,
    key: string,
  ): void {
    const known = [...Object.keys(repo.refs), ...Object.keys(repo.commits)];
    const revision = known.find((name) => rest === name || rest.startsWith(`${name}/`));
    const commit = revision === undefined ? undefined : (repo.refs[revision] ?? revision);
    const files = commit === undefined ? undefined : repo.commits[commit];
    if (revision === undefined || files === undefined) {
      refuse(404, 'RevisionNotFound');
      return;
    }
    const json = (value: unknown): void => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    };
    const id = key.replace(/^[a-z]+\//, '');
    if (what === 'revision') {
      const siblings = Object.keys(files).map((rfilename) => ({ rfilename }));
      json({
        _id: '1',
        id,
        modelId: id,
        sha: commit,
        lastModified: '2024-01-01T00:00:00.000Z',
        siblings,
      });
      return;
    }
    if (what === 'tree') {
      json(
        Object.entries(files).map(([path, content]) => {
          const lfs = isLarge(path) && {
            lfs: { oid: hashOf(path, content), size: sizeOf(content), pointerSize: 130 },
          };
          return { type: 'file', path, size: sizeOf(content), oid: gitHash(content), ...lfs };
        }),
      );
      return;
    }
    const path = rest.slice(revision.length + 1);
    const content = files[path];
    if (content === undefined) {
      refuse(404, 'EntryNotFound');
      return;
    }
    const etag = hashOf(path, content);
    response.setHeader('x-repo-commit', commit!);
    if (!isLarge(path)) {
      this.#send(Buffer.from(content as string), etag, request, response);
      return;
    }
    const headers = {
      location: `${this.#cdn}/blob/${key}/${commit}/${path}`,
      'x-linked-etag': `"${etag}"`,
      'x-linked-size': sizeOf(content),
    };
    response.writeHead(302, headers).end();
  }

  #serveBlob(request: IncomingMessage, response: ServerResponse): void {
    const [, key, commit, path] =
      /^\/blob\/(\w+\/[^/]+\/[^/]+)\/([0-9a-f]{40})\/(.+)$/.exec(decodeURIComponent(request.url ?? '')) ?? [];
    const content = this.repos[key!]!.commits[commit!]![path!]!;
    this.#send(Buffer.from(content as string), hashOf(path!, content), request, response);
  }

  #send(body: Buffer, etag: string, request: IncomingMessage, response: ServerResponse): void {
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const from = range ? Number(range[1]) : 0;
    const to = range?.[2] ? Math.min(Number(range[2]) + 1, body.length) : body.length;
    if (range && from >= body.length) {
      response.writeHead(416, { 'content-range': `bytes */${body.length}` }).end();
      return;
    }
    response.writeHead(range ? 206 : 200, {
      etag: `"${etag}"`,
      'content-length': to - from,
      'accept-ranges': 'bytes',
      ...(range && { 'content-range': `bytes ${from}-${to - 1}/${body.length}` }),
    });
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    const cut = this.cuts.shift();
    void this.#write(response, body.subarray(from, cut === undefined ? to : Math.min(to, from + cut)), cut);
  }

  async #write(response: ServerResponse, body: Buffer, cut: number | undefined): Promise<void> {
    const step = this.slowMs > 0 ? 16_384 : body.length;
    for (let at = 0; at < body.length && !response.destroyed; at += step) {
      await new Promise<void>((resolve) => response.write(body.subarray(at, at + step), () => resolve()));
      this.bytesSent += step;
      if (this.slowMs > 0) await new Promise((resolve) => setTimeout(resolve, this.slowMs));
    }
    if (cut === undefined) response.end();
    else setTimeout(() => response.destroy(), 20); // what was written is on its way
  }
}

/** A hub for a test, with a cache in `folder`, and an environment without the user's own settings. */
export async function startHub(folder: string): Promise<FakeHub> {
  const hub = new FakeHub();
  await hub.start();
  for (const name of ['HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE', 'HF_TOKEN', 'HF_TOKEN_PATH', 'HF_HUB_OFFLINE'])
    vi.stubEnv(name, undefined);
  vi.stubEnv('HF_ENDPOINT', `${hub.url}/`);
  vi.stubEnv('HF_HOME', folder);
  return hub;
}

/** Stops the hub of the current test when it is over. */
export function stopAfterEach(current: () => FakeHub | undefined): void {
  afterEach(async () => {
    vi.unstubAllEnvs();
    await current()?.stop();
  });
}

/** Kept by SHA-256, elsewhere than the small files. */
function isLarge(path: string): boolean {
  return /\.(safetensors|gguf|csv)$/.test(path);
}

function hashOf(path: string, content: string | Buffer): string {
  return isLarge(path) ? createHash('sha256').update(content).digest('hex') : gitHash(content);
}

export function gitHash(content: string | Buffer): string {
  return createHash('sha1')
    .update(`blob ${sizeOf(content)}\0`)
    .update(content)
    .digest('hex');
}

function sizeOf(content: string | Buffer): number {
  return Buffer.byteLength(content);
}
