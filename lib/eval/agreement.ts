// How far two who judged the same pairs of answers agree: a judge and people, people among themselves. The measure is the
// paper's, tie-discounted accuracy; beside it stand plain agreement and what is left of that when chance is taken off.

import { refuseUnknownOptions } from '../text/options';
import type { Grade } from './grades';
import type { SideBySideOptions, Verdict } from './side-by-side';
import { PairedBootstrap } from './statistics/bootstrap';
import type { Estimate } from './statistics/estimate';
import { itemCell } from './statistics/item-cell';

/** What can be said of a pair of answers, or of one. */
export type Word = Verdict | Grade;

/** One rater's last word on a pair of answers, or on one answer. */
export interface Choice {
  /** The record's id; with the sample, what choices are joined by. */
  id: string;
  /** `parallel_id`, or the record's id: the unit of the bootstrap. */
  item: string;
  lang: string;
  /** Default 0. */
  sample?: number | undefined;
  verdict: Word;
}

/** What two raters said of one pair of answers. */
export interface ChoicePair {
  item: string;
  lang: string;
  first: Word;
  second: Word;
}

/** How far two raters agree; shares from 0 to 1, with intervals over items. */
export interface Agreement {
  /** Pairs of answers that both judged. */
  pairs: number;
  /** Mean of {@link tieDiscounted}: 0.5 for one who calls everything a tie beside one who never does. Of grades, what `raw` is. */
  tieDiscounted: Estimate;
  /** Share of equal verdicts. */
  raw: Estimate;
  /** Cohen's kappa: 0 is what chance gives, 1 is perfect. NaN where neither rater ever said anything but one word. */
  kappa: Estimate;
}

/** 1 if two verdicts are equal, 0.5 if exactly one of them is a tie, else 0. */
export function tieDiscounted(first: Word, second: Word): number {
  if (first === second) return 1;
  return first === 'tie' || second === 'tie' ? 0.5 : 0;
}

/**
 * The pairs of answers that both raters judged, in the order of the first one's.
 *
 * @throws RangeError where a rater has two choices of one pair
 */
export function joinChoices(first: Iterable<Choice>, second: Iterable<Choice>): ChoicePair[] {
  const theirs = keyed('second', second);
  return [...keyed('first', first)].flatMap(([key, { item, lang, verdict }]) => {
    const other = theirs.get(key);
    return other === undefined ? [] : [{ item, lang, first: verdict, second: other.verdict }];
  });
}

function keyed(side: string, choices: Iterable<Choice>): Map<string, Choice> {
  const byKey = new Map<string, Choice>();
  for (const choice of choices) {
    const key = JSON.stringify([choice.id, choice.sample ?? 0]);
    if (byKey.has(key))
      throw new RangeError(
        `joinChoices: the ${side} rater has two choices of "${choice.id}" in ${choice.lang}`,
      );
    byKey.set(key, choice);
  }
  return byKey;
}

/** Agreement over pairs of one language, or of several pooled; the bootstrap draws items, with all of their pairs. */
export function agreement(pairs: readonly ChoicePair[], options: SideBySideOptions = {}): Agreement {
  refuseUnknownOptions('agreement', options, { resamples: true, seed: true, level: true });
  const items = [...new Set(pairs.map(({ item }) => item))];
  const cell = (value: (pair: ChoicePair) => number) => itemCell(items, pairs, value, [0, 1]);
  const words = [...new Set(pairs.flatMap(({ first, second }) => [first, second]))].sort();
  const said = (side: 'first' | 'second', word: Word) => cell((pair) => (pair[side] === word ? 1 : 0));
  const bootstrap = new PairedBootstrap(
    [
      cell(({ first, second }) => tieDiscounted(first, second)),
      cell(({ first, second }) => (first === second ? 1 : 0)),
      ...words.flatMap((word) => [said('first', word), said('second', word)]),
    ],
    options,
  );
  return {
    pairs: pairs.length,
    tieDiscounted: spreading(bootstrap.estimate(0)),
    raw: spreading(bootstrap.estimate(1)),
    kappa: spreading(bootstrap.contrast(cohensKappa)),
  };
}

/** Without its interval where that is a point: items that are all alike can't tell how others would differ. */
function spreading({ value, low, high, n }: Estimate): Estimate {
  if (low === undefined || high === undefined || high - low < 1e-9) return { value, n };
  return { value, low, high, n };
}

/** Of cells: something, raw agreement, then each word's share on either side. */
function cohensKappa(cells: Float64Array): number {
  const raw = cells[1] as number;
  let chance = 0;
  for (let at = 2; at < cells.length; at += 2) chance += (cells[at] as number) * (cells[at + 1] as number);
  return chance === 1 ? Number.NaN : (raw - chance) / (1 - chance);
}
