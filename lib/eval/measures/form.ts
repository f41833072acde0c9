// What an answer looks like, whatever it says: how long it is, whether it was cut, whether it goes round in circles.
import { fold, words } from '../../text/segment';

/** Longest period, in tokens, that is looked for at an answer's end. */
const MAX_PERIOD = 64;
/** Times that a stretch must come, and tokens that they must cover, to be a loop. */
const MIN_LOOPS = 4;
const MIN_LOOP_TOKENS = 12;
const GRAM = 4;

export interface Form {
  empty: 0 | 1;
  truncated: 0 | 1;
  loop: 0 | 1;
  /** Absent under four words. */
  repetition?: number;
  responseChars: number;
  responseTokens: number;
  responseWords: number;
}

export function formOf(
  answer: { response: string; tokens: readonly number[]; finishReason: string },
  lang: string,
): Form {
  const { response, tokens, finishReason } = answer;
  const found = words(fold(response), lang);
  const repetition = repetitionOf(found);
  return {
    empty: response.trim() === '' ? 1 : 0,
    truncated: finishReason === 'length' || finishReason === 'context' ? 1 : 0,
    loop: endsInLoop(tokens) ? 1 : 0,
    ...(repetition !== undefined && { repetition }),
    responseChars: [...response].length,
    responseTokens: tokens.length,
    responseWords: found.length,
  };
}

/** Share of 4-grams that occurred before, 0 to 1; undefined where there is none. */
export function repetitionOf(found: readonly string[]): number | undefined {
  const total = found.length - GRAM + 1;
  if (total < 1) return undefined;
  const distinct = new Set<string>();
  for (let at = 0; at < total; at += 1) distinct.add(found.slice(at, at + GRAM).join(' '));
  return 1 - distinct.size / total;
}

/**
 * Whether a sequence ends in a stretch of at most {@link MAX_PERIOD} tokens that comes at least {@link MIN_LOOPS} times and
 * covers at least {@link MIN_LOOP_TOKENS}; it may break off within the stretch.
 */
export function endsInLoop(tokens: readonly number[]): boolean {
  const { length } = tokens;
  for (let period = 1; period <= Math.min(MAX_PERIOD, length / MIN_LOOPS); period += 1) {
    const wanted = Math.max(MIN_LOOPS * period, MIN_LOOP_TOKENS);
    let covered = period;
    while (
      covered < wanted &&
      covered < length &&
      tokens[length - 1 - covered] === tokens[length - 1 - covered + period]
    )
      covered += 1;
    if (covered >= wanted) return true;
  }
  return false;
}
