// Batched generation for people: prompts in, text out as it comes. The engine decides rows and pages; here live templates'
// ends, stop strings, whole code points and seeds. One loop steps for all streams, so that requests of one join the batch of another.
import type { Adapter } from '../model/adapter';
import type { Model } from '../model/model';
import type { StreamingDecoder } from '../model/tokenizer';
import { loadAddon } from '../native/addon';
import { MlitError } from '../native/errors';
import type {
  NativeAdapterSpec,
  NativeLoadOptions,
  NativeMemoryPlan,
  NativeSampleEvent,
  NativeSampleOptions,
  NativeSampler,
  NativeTokenLogprob,
} from '../native/types';
import { refuseUnknownOptions } from '../text/options';
import { Inbox } from './inbox';
import { StopScanner } from './stop';

/** Model, adapters and size of a sampler’s cache. */
export interface SamplerOptions {
  model: Model;
  /** Adapters that requests choose from by index. Default none. */
  adapters?: readonly Adapter[];
  /** Sequences at once. Default 32. */
  maxRows?: number;
  /** KV capacity in tokens, all running sequences together. Default maxRows × 1024. */
  cacheTokens?: number;
  /** Prompt tokens computed in one step at most. Default 512. */
  prefillTokens?: number;
}

/** A prompt and how it is answered. */
export interface SampleRequest {
  /** The caller's name for it; comes back with the result. */
  id: string;
  /** Token ids, BOS included where the model wants one (see `renderPrompt`). */
  prompt: Int32Array;
  /** 0, with `promptLogprobs`: the prompt is scored, nothing is written. Default 256. */
  maxNewTokens?: number;
  /** 0 = greedy. Default 0. */
  temperature?: number;
  /** Default 1 (off). */
  topP?: number;
  /** Default 0 (off). */
  topK?: number;
  /** Default 0 (off). */
  minP?: number;
  /** The draw of each token is a function of this and of the token's place, whatever else is in the batch. Default 0. */
  seed?: number | bigint;
  /** Texts that end the response. Default none. */
  stop?: readonly string[];
  /** Ids that end the response as the end of a turn. Default: the template's and the tokenizer's. */
  endOfTurnIds?: readonly number[];
  /** Index into the sampler's adapters, -1 = bare base. Default 0 where there are adapters, else -1. */
  adapter?: number;
  /** Likeliest tokens to tell of at each place, 0 to 20. Default 0. */
  topLogprobs?: number;
  /**
   * Whether to tell of the prompt's own tokens too; a number: of those from that place on, 1 or more. They are computed then, also
   * where others have them in common with it. Default false.
   */
  promptLogprobs?: boolean | number;
}

/** A token and its natural log-probability before temperature and filters. */
export type TokenLogprob = NativeTokenLogprob;

/** Tokens as they were drawn. */
export interface DrawnTokens {
  /** Ids. */
  tokens: number[];
  /** Natural log-probability of each of `tokens` before temperature and filters. */
  logprobs: number[];
  /** With `topLogprobs`: the likeliest tokens at the place of each of `tokens`, best first. */
  topLogprobs?: TokenLogprob[][];
}

/** What a model gives a prompt's own tokens; null for the first, which nothing stands before, and for those not asked for. */
export interface PromptLogprobs {
  /** [prompt] */
  logprobs: (number | null)[];
  /** [prompt], with `topLogprobs`. */
  topLogprobs?: (TokenLogprob[] | null)[];
}

/** Why a response ended: the template's end of turn, another end token of the model, a stop text, or a limit. */
export type FinishReason = 'end-of-turn' | 'eos' | 'stop' | 'length' | 'context' | 'cancelled';

/** A finished answer. `tokens` are all ids drawn, the one that ended it included. */
export interface SampleResult extends DrawnTokens {
  id: string;
  /** The text without end tokens and stop texts. */
  response: string;
  /** With `promptLogprobs`. */
  prompt?: PromptLogprobs;
  finishReason: FinishReason;
}

/**
 * `text` is a piece of a response, whole code points, with the tokens since the piece before (a piece that may become a stop text
 * waits, and its tokens with it); `prompt` comes before it, where it was asked for; `result` closes a request.
 */
export type SampleEvent =
  | ({ type: 'prompt'; id: string } & PromptLogprobs)
  | ({ type: 'text'; id: string; text: string } & DrawnTokens)
  | ({ type: 'result' } & SampleResult);

interface Running {
  request: SampleRequest;
  nativeId: number;
  reader: Inbox<SampleEvent>;
  decoder: StreamingDecoder;
  scanner: StopScanner;
  response: string;
  drawn: DrawnTokens;
  /** Tokens that pieces of text have taken along. */
  told: number;
  prompt: PromptLogprobs | undefined;
  endOfTurn: ReadonlySet<number>;
}

/** Answers prompts in batches; no answer depends on what is beside it in the batch. */
export class Sampler implements AsyncDisposable {
  readonly #native: NativeSampler;
  readonly #model: Model;
  readonly #hasAdapters: boolean;
  readonly #running = new Map<number, Running>();
  #nextId = 0;
  #stepping = false;

  private constructor(native: NativeSampler, model: Model, hasAdapters: boolean) {
    this.#native = native;
    this.#model = model;
    this.#hasAdapters = hasAdapters;
  }

  /** Native bytes by name that {@link create} would take for a model that is not loaded yet, the model's own left out. */
  static async plan(
    base: { path: string; adapters: readonly NativeAdapterSpec[]; load: NativeLoadOptions },
    options: Pick<SamplerOptions, 'maxRows' | 'cacheTokens' | 'prefillTokens'> = {},
  ): Promise<NativeMemoryPlan> {
    refuseUnknownOptions('Sampler.plan', options, { maxRows: true, cacheTokens: true, prefillTokens: true });
    const rank = base.adapters.reduce((most, adapter) => Math.max(most, adapter.rank), 0);
    const plan = await loadAddon().planSampling(base.path, toNative(options, 0), rank, base.load);
    return plan.filter(({ name }) => name !== 'base');
  }

  /** @throws MlitError `OUT_OF_MEMORY` when the cache does not fit */
  static async create(options: SamplerOptions): Promise<Sampler> {
    refuseUnknownOptions('Sampler.create', options, {
      model: true,
      adapters: true,
      maxRows: true,
      cacheTokens: true,
      prefillTokens: true,
    });
    const { model, adapters = [] } = options;
    const native = await model.native.createSampler(
      adapters.map((adapter) => adapter.native),
      toNative(options, Math.min(model.tokenizer.vocabSize, model.config.vocabulary)),
    );
    return new Sampler(native, model, adapters.length > 0);
  }

  get memory(): NativeMemoryPlan {
    return this.#native.memory;
  }

  /**
   * Prompt tokens since the sampler was made: those that were computed, and those whose keys and values were there already,
   * because another prompt for the same adapter begins in the same way.
   */
  get promptTokens(): { computed: number; shared: number } {
    const { computedTokens: computed, sharedTokens: shared } = this.#native.stats;
    return { computed, shared };
  }

  /**
   * Generates for all requests, at most `maxRows` at once (a finished one's place is taken at once), and yields pieces of
   * text and results as they come. Streams that run at the same time share the batch; no answer depends on that. Leaving the loop
   * cancels what still runs of this one.
   *
   * @throws RangeError for a request that can't run (its id is named); MlitError `NOT_FINITE` where the weights give no numbers
   */
  async *stream(
    requests: Iterable<SampleRequest>,
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<SampleEvent, void, void> {
    refuseUnknownOptions('Sampler.stream', options, { signal: true });
    const { signal } = options;
    signal?.throwIfAborted();
    const own = new Set<number>();
    const inbox = new Inbox<SampleEvent>();
    const abort = (): void => inbox.fail(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      for (const request of requests) own.add(this.#submit(request, inbox));
      void this.#step();
      let unfinished = own.size;
      while (unfinished > 0) {
        for (const event of await inbox.take()) {
          if (event.type === 'result') unfinished -= 1;
          yield event;
        }
      }
    } finally {
      signal?.removeEventListener('abort', abort);
      this.#cancel(own);
    }
  }

  /** All results, in the order of the requests. */
  async generate(
    requests: readonly SampleRequest[],
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<SampleResult[]> {
    const places = new Map<string, number>();
    requests.forEach((request, index) => {
      if (places.has(request.id)) throw new RangeError(`sampler: two requests have the id '${request.id}'`);
      places.set(request.id, index);
    });
    const results: SampleResult[] = new Array(requests.length);
    for await (const event of this.stream(requests, options)) {
      if (event.type === 'result') {
        const { type: _, ...result } = event;
        results[places.get(event.id)!] = result;
      }
    }
    return results;
  }

  /** Until nothing runs: what is submitted meanwhile is part of the next step. */
  async #step(): Promise<void> {
    if (this.#stepping) return;
    this.#stepping = true;
    while (this.#running.size > 0) {
      const next = this.#nextId;
      try {
        for (const event of await this.#native.step()) this.#accept(event);
      } catch (error) {
        for (const entry of this.#running.values()) if (entry.nativeId < next) this.#fail(entry, error);
      }
    }
    this.#stepping = false;
  }

  #fail(entry: Running, error: unknown): void {
    this.#running.delete(entry.nativeId);
    this.#native.cancelRequest(entry.nativeId);
    entry.reader.fail(error);
  }

  /** Those that have ended are passed over. */
  #cancel(ids: Iterable<number>): void {
    let some = false;
    for (const id of ids) {
      if (!this.#running.delete(id)) continue;
      this.#native.cancelRequest(id);
      some = true;
    }
    if (some && this.#running.size === 0) this.#native.cancel(); // nobody waits for the step that runs
  }

  #submit(request: SampleRequest, reader: Inbox<SampleEvent>): number {
    refuseUnknownOptions('a request to the sampler', request, {
      id: true,
      prompt: true,
      maxNewTokens: true,
      temperature: true,
      topP: true,
      topK: true,
      minP: true,
      seed: true,
      stop: true,
      endOfTurnIds: true,
      adapter: true,
      topLogprobs: true,
      promptLogprobs: true,
    });
    const { topLogprobs = 0, promptLogprobs = false } = request;
    const endOfTurn = new Set(request.endOfTurnIds ?? this.#model.endOfTurnIds);
    const eos = this.#model.eosIds;
    const nativeId = this.#nextId++;
    try {
      this.#native.submit({
        id: nativeId,
        prompt: request.prompt,
        maxNewTokens: request.maxNewTokens ?? 256,
        temperature: request.temperature ?? 0,
        topP: request.topP ?? 1,
        topK: request.topK ?? 0,
        minP: request.minP ?? 0,
        seed: BigInt(request.seed ?? 0),
        stopIds: Int32Array.from(new Set([...endOfTurn, ...eos])),
        adapter: request.adapter ?? (this.#hasAdapters ? 0 : -1),
        top: topLogprobs,
        scoreFrom: Number(promptLogprobs),
      });
    } catch (error) {
      if (error instanceof RangeError)
        throw new RangeError(`request '${request.id}': ${error.message}`, { cause: error });
      throw error;
    }
    this.#running.set(nativeId, {
      request,
      nativeId,
      reader,
      decoder: this.#model.tokenizer.createDecoder(),
      scanner: new StopScanner(request.stop ?? []),
      response: '',
      drawn: { tokens: [], logprobs: [], ...(topLogprobs > 0 && { topLogprobs: [] }) },
      told: 0,
      prompt: undefined,
      endOfTurn,
    });
    return nativeId;
  }

  #accept(event: NativeSampleEvent): void {
    const entry = this.#running.get(event.id);
    if (!entry) return;
    const { request, drawn, reader } = entry;
    if (event.finish === 'not-finite') {
      this.#fail(entry, notFinite(request, drawn.tokens.length + 1));
      return;
    }
    const { id } = request;
    if (request.promptLogprobs && drawn.tokens.length === 0) {
      entry.prompt = promptLogprobs(event, request);
      reader.push({ type: 'prompt', id, ...entry.prompt });
    }
    const written = event.token >= 0;
    if (written) {
      drawn.tokens.push(event.token);
      drawn.logprobs.push(event.logprob);
      drawn.topLogprobs?.push(event.top ?? []);
    }
    const ended = !written || event.finish === 'stop';
    const last = event.finish !== 'none';
    const decoded = (ended ? '' : entry.decoder.push(event.token)) + (last ? entry.decoder.flush() : '');
    const text = entry.scanner.push(decoded) + (last && !entry.scanner.stopped ? entry.scanner.flush() : '');
    entry.response += text;
    if (text !== '') {
      reader.push({ type: 'text', id, text, ...tokensFrom(drawn, entry.told) });
      entry.told = drawn.tokens.length;
    }
    if (!last && !entry.scanner.stopped) return;
    this.#running.delete(entry.nativeId);
    if (!last) this.#native.cancelRequest(entry.nativeId);
    reader.push({
      type: 'result',
      id,
      response: entry.response,
      ...drawn,
      ...(entry.prompt && { prompt: entry.prompt }),
      finishReason: finishReason(entry, event),
    });
  }

  get disposed(): boolean {
    return this.#native.disposed;
  }

  /** Frees its memory, once what is under way has ended. Idempotent. */
  dispose(): Promise<void> {
    return this.#native.dispose();
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

function toNative(
  { maxRows = 32, cacheTokens = 0, prefillTokens = 512 }: Partial<SamplerOptions>,
  usableTokens: number,
): NativeSampleOptions {
  return { maxRows, cacheTokens, prefillTokens, usableTokens };
}

function finishReason(entry: Running, event: NativeSampleEvent): FinishReason {
  if (entry.scanner.stopped) return 'stop';
  if (event.finish === 'stop') return entry.endOfTurn.has(event.token) ? 'end-of-turn' : 'eos';
  return event.finish === 'context' ? 'context' : 'length';
}

function tokensFrom({ tokens, logprobs, topLogprobs }: DrawnTokens, start: number): DrawnTokens {
  return {
    tokens: tokens.slice(start),
    logprobs: logprobs.slice(start),
    ...(topLogprobs && { topLogprobs: topLogprobs.slice(start) }),
  };
}

function promptLogprobs({ prompt = [] }: NativeSampleEvent, request: SampleRequest): PromptLogprobs {
  const before = new Array<null>(request.prompt.length - prompt.length).fill(null);
  return {
    logprobs: [...before, ...prompt.map(({ logprob }) => logprob)],
    ...(request.topLogprobs && { topLogprobs: [...before, ...prompt.map(({ top }) => top)] }),
  };
}

function notFinite({ id, adapter = -1 }: SampleRequest, token: number): MlitError {
  const by = adapter < 0 ? '' : ` with adapter ${adapter}`;
  return new MlitError(
    'NOT_FINITE',
    `request '${id}'${by}: the logits of its new token ${token} are not finite; the weights give no numbers, as those of a training that has diverged`,
    { fields: { request: id, token } },
  );
}
