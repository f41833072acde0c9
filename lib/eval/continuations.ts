// How likely a model finds texts behind others, where many share what stands before them (the labels of a question, the letters
// of a verdict): what they have in common is computed once, and nothing is written.
import type { Adapter } from '../model/adapter';
import type { Model } from '../model/model';
import { Sampler } from '../sample/sampler';

/** A text with the place from which on it is scored. */
export interface Continuation {
  /** Ids of what stands before, and of what is scored behind it. */
  tokens: Int32Array;
  /** Index of the first id that is scored, 1 or more; what is before it may be shared. */
  from: number;
}

/** Who scores, and how much at once. */
export interface ContinuationOptions {
  model: Model;
  /** Default: the bare base. */
  adapter?: Adapter | undefined;
  /** Tokens computed at once. Default 2048. */
  microTokens?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** Sequences computed at once. */
const ROWS = 128;
/** The cache is handed out in pages of so many tokens. */
const PAGE = 32;
/** Tokens of the cache, unless one text needs more. */
const MOST_CACHED = 32_768;

/**
 * The natural log-probability of each id from `from` on, in any order of texts. Those that begin alike should stand together.
 *
 * @returns logprobs: [tokens.length - from]
 */
export async function* scoreContinuations(
  texts: readonly Continuation[],
  { model, adapter, microTokens = 2048, signal }: ContinuationOptions,
): AsyncGenerator<{ text: number; logprobs: number[] }> {
  if (texts.length === 0) return;
  const longest = texts.reduce((most, { tokens }) => Math.max(most, tokens.length), 0);
  const whole = Math.ceil(longest / PAGE) * PAGE;
  const maxRows = Math.min(ROWS, texts.length, Math.max(1, Math.floor(MOST_CACHED / whole)));
  await using sampler = await Sampler.create({
    model,
    adapters: adapter === undefined ? [] : [adapter],
    maxRows,
    cacheTokens: maxRows * whole,
    prefillTokens: microTokens,
  });
  const requests = texts.map(({ tokens, from }, at) => ({
    id: String(at),
    prompt: tokens,
    maxNewTokens: 0,
    promptLogprobs: from,
  }));
  for await (const event of sampler.stream(requests, { signal })) {
    if (event.type !== 'prompt') continue;
    const text = Number(event.id);
    yield { text, logprobs: event.logprobs.slice(texts[text]!.from) as number[] };
  }
}
