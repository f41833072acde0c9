// Which of a few letters a model finds likeliest as its next token. Prompts that begin alike are computed once to where they
// part: all of them go through one sampler, which tells its twenty likeliest tokens, and the first letter among them is the
// answer. Where none of them is a letter, the letters themselves are scored.
import type { RenderedExample } from '../../data/render';
import type { Model } from '../../model/model';
import type { Tokenizer } from '../../model/tokenizer';
import { MlitError } from '../../native/errors';
import { Sampler } from '../../sample/sampler';
import { score } from '../score';

/** What a reply begins with, and the ids that the letters are behind it. */
export interface Letters {
  prefill: Int32Array;
  ids: readonly number[];
}

/** Put before the letter, where the letters behind it are one token each. */
export const PREFILL = 'Verdict:';

/** Sequences computed at once. */
const ROWS = 32;
/** As many of the likeliest tokens as a sampler tells. */
const TOP = 20;

/** @throws MlitError `TOKENIZER_UNSUPPORTED` where the letters are not one token each */
export function findLetters(tokenizer: Tokenizer, letters: readonly string[]): Letters {
  for (const start of [`${PREFILL} `, '']) {
    const whole = letters.map((letter) => [...tokenizer.encode(`${start}${letter}`, { addBos: false })]);
    const prefill = whole[0]!.slice(0, -1);
    const ids = whole.map((own) => own.at(-1)!);
    const differInOne = whole.every(
      (own) => own.length === prefill.length + 1 && prefill.every((id, at) => id === own[at]),
    );
    if (differInOne && new Set(ids).size === ids.length) return { prefill: Int32Array.from(prefill), ids };
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
      const likeliest = event.topLogprobs?.[0]?.find(({ token }) => ids.includes(token));
      if (likeliest === undefined) others.push(Number(event.id));
      else yield { prompt: Number(event.id), letter: ids.indexOf(likeliest.token) };
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
    for (const [index, prompt] of part.entries()) {
      const own = logprobs[index]!;
      yield { prompt, letter: own.reduce((best, value, letter) => (value > own[best]! ? letter : best), 0) };
    }
  }
}

/** [prompts][letters] log-probability of each letter as the next token, by {@link score}. */
export async function letterLogprobs(
  model: Model,
  prompts: readonly Int32Array[],
  ids: readonly number[],
  signal?: AbortSignal,
): Promise<number[][]> {
  const logprobs = prompts.map(() => new Array<number>(ids.length).fill(Number.NaN));
  const examples = prompts.flatMap((prompt, at) =>
    ids.map((id, letter): RenderedExample => {
      const tokens = Int32Array.from([...prompt, id]);
      const weights = new Float32Array(tokens.length);
      weights[prompt.length] = 1;
      const source = { file: 'judge', line: at + 1 };
      return {
        id: `${at}:${letter}`,
        lang: 'und',
        tokens,
        weights,
        promptLength: prompt.length,
        cut: false,
        source,
      };
    }),
  );
  await score({
    model,
    examples,
    signal,
    targets: 'supervised',
    onRecord: (record) => {
      const [at, letter] = record.id.split(':').map(Number) as [number, number];
      logprobs[at]![letter] = record.logprobs.at(-1)!;
    },
  });
  return logprobs;
}
