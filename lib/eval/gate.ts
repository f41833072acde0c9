// The language-gated score. A judge may like a good English answer to a Finnish question; whoever asked in Finnish may not. The
// gate goes over any verdict source: it changes the points of pairs in which a language is wrong, and nothing else.
import type { Pair } from './side-by-side';

/** Whether an answer is in the language of its prompt; `undecided` where no rule settles it. */
export type LanguageState = 'right' | 'wrong' | 'undecided';

/**
 * Compares the language of an answer with that of its prompt.
 *
 * @param decided the answer's language as `languageOfAnswer` gives it
 */
export function languageState(decided: string, expected: string): LanguageState {
  if (decided === 'undecided') return 'undecided';
  return decided === expected ? 'right' : 'wrong';
}

/**
 * Points of A after the gate: an answer in the wrong language loses to one in the right language, two wrong ones tie. Where
 * either is undecided there is no ground to overrule the judge, so its points stand; the share of such pairs belongs beside the
 * score. A pair without a valid verdict gets points where the languages alone decide.
 */
export function gatedPoints(
  points: number | undefined,
  a: LanguageState,
  b: LanguageState,
): number | undefined {
  if (a === 'wrong' && b === 'wrong') return 0.5;
  if (a === 'right' && b === 'wrong') return 1;
  if (a === 'wrong' && b === 'right') return 0;
  return points;
}

/** The same over a pair. `consistent` stays: it is the judge's. */
export function gatePair(pair: Pair, a: LanguageState, b: LanguageState): Pair {
  return { ...pair, points: gatedPoints(pair.points, a, b) };
}
