// Batched generation for people: prompts in, text out as it comes. The engine decides rows and pages; here live templates'
// ends, stop strings, whole code points and seeds.
import type { Adapter } from '../model/adapter';
import type { Model } from '../model/model';
import type { StreamingDecoder } from '../model/tokenizer';
import { loadAddon } from '../native/addon';
import type {
  NativeAdapterSpec,
  NativeLoadOptions,
  NativeMemoryPlan,
  NativeSampleEvent,
  NativeSampleOptions,
  NativeSampler,
} from '../native/types';
import { refuseUnknownOptions } from '../text/options';
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
  /** Default 256. */
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
}

/** Why a response ended: the template's end of turn, another end token of the model, a stop text, or a limit. */
export type FinishReason = 'end-of-turn' | 'eos' | 'stop' | 'length' | 'context' | 'cancelled';

/** A finished answer. */
export interface SampleResult {
  id: string;
  /** The text without end tokens and stop texts. */
  response: string;
  /** Every id drawn, the one that ended it included. */
  tokens: number[];
  /** Natural log-probability of each of `tokens` before temperature and filters. */
  logprobs: number[];
  finishReason: FinishReason;
}

/** `text` is a piece of a response, whole code points; `result` closes a request. */
export type SampleEvent = { type: 'text'; id: string; text: string } | ({ type: 'result' } & SampleResult);

interface Running {
  request: SampleRequest;
  nativeId: number;
  decoder: StreamingDecoder;
  scanner: StopScanner;
  response: string;
  tokens: number[];
  logprobs: number[];
  endOfTurn: ReadonlySet<number>;
}

/** Answers prompts in batches; no answer depends on what is beside it in the batch. */
export class Sampler implements AsyncDisposable {
  readonly #native: NativeSampler;
  readonly #model: Model;
  readonly #hasAdapters: boolean;
  #nextId = 0;
  #busy = false;

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
   * text and results as they come. Leaving the loop cancels what still runs. One stream at a time.
   *
   * @throws RangeError for a request that can't run (its id is named)
   */
  async *stream(
    requests: Iterable<SampleRequest>,
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<SampleEvent, void, void> {
    refuseUnknownOptions('Sampler.stream', options, { signal: true });
    if (this.#busy)
      throw new RangeError('sampler: another stream is running; await it or create a second sampler');
    this.#busy = true;
    const running = new Map<number, Running>();
    try {
      for (const request of requests) {
        const entry = this.#submit(request);
        running.set(entry.nativeId, entry);
      }
      while (running.size > 0) {
        options.signal?.throwIfAborted();
        const abort = (): void => this.#native.cancel();
        options.signal?.addEventListener('abort', abort, { once: true });
        let events: NativeSampleEvent[];
        try {
          events = await this.#native.step();
        } catch (error) {
          options.signal?.throwIfAborted();
          throw error;
        } finally {
          options.signal?.removeEventListener('abort', abort);
        }
        for (const event of events) {
          const entry = running.get(event.id);
          if (entry) yield* this.#accept(entry, event, running);
        }
      }
    } finally {
      for (const id of running.keys()) this.#native.cancelRequest(id);
      this.#busy = false;
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

  #submit(request: SampleRequest): Running {
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
    });
    const { tokenizer } = this.#model;
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
      });
    } catch (error) {
      if (error instanceof RangeError)
        throw new RangeError(`request '${request.id}': ${error.message}`, { cause: error });
      throw error;
    }
    return {
      request,
      nativeId,
      decoder: tokenizer.createDecoder(),
      scanner: new StopScanner(request.stop ?? []),
      response: '',
      tokens: [],
      logprobs: [],
      endOfTurn,
    };
  }

  *#accept(entry: Running, event: NativeSampleEvent, running: Map<number, Running>): Generator<SampleEvent> {
    entry.tokens.push(event.token);
    entry.logprobs.push(event.logprob);
    const ended = event.finish === 'stop';
    const last = event.finish !== 'none';
    const decoded = (ended ? '' : entry.decoder.push(event.token)) + (last ? entry.decoder.flush() : '');
    const text = entry.scanner.push(decoded) + (last && !entry.scanner.stopped ? entry.scanner.flush() : '');
    entry.response += text;
    if (text !== '') yield { type: 'text', id: entry.request.id, text };
    if (!last && !entry.scanner.stopped) return;
    running.delete(entry.nativeId);
    if (!last) this.#native.cancelRequest(entry.nativeId);
    yield {
      type: 'result',
      id: entry.request.id,
      response: entry.response,
      tokens: entry.tokens,
      logprobs: entry.logprobs,
      finishReason: finishReason(entry, event),
    };
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
