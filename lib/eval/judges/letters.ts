// How likely a model finds each of a few letters, or digits, as its next token. Prompts that begin alike are computed once to where
// they part: all of them go through one sampler, which tells its twenty likeliest tokens. Where the letters that are wanted are not
// among these, the letters themselves are scored.
import type { Model } from '../../model/model';
import type { Tokenizer } from '../../model/tokenizer';
import { MlitError } from '../../native/errors';
import { Sampler } from '../../sample/sampler';
import { scoreContinuations } from '../continuations';

/** What a reply begins with, and the ids that the letters are behind it. */
export interface Letters {
  prefill: Int32Array;
  ids: readonly number[];
}

/** Sequences computed at once. */
const ROWS = 32;
/** As many of the likeliest tokens as a sampler tells. */
const TOP = 20;

/**
 * @param prefill put before the letter, where the letters behind it are one token each
 * @throws MlitError `TOKENIZER_UNSUPPORTED` where the letters are not one token each
 */
export function findLetters(tokenizer: Tokenizer, letters: readonly string[], prefill: string): Letters {
  for (const start of [`${prefill} `, '']) {
    const whole = letters.map((letter) => [...tokenizer.encode(`${start}${letter}`, { addBos: false })]);
    const before = whole[0]!.slice(0, -1);
    const ids = whole.map((own) => own.at(-1)!);
    const differInOne = whole.every(
      (own) => own.length === before.length + 1 && before.every((id, at) => id === own[at]),
    );
    if (differInOne && new Set(ids).size === ids.length) return { prefill: Int32Array.from(before), ids };
  }
  throw new MlitError(
    'TOKENIZER_UNSUPPORTED',
    `judge: the model’s tokenizer has no single tokens for ${letters.join(', ')}, by which a local judge answers`,
    { fields: { letters } },
  );
}

/**
 * The likeliest letter behind each prompt, as its index, in any order.
 *
 * @param prompts ids, BOS included, up to where the letter stands; each leaves room for one token in the model's context
 */
export async function* likeliestLetters(
  model: Model,
  prompts: readonly Int32Array[],
  ids: readonly number[],
  signal?: AbortSignal,
): AsyncGenerator<{ prompt: number; letter: number }> {
  for await (const { prompt, logprobs } of knownLetters(model, prompts, ids, 1, signal))
    yield { prompt, letter: likeliest(logprobs) };
}

/** The log-probability of every letter behind each prompt, in any order; prompts as for {@link likeliestLetters}. */
export function letterDistributions(
  model: Model,
  prompts: readonly Int32Array[],
  ids: readonly number[],
  signal?: AbortSignal,
): AsyncGenerator<{ prompt: number; logprobs: number[] }> {
  return knownLetters(model, prompts, ids, ids.length, signal);
}

/** The index of the largest; of equal ones the first. */
export function likeliest(logprobs: readonly number[]): number {
  return logprobs.reduce((best, value, at) => (value > logprobs[best]! ? at : best), 0);
}

/** @param enough letters to be known of each prompt; the others are less likely, and may be -Infinity */
async function* knownLetters(
  model: Model,
  prompts: readonly Int32Array[],
  ids: readonly number[],
  enough: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ prompt: number; logprobs: number[] }> {
  if (prompts.length === 0) return;
  const maxRows = Math.min(ROWS, prompts.length);
  const longest = prompts.reduce((most, prompt) => Math.max(most, prompt.length), 0);
  const others: number[] = [];
  {
    await using sampler = await Sampler.create({ model, maxRows, cacheTokens: maxRows * (longest + 32) });
    const requests = prompts.map((prompt, at) => ({
      id: String(at),
      prompt,
      maxNewTokens: 1,
      endOfTurnIds: [],
      topLogprobs: TOP,
    }));
    for await (const event of sampler.stream(requests, { signal })) {
      if (event.type !== 'result') continue;
      const told = new Map(event.topLogprobs?.[0]?.map(({ token, logprob }) => [token, logprob]));
      const logprobs = ids.map((id) => told.get(id) ?? Number.NEGATIVE_INFINITY);
      if (logprobs.filter(Number.isFinite).length < enough) others.push(Number(event.id));
      else yield { prompt: Number(event.id), logprobs };
    }
  }
  // Scored in parts, so that what is known is handed over as it comes.
  for (let at = 0; at < others.length; at += 8 * ROWS) {
    const part = others.slice(at, at + 8 * ROWS);
    const logprobs = await letterLogprobs(
      model,
      part.map((prompt) => prompts[prompt]!),
      ids,
      signal,
    );
    for (const [index, prompt] of part.entries()) yield { prompt, logprobs: logprobs[index]! };
  }
}

/** [prompts][letters] log-probability of each letter as the next token. */
export async function letterLogprobs(
  model: Model,
  prompts: readonly Int32Array[],
  ids: readonly number[],
  signal?: AbortSignal,
): Promise<number[][]> {
  const logprobs = prompts.map(() => new Array<number>(ids.length).fill(Number.NaN));
  const texts = prompts.flatMap((prompt) =>
    ids.map((id) => ({ tokens: Int32Array.from([...prompt, id]), from: prompt.length })),
  );
  for await (const { text, logprobs: own } of scoreContinuations(texts, { model, signal }))
    logprobs[Math.floor(text / ids.length)]![text % ids.length] = own[0]!;
  return logprobs;
}
