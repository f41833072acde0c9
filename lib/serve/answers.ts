// From a checked request to pieces of its answers: which model is meant, whether there is room for it, and the one batch that all
// requests are answered in.
import type { Tokenizer } from '../model/tokenizer';
import { isMlitError } from '../native/errors';
import type { PromptLogprobs, SampleRequest, SampleResult, Sampler } from '../sample/sampler';
import { ApiError } from './api-error';
import { Metrics } from './metrics';
import { type ToldToken, ToldTokens } from './told-tokens';

/** Prompts for one model, and how each is answered. */
export interface Job {
  model: string;
  prompts: readonly Int32Array[];
  /** Answers to each prompt. */
  n: number;
  /** Of an answer: 0 draws nothing that is told. Absent: what there is room for, {@link DEFAULT_TOKENS} at most. */
  maxTokens?: number | undefined;
  /** How tokens are drawn, and what ends an answer. */
  sampling: Omit<SampleRequest, 'id' | 'prompt' | 'maxNewTokens' | 'adapter' | 'seed'>;
  /** Absent: another one each time. */
  seed?: number | undefined;
  /** Characters of the text before the answer, by prompt. Default 0. */
  starts?: readonly number[];
  /** Whether the token that ends an answer is told. */
  tellsEnd: boolean;
}

/** Something of one answer: `index` counts the answers to all prompts, prompt by prompt. */
export type Piece =
  | { type: 'prompt'; index: number; scores: PromptLogprobs }
  | { type: 'text'; index: number; text: string; tokens: ToldToken[] }
  | { type: 'end'; index: number; reason: 'stop' | 'length'; tokens: ToldToken[]; drawn: number };

/** Tokens of a chat answer where a request says nothing of it. */
export const DEFAULT_TOKENS = 512;

export interface Limits {
  /** Answers at once. */
  maxRows: number;
  /** Answers that may wait beyond those. */
  maxQueue: number;
  /** Tokens of a prompt and its answer. */
  maxTokens: number;
  /** Tokens that the model can see; 0 = no limit. */
  contextLength: number;
}

export class Answers {
  readonly metrics: Metrics;
  readonly #sampler: Sampler;
  readonly #tokenizer: Tokenizer;
  readonly #adapters: ReadonlyMap<string, number>;
  readonly #limits: Limits;
  #waiting = 0;
  #running = 0;
  /** Of an answer, lately. */
  #seconds = 1;

  /** @param adapters names of all models, -1 the base's, else the sampler's index */
  constructor(
    sampler: Sampler,
    tokenizer: Tokenizer,
    adapters: ReadonlyMap<string, number>,
    limits: Limits,
    prometheus: typeof import('prom-client'),
  ) {
    this.#sampler = sampler;
    this.#tokenizer = tokenizer;
    this.#adapters = adapters;
    this.#limits = limits;
    this.metrics = new Metrics(
      {
        waiting: () => this.#waiting,
        running: () => this.#running,
        promptTokens: () => sampler.promptTokens,
      },
      prometheus,
    );
  }

  /** Names that requests may ask for, the base's first. */
  get models(): string[] {
    return [...this.#adapters.keys()];
  }

  /** @throws ApiError 404 */
  adapterOf(model: string): number {
    const adapter = this.#adapters.get(model);
    if (adapter !== undefined) return adapter;
    throw new ApiError(
      404,
      `the model '${model.slice(0, 80)}' does not exist here; this server has ${this.models.join(', ')}`,
      { param: 'model', code: 'model_not_found' },
    );
  }

  /** @throws ApiError 400 for more answers than this server could ever take; to be asked before anything is made of their prompts */
  refuseTooMany(answers: number): void {
    const most = this.#limits.maxRows + this.#limits.maxQueue;
    if (answers <= most) return;
    throw new ApiError(
      400,
      `the request asks for ${answers} answers at once; this server takes ${most} in all`,
      { param: 'n', code: 'invalid_value' },
    );
  }

  /**
   * Puts a request's answers into the batch, and gives their pieces as they come. Leaving the loop cancels what still runs.
   *
   * @throws ApiError, at once: 404 for an unknown model, 400 for what can't be answered, 429 where the queue is full
   */
  answer(job: Job, signal: AbortSignal): AsyncGenerator<Piece, void, void> {
    const requests = this.#requests(job);
    this.#admit(requests.length);
    this.metrics.prompts(
      job.model,
      job.prompts.reduce((sum, prompt) => sum + prompt.length, 0),
    );
    return this.#pieces(job, requests, signal);
  }

  #requests({ model, prompts, n, maxTokens, sampling, seed }: Job): SampleRequest[] {
    const adapter = this.adapterOf(model);
    const first = BigInt(seed ?? Math.floor(Math.random() * Number.MAX_SAFE_INTEGER));
    return prompts.flatMap((prompt, place) => {
      const maxNewTokens = this.#room(prompt.length, maxTokens, prompts.length > 1 ? place : undefined);
      return Array.from({ length: n }, (_, sample) => ({
        ...sampling,
        id: String(place * n + sample),
        prompt,
        maxNewTokens,
        adapter,
        // Each answer to a prompt has draws of its own; the first has the seed as given.
        seed: BigInt.asUintN(64, first + BigInt(sample)),
      }));
    });
  }

  #room(prompt: number, maxTokens: number | undefined, place: number | undefined): number {
    const { contextLength, maxTokens: most } = this.#limits;
    const where = place === undefined ? 'the prompt' : `prompt ${place}`;
    const refuse = (what: string): never => {
      throw new ApiError(400, what, { param: null, code: 'context_length_exceeded' });
    };
    if (prompt === 0)
      throw new ApiError(400, `${where} has no tokens`, { param: 'prompt', code: 'invalid_value' });
    if (contextLength > 0 && prompt >= contextLength)
      refuse(`${where} has ${prompt} tokens, and the model's context is ${contextLength}`);
    const wanted = maxTokens ?? Math.max(1, Math.min(DEFAULT_TOKENS, most - prompt));
    if (prompt + Math.max(wanted, 1) > most)
      refuse(
        `${where} has ${prompt} tokens and ${wanted} are asked for: this server has room for ${most} in all`,
      );
    return Math.max(wanted, 1);
  }

  #admit(answers: number): void {
    const { maxRows, maxQueue } = this.#limits;
    const most = maxRows + maxQueue;
    this.refuseTooMany(answers);
    const before = this.#waiting + this.#running;
    if (before + answers > most) {
      const seconds = Math.ceil(this.#seconds * Math.max(1, (before - maxRows) / maxRows));
      throw new ApiError(
        429,
        `${before} answers run or wait, and ${most} may: try again in a while`,
        { code: 'queue_full' },
        { 'retry-after': String(Math.min(60, Math.max(1, seconds))) },
      );
    }
    this.#waiting += answers;
  }

  async *#pieces(
    job: Job,
    requests: readonly SampleRequest[],
    signal: AbortSignal,
  ): AsyncGenerator<Piece, void, void> {
    const arrived = performance.now();
    const since = (start: number): number => (performance.now() - start) / 1000;
    const firsts = new Map<number, number>();
    const told = requests.map((_, index) => {
      const start = job.starts?.[Math.floor(index / job.n)] ?? 0;
      return new ToldTokens(this.#tokenizer, start);
    });
    let ended = 0;
    const begin = (index: number): void => {
      if (firsts.has(index)) return;
      firsts.set(index, performance.now());
      this.#waiting -= 1;
      this.#running += 1;
      this.metrics.firstToken(job.model, since(arrived));
    };
    try {
      for await (const event of this.#sampler.stream(requests, { signal })) {
        const index = Number(event.id);
        begin(index);
        if (event.type === 'prompt') {
          yield { type: 'prompt', index, scores: event };
        } else if (event.type === 'text') {
          const tokens = (told[index] as ToldTokens).piece(event.text, event);
          if (job.maxTokens !== 0) yield { type: 'text', index, text: event.text, tokens };
        } else {
          ended += 1;
          this.#running -= 1;
          const seconds = since(arrived);
          this.#seconds += (seconds - this.#seconds) / 16;
          const decoding = since(firsts.get(index) ?? arrived);
          this.metrics.answer(job.model, { tokens: event.tokens.length, seconds, decoding });
          yield endOf(event, index, told[index] as ToldTokens, job);
        }
      }
    } catch (error) {
      throw asApiError(error);
    } finally {
      this.#waiting -= requests.length - firsts.size;
      this.#running -= firsts.size - ended;
    }
  }
}

/** Where nothing was asked for beside the prompt, the one token that was drawn is not told. */
function endOf(result: SampleResult, index: number, told: ToldTokens, job: Job): Piece {
  if (job.maxTokens === 0) return { type: 'end', index, reason: 'length', tokens: [], drawn: 0 };
  const { finishReason } = result;
  const reason = finishReason === 'length' || finishReason === 'context' ? 'length' : 'stop';
  return {
    type: 'end',
    index,
    reason,
    tokens: told.rest(result, finishReason, job.tellsEnd),
    drawn: result.tokens.length,
  };
}

function asApiError(error: unknown): unknown {
  if (error instanceof RangeError) return new ApiError(400, error.message);
  if (isMlitError(error) && error.code === 'NOT_FINITE')
    return new ApiError(500, error.message, { code: 'not_finite' });
  return error;
}
