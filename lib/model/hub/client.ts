// One repository on a hub, asked through the hub's own client, with what that leaves out: patience with a busy hub, a clock
// against silence, and refusals in words that say what to do. The token goes to the hub alone and into no message.

import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { datasetInfo, type ListFileEntry, listFiles, modelInfo } from '@huggingface/hub';
import { MlitError } from '../../native/errors';
import { isCommit } from './reference';

export type HubKind = 'model' | 'dataset';

/** Silence after which a transfer is given up. */
const IDLE_MS = 20_000;
const RETRIES = 4;
const FIRST_PAUSE_MS = 250;
/** A hub that wants a longer pause is believed, and not waited for. */
const LONGEST_PAUSE_MS = 60_000;
const BUSY = new Set([429, 500, 502, 503, 504]);
/** Of one question to the API: the hub lists a thousand files a page, in some 200 bytes each. */
const MOST_PAGES = 1000;
const MOST_BYTES = 128 << 20;

export interface ClientOptions {
  kind: HubKind;
  repo: string;
  /** What messages call it. */
  name: string;
  signal?: AbortSignal | undefined;
  onNote?: ((note: string) => void) | undefined;
}

/** An answer that carries bytes of a file: to be read to its end, or closed. */
export interface FileBytes {
  offset: number;
  chunks: AsyncIterable<Uint8Array>;
  close(): Promise<undefined>;
}

export class HubClient {
  readonly #options: ClientOptions;
  readonly #url = hubUrl();
  readonly #token: string | undefined;

  private constructor(options: ClientOptions, token: string | undefined) {
    this.#options = options;
    this.#token = token;
  }

  /** Honours HF_ENDPOINT, and the token of HF_TOKEN or, as Python's client, of HF_TOKEN_PATH or HF_HOME/token. */
  static async create(options: ClientOptions): Promise<HubClient> {
    return new HubClient(options, await readToken());
  }

  /**
   * The commit that a branch or a tag stands at.
   *
   * @throws MlitError `DOWNLOAD_FAILED` where the hub refuses; a network's error where it can't be reached
   */
  commitOf(revision: string): Promise<string> {
    return IdleClock.during(async (clock) => {
      const ask = { ...this.#common(clock), name: this.#options.repo, revision };
      const { sha } =
        this.#options.kind === 'model'
          ? await modelInfo({ ...ask, additionalFields: ['sha'] })
          : await datasetInfo({ ...ask, additionalFields: ['sha'] });
      if (!isCommit(sha)) throw new Error(`it names no commit of ${revision}`);
      return sha;
    });
  }

  /** All files at a commit, with size and hash, as the hub says it. Errors as of {@link commitOf}. */
  list(commit: string): Promise<ListFileEntry[]> {
    return IdleClock.during(async (clock) => {
      const { kind, repo } = this.#options;
      const entries: ListFileEntry[] = [];
      const all = listFiles({
        ...this.#common(clock),
        repo: { type: kind, name: repo },
        revision: commit,
        recursive: true,
      });
      for await (const entry of all) {
        clock.wind();
        if (entry.type === 'file') entries.push(entry);
      }
      return entries;
    });
  }

  /**
   * Bytes of a file from `offset` on, as far as the connection holds.
   *
   * @returns where the bytes begin (0 where the hub sends the whole all the same), or undefined where there are none from
   * `offset` on
   */
  async open(path: string, commit: string, offset: number): Promise<FileBytes | undefined> {
    const { kind, repo } = this.#options;
    const parts = [commit, ...path.split('/')].map(encodeURIComponent).join('/');
    const url = `${this.#url}/${kind === 'model' ? '' : 'datasets/'}${repo}/resolve/${parts}`;
    const headers: Record<string, string> = { 'accept-encoding': 'identity' };
    if (this.#token !== undefined) headers.authorization = `Bearer ${this.#token}`;
    if (offset > 0) headers.range = `bytes=${offset}-`;
    const clock = new IdleClock();
    const response = await this.#ask(url, { headers }, clock, path);
    if (response === undefined) return undefined;
    const close = async (): Promise<undefined> => {
      clock.stop();
      await response.body?.cancel();
    };
    try {
      const from = response.status === 206 ? rangeStart(response) : 0;
      return { offset: from, chunks: watched(response.body ?? [], clock), close };
    } catch (error) {
      await close();
      throw error;
    }
  }

  /** For the hub's own client. What it asks for is answered in pages, as many and as long as the other side likes. */
  #common(clock: IdleClock) {
    let pages = 0;
    let bytes = 0;
    const asking: typeof fetch = async (input, init) => {
      if (++pages > MOST_PAGES) throw this.#endless(`${MOST_PAGES} pages`);
      const headers = new Headers(init?.headers);
      if (new URL(String(input)).origin !== new URL(this.#url).origin) headers.delete('authorization');
      const response = (await this.#ask(String(input), { ...init, headers }, clock)) as Response;
      const bounded = new TransformStream<Uint8Array, Uint8Array>({
        transform: (chunk, control) => {
          clock.wind();
          bytes += chunk.byteLength;
          if (bytes <= MOST_BYTES) control.enqueue(chunk);
          else control.error(this.#endless(`${MOST_BYTES >> 20} MiB`));
        },
      });
      return new Response(response.body?.pipeThrough(bounded), response);
    };
    return {
      hubUrl: this.#url,
      fetch: asking,
      ...(this.#token !== undefined && { accessToken: this.#token }),
    };
  }

  /** One answer that is one; undefined for a range behind the end. `path`: the file that is asked for. */
  async #ask(url: string, init: RequestInit, clock: IdleClock, path?: string): Promise<Response | undefined> {
    const { signal: own } = this.#options;
    const signal = own ? AbortSignal.any([own, clock.signal]) : clock.signal;
    for (let attempt = 0; ; attempt += 1) {
      clock.wind();
      const response = await fetch(url, { ...init, signal }).catch((error) => {
        clock.stop();
        throw error;
      });
      clock.wind();
      if (response.ok) return response;
      clock.stop();
      await response.body?.cancel();
      if (response.status === 416 && path !== undefined) return undefined;
      const pause = BUSY.has(response.status) ? pauseOf(response, attempt) : undefined;
      if (pause === undefined || attempt === RETRIES || pause > LONGEST_PAUSE_MS)
        throw this.#refusal(response, path, pause);
      if (pause >= 1000)
        this.#options.onNote?.(
          `${this.#options.name}: HTTP ${response.status} from the hub; asked again in ${Math.ceil(pause / 1000)} s`,
        );
      await sleep(pause, undefined, { signal: own });
    }
  }

  #endless(what: string): MlitError {
    const { name } = this.#options;
    return new MlitError(
      'DOWNLOAD_FAILED',
      `${name}: the hub's answer has no end: more than ${what}, expected what a repository's list of files has. Nothing was fetched: see that HF_ENDPOINT is a hub, or name a path of the files themselves`,
      { fields: { name } },
    );
  }

  #refusal(response: Response, path: string | undefined, pause: number | undefined): MlitError {
    const { name } = this.#options;
    const { status } = response;
    const file = path === undefined ? name : `${name}: ${path}`;
    return new MlitError(
      'DOWNLOAD_FAILED',
      `${file}: HTTP ${status} from the hub: ${this.#advice(response, pause)}`,
      { fields: { name, status, ...(path !== undefined && { file: path }) } },
    );
  }

  #advice(response: Response, pause: number | undefined): string {
    const { kind, repo } = this.#options;
    const what = kind === 'model' ? 'model' : 'data set';
    const page = `${this.#url}/${kind === 'model' ? '' : 'datasets/'}${repo}`;
    const code = response.headers.get('x-error-code');
    const said = response.headers.get('x-error-message');
    const hasToken = this.#token !== undefined;
    if (code === 'GatedRepo')
      return hasToken
        ? `the ${what} is gated, and the token's owner has not been let in; accept its terms at ${page}, and see that the token may read gated repositories`
        : `the ${what} is gated; accept its terms at ${page} and set HF_TOKEN to a token of that account`;
    if (code === 'RevisionNotFound')
      return `the ${what} has no such revision; a branch, a tag or a whole commit of ${page}/commits is expected after @`;
    if (code === 'EntryNotFound') return 'there is no such file at this revision';
    if (code === 'DisabledRepo') return `the hub has closed the ${what}${said === null ? '' : ` (${said})`}`;
    if (/invalid (?:credentials|username|user token)/i.test(said ?? ''))
      return 'it does not know the token (HF_TOKEN, or the file that `hf auth login` wrote); make a new one, or unset it for what is open to all';
    if (response.status === 401 || response.status === 403 || response.status === 404)
      return `there is no such ${what} or revision, or it is not open to all. It is spelt hf:owner/name[@revision][:file], as in the address ${page}; for a closed one set HF_TOKEN to a token that may read it${hasToken ? ' (the one given may not)' : ''}`;
    if (pause !== undefined && pause > LONGEST_PAUSE_MS)
      return `it is busy and asks to come back in ${Math.ceil(pause / 1000)} s; run the same again then, and what has come is kept`;
    if (BUSY.has(response.status))
      return `it is busy or broken; asked ${RETRIES + 1} times. Run the same again later, and what has come is kept`;
    return said ?? response.statusText;
  }
}

/** Where the hub is: HF_ENDPOINT, else huggingface.co. */
export function hubUrl(): string {
  return (process.env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, '');
}

/** HF_HUB_OFFLINE, read as Python's client does. */
export function isOffline(): boolean {
  return /^(?:1|true|yes|on)$/i.test(process.env.HF_HUB_OFFLINE ?? '');
}

async function readToken(): Promise<string | undefined> {
  const { HF_TOKEN, HF_TOKEN_PATH, HF_HOME, XDG_CACHE_HOME } = process.env;
  let token = HF_TOKEN?.trim();
  if (!token) {
    const home = HF_HOME || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface');
    token = (await readFile(HF_TOKEN_PATH || join(home, 'token'), 'utf8').catch(() => '')).trim();
  }
  if (token === '') return undefined;
  if (!/^hf_[\x21-\x7e]+$/.test(token))
    throw new MlitError(
      'DOWNLOAD_FAILED',
      "the hub's token (HF_TOKEN, or the file that `hf auth login` wrote) does not begin with hf_; copy it anew, or unset it for what is open to all",
      { fields: { field: 'HF_TOKEN' } },
    );
  return token;
}

/** Milliseconds until a busy hub may be asked again. */
function pauseOf(response: Response, attempt: number): number {
  const text = response.headers.get('retry-after');
  const own = FIRST_PAUSE_MS * 2 ** attempt;
  if (text === null) return own;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : own;
}

function rangeStart(response: Response): number {
  const start = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
  if (start === undefined) throw new Error('the hub sent a part of the file and did not say which');
  return Number(start);
}

class IdleClock {
  readonly #control = new AbortController();
  readonly signal = this.#control.signal;
  #timer: NodeJS.Timeout | undefined;

  wind(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => this.#control.abort(new Error(`nothing came for ${IDLE_MS / 1000} s`)),
      IDLE_MS,
    );
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  static async during<T>(work: (clock: IdleClock) => Promise<T>): Promise<T> {
    const clock = new IdleClock();
    clock.wind();
    try {
      return await work(clock);
    } finally {
      clock.stop();
    }
  }
}

async function* watched(body: AsyncIterable<Uint8Array> | [], clock: IdleClock): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of body) {
      clock.wind();
      yield chunk;
    }
  } finally {
    clock.stop();
  }
}
