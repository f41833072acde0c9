// One OpenAI-compatible endpoint, asked one question at a time: what the client library does not do itself. Every request is
// counted and held to the budget, those that it sends again included; a body that ends early counts as a lost connection; and
// what failed is told apart by what to do next.
import type OpenAI from 'openai';
import { z } from 'zod';
import { MlitError } from '../../native/errors';
import { printable } from '../../native/untrusted';
import type { OptionNames } from '../../text/options';
import type { JudgeSpending } from './judge';
import type { JudgeAnswer } from './parse';

/** Which model of which endpoint, and what it may cost. */
export interface EndpointOptions {
  /** As the endpoint calls it. */
  model: string;
  /** Base URL, as in `https://api.openai.com/v1`. */
  url: string;
  /** Requests at once. Default 8. */
  concurrency?: number | undefined;
  /** Requests in all, those sent again included. Default: no limit. */
  maxCalls?: number | undefined;
  /** Tokens in all, of prompts and answers; what is under way when it is reached still comes. Default: no limit. */
  maxTokens?: number | undefined;
  /** Tokens of one answer, its reasoning included. Default 2048. */
  maxNewTokens?: number | undefined;
  /** How long one request may take, in milliseconds. Default 300,000. */
  timeoutMs?: number | undefined;
  /** How often a request is sent again after 429, 5xx, a timeout or a lost connection. Default 4. */
  maxRetries?: number | undefined;
  /** Told what people should know: a model that changes its name, a parameter that the endpoint refuses. */
  onNote?: ((note: string) => void) | undefined;
}

/** Their names, for who has some of his own beside them. */
export const ENDPOINT_OPTIONS = {
  model: true,
  url: true,
  concurrency: true,
  maxCalls: true,
  maxTokens: true,
  maxNewTokens: true,
  timeoutMs: true,
  maxRetries: true,
  onNote: true,
} as const satisfies OptionNames<EndpointOptions>;

/** What came of one question. */
export type EndpointAnswer =
  | ({ kind: 'answer'; model: string | undefined; tokens: number } & JudgeAnswer)
  /** Nothing came, after all that was tried; another question may do better. */
  | { kind: 'failed'; why: string }
  /** Not asked, or not to the end: the budget is spent. */
  | { kind: 'unasked' };

/** The longest wait that an endpoint may ask for; a longer one ends the run, which goes on later. */
const LONGEST_WAIT_MS = 60_000;
/** Parameters that an endpoint may refuse by name, and what stands in for each. */
const SUBSTITUTES: Readonly<Record<string, (params: AnswerLimits) => AnswerLimits>> = {
  temperature: ({ temperature: _, ...rest }) => rest,
  max_tokens: ({ max_tokens, ...rest }) => ({ ...rest, max_completion_tokens: max_tokens as number }),
};

interface AnswerLimits {
  temperature?: number;
  max_tokens?: number;
  max_completion_tokens?: number;
}

const completionSchema = z.object({
  model: z.string().optional().catch(undefined),
  choices: z
    .array(
      z.object({
        message: z.object({ content: z.string().nullish() }),
        finish_reason: z.string().nullish(),
      }),
    )
    .min(1),
  usage: z
    .object({ total_tokens: z.int().min(0) })
    .nullish()
    .catch(undefined),
});

/** Key for the judges' endpoints: `MLIT_JUDGE_API_KEY`, else `OPENAI_API_KEY`; from the environment alone, and written nowhere. */
function judgeApiKey(): string | undefined {
  const { MLIT_JUDGE_API_KEY, OPENAI_API_KEY } = process.env;
  const key = MLIT_JUDGE_API_KEY?.trim() || OPENAI_API_KEY?.trim() || undefined;
  if (key === undefined || /^[\x21-\x7e]+$/.test(key)) return key;
  throw new MlitError(
    'JUDGE_FAILED',
    'judge: the key in MLIT_JUDGE_API_KEY or OPENAI_API_KEY has characters that no key has; set it anew',
  );
}

type Library = typeof import('openai');

/** Asks, counts, and gives up where asking is no use. */
export class Endpoint {
  /** Made by the first question: whoever imports the library does not wait for the client's. */
  #connected: { client: OpenAI; errors: Library } | undefined;
  readonly #options: EndpointOptions;
  readonly #key: string | undefined;
  readonly #host: string;
  readonly #models = new Set<string>();
  #params: AnswerLimits;
  #calls = 0;
  #tokens = 0;
  #reached: 'calls' | 'tokens' | undefined;
  #open = 0;

  constructor(options: EndpointOptions) {
    const { url, maxNewTokens = 2048 } = options;
    this.#options = options;
    this.#key = judgeApiKey();
    this.#host = new URL(url).host;
    this.#params = { temperature: 0, max_tokens: maxNewTokens };
  }

  async #connect(): Promise<{ client: OpenAI; errors: Library }> {
    const library = await import('openai');
    const { url, timeoutMs = 300_000, maxRetries = 4 } = this.#options;
    this.#connected ??= {
      client: new library.OpenAI({
        baseURL: url,
        apiKey: this.#key ?? 'none',
        ...(this.#key === undefined && { defaultHeaders: { Authorization: null } }),
        organization: null,
        project: null,
        timeout: timeoutMs,
        maxRetries,
        logLevel: 'off',
        fetch: (input, init) => this.#fetch(input, init),
      }),
      errors: library,
    };
    return this.#connected;
  }

  get spending(): JudgeSpending {
    return {
      calls: this.#calls,
      tokens: this.#tokens,
      ...(this.#reached !== undefined && { reached: this.#reached }),
    };
  }

  /** What it said that it was, in the order in which each name came. */
  get models(): readonly string[] {
    return [...this.#models];
  }

  /** Requests that have been sent and are not answered. */
  get open(): number {
    return this.#open;
  }

  /**
   * One question, one answer.
   *
   * @throws MlitError `JUDGE_FAILED` where no question would be answered: the key, the model or the URL is refused
   */
  async ask(prompt: string, signal: AbortSignal): Promise<EndpointAnswer> {
    const { client, errors } = await this.#connect();
    for (;;) {
      if (this.#overBudget()) return { kind: 'unasked' };
      const params = this.#params;
      try {
        const body = await client.chat.completions.create(
          { model: this.#options.model, messages: [{ role: 'user', content: prompt }], ...params },
          { signal },
        );
        return this.#read(body);
      } catch (error) {
        if (this.#reached !== undefined || signal.aborted) return { kind: 'unasked' };
        if (error instanceof MlitError) throw error;
        if (this.#substitute(error, params, errors)) continue;
        return { kind: 'failed', why: this.#why(error, errors) };
      }
    }
  }

  #read(body: unknown): EndpointAnswer {
    const read = completionSchema.safeParse(body);
    if (!read.success)
      return { kind: 'failed', why: 'what came back is no chat completion; see that the URL ends as in /v1' };
    const { model, choices, usage } = read.data;
    const { message, finish_reason } = choices[0]!;
    this.#tokens += usage?.total_tokens ?? 0;
    if (usage == null && this.#options.maxTokens !== undefined) {
      throw this.#failure(
        'reports no usage, so that a budget of tokens (--max-tokens) can’t be kept; limit the calls (--max-calls)',
      );
    }
    this.#meet(model);
    return {
      kind: 'answer',
      text: message.content ?? '',
      finishReason: finish_reason ?? '',
      model,
      tokens: usage?.total_tokens ?? 0,
    };
  }

  #meet(model: string | undefined): void {
    if (model === undefined || this.#models.has(model)) return;
    const before = this.models.at(-1);
    this.#models.add(model);
    if (before !== undefined) {
      this.#options.onNote?.(
        `warning: the endpoint answered as "${printable(before)}" and now as "${printable(model)}"; each verdict says which it is from`,
      );
    }
  }

  #overBudget(): boolean {
    const { maxCalls, maxTokens } = this.#options;
    if (maxCalls !== undefined && this.#calls >= maxCalls) this.#reached ??= 'calls';
    if (maxTokens !== undefined && this.#tokens >= maxTokens) this.#reached ??= 'tokens';
    return this.#reached !== undefined;
  }

  /** The client's way out: also what it sends again comes through here. */
  async #fetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
    if (this.#overBudget()) return new Response(null, { status: 402, headers: [FINAL] });
    this.#calls += 1;
    this.#open += 1;
    try {
      const response = await fetch(input, init);
      // Read to its end here, where what is cut off is a failed request and is sent again.
      const body = await response.text();
      if (response.ok) JSON.parse(body);
      const headers = new Headers(response.headers);
      const wait = retryAfterMs(headers);
      const isFinal = (wait !== undefined && wait > LONGEST_WAIT_MS) || body.includes('"insufficient_quota"');
      if (!response.ok && isFinal) headers.set(...FINAL);
      return new Response(body === '' ? null : body, { status: response.status, headers });
    } finally {
      this.#open -= 1;
    }
  }

  /** True where a parameter that the endpoint has just refused by name is done without from now on. */
  #substitute(error: unknown, params: AnswerLimits, { APIError }: Library): boolean {
    if (!(error instanceof APIError) || error.status !== 400 || typeof error.param !== 'string') return false;
    const name = error.param;
    if (!Object.hasOwn(SUBSTITUTES, name) || !Object.hasOwn(params, name)) return false;
    if (this.#params === params) {
      this.#params = SUBSTITUTES[name]!(params);
      this.#options.onNote?.(
        `the endpoint refuses ${name}: ${name === 'temperature' ? 'it draws its answers at its own temperature' : 'max_completion_tokens is sent instead'}`,
      );
    }
    return true;
  }

  /** @throws MlitError `JUDGE_FAILED` where the next question would fare no better */
  #why(error: unknown, errors: Library): string {
    const { APIConnectionError, APIConnectionTimeoutError, APIError } = errors;
    if (!(error instanceof APIError)) return this.#clean((error as Error).message);
    if (error instanceof APIConnectionTimeoutError) return 'no answer in time';
    if (error instanceof APIConnectionError) return `no connection (${this.#clean(reasonOf(error))})`;
    const said = `HTTP ${this.#clean(error.message)}`;
    const { status, headers, code } = error;
    if (status === 401 || status === 403) {
      const advice =
        this.#key === undefined
          ? 'no key was sent: set MLIT_JUDGE_API_KEY'
          : 'see the key in MLIT_JUDGE_API_KEY or OPENAI_API_KEY';
      throw this.#failure(`refuses to be asked: ${said}; ${advice}`);
    }
    if (status === 404)
      throw this.#failure(`has no model "${this.#options.model}" there, or no chat at this URL: ${said}`);
    if (code === 'insufficient_quota') throw this.#failure(`has no quota left: ${said}`);
    const wait = headers === undefined ? undefined : retryAfterMs(headers);
    if (wait !== undefined && wait > LONGEST_WAIT_MS)
      throw this.#failure(`asks to wait ${Math.round(wait / 1000)} s: ${said}; run the same again then`);
    return said;
  }

  #failure(what: string): MlitError {
    return new MlitError('JUDGE_FAILED', `judge: ${this.#host} ${what}`, { fields: { host: this.#host } });
  }

  /** Servers say in their errors what they were sent: the key is not to get into a terminal or a log by that, nor control characters. */
  #clean(text: string): string {
    const safe = printable(this.#key === undefined ? text : text.replaceAll(this.#key, '(key)'));
    return safe.length > 300 ? `${safe.slice(0, 299)}…` : safe;
  }
}

/** Told to the client library: not again. */
const FINAL: [string, string] = ['x-should-retry', 'false'];

function retryAfterMs(headers: Headers): number | undefined {
  const text = headers.get('retry-after');
  if (text === null) return undefined;
  const seconds = Number.parseFloat(text);
  const wait = Number.isNaN(seconds) ? Date.parse(text) - Date.now() : seconds * 1000;
  return Number.isNaN(wait) ? undefined : wait;
}

function reasonOf(error: Error): string {
  const causes: string[] = [];
  for (let at: unknown = error.cause; at instanceof Error; at = at.cause)
    causes.push((at as NodeJS.ErrnoException).code ?? at.message);
  return causes.at(-1) ?? error.message;
}
