// Two models' answers to the same prompts, side by side: who is preferred, told by any judge in both orders, as the score S of
// the paper (protocol in docs/statistics.md). A program that measures answers is a judge like any other.

import { refuseUnknownOptions } from '../text/options';
import { PairedBootstrap } from './statistics/bootstrap';
import type { Estimate } from './statistics/estimate';
import { itemCell } from './statistics/item-cell';

/** Which of the two answers is better. `A` and `B` are the models, wherever the judge saw them. */
export type Verdict = 'A' | 'B' | 'tie';

/** What a judge said of one pair of answers that it saw in one order. */
export interface PairVerdict {
  /** `parallel_id`, or the record's id: the unit of the bootstrap. */
  item: string;
  /** Language of the prompt. */
  lang: string;
  /** Number of the sample, where a prompt was answered several times. Default 0. */
  sample?: number | undefined;
  /** Which model's answer the judge read first. */
  order: 'AB' | 'BA';
  /** Absent where the judge gave no valid verdict. */
  verdict?: Verdict | undefined;
}

/** One pair of answers with what both orders came to. */
export interface Pair {
  item: string;
  lang: string;
  sample?: number | undefined;
  /** 1: A is preferred in both orders; 0: B is; 0.5 else. Absent: no valid verdict, the pair is left out of S. */
  points?: number | undefined;
  /** The verdict was the same in both orders; absent where a judge is the same in both by construction, or was not asked. */
  consistent?: boolean | undefined;
}

/**
 * Points of A in one pair, from the verdicts of the two orders: chosen both times 1, chosen neither time 0, else 0.5 — so a tie
 * in one order alone makes a tie. Undefined unless both orders have a valid verdict.
 */
export function pairPoints(first: Verdict | undefined, second: Verdict | undefined): number | undefined {
  if (first === undefined || second === undefined) return undefined;
  if (first !== second || first === 'tie') return 0.5;
  return first === 'A' ? 1 : 0;
}

/**
 * Brings the two orders of each pair together, pairs in the order of their first verdict. A pair with one order alone has no
 * points.
 *
 * @throws RangeError where a pair has two verdicts in one order
 */
export function pairVerdicts(verdicts: Iterable<PairVerdict>): Pair[] {
  const byPair = new Map<string, { pair: Pair; AB?: PairVerdict; BA?: PairVerdict }>();
  for (const one of verdicts) {
    const { item, lang, sample, order } = one;
    const key = pairKey(one);
    if (!byPair.has(key)) byPair.set(key, { pair: { item, lang, ...(sample !== undefined && { sample }) } });
    const pair = byPair.get(key)!;
    if (pair[order] !== undefined)
      throw new RangeError(`verdicts: item "${item}" in ${lang} has two verdicts in the order ${order}`);
    pair[order] = one;
  }
  return [...byPair.values()].map(({ pair, AB, BA }) => {
    const points = pairPoints(AB?.verdict, BA?.verdict);
    return points === undefined ? pair : { ...pair, points, consistent: AB?.verdict === BA?.verdict };
  });
}

function pairKey({ item, lang, sample = 0 }: { item: string; lang: string; sample?: number | undefined }) {
  return JSON.stringify([item, lang, sample]);
}

/** The pair of two texts that are the same: a tie, and no judge is asked. */
export function identicalPair(item: string, lang: string, a: string, b: string): Pair | undefined {
  return a === b ? { item, lang, points: 0.5 } : undefined;
}

/** Score of A against B in points (50 is parity), with its interval over items. */
export interface SideBySide {
  /** Mean points of A in percent; 50 is parity. NaN where no pair has points. */
  score: Estimate;
  /** S if A lost, and if A won, every pair that was left out. */
  worstCase: readonly [low: number, high: number];
  /** Pairs that S is made of, and pairs left out for want of a valid verdict. */
  pairs: number;
  leftOut: number;
  wins: number;
  ties: number;
  losses: number;
  /** Ties among the pairs; NaN where there is none. */
  tieRate: number;
  /** Share of pairs judged in two orders where both said the same; absent where no pair was. */
  positionConsistency?: Estimate;
}

/** Resampling of a side by side. */
export interface SideBySideOptions {
  resamples?: number;
  seed?: number;
  level?: number;
}

/** S(A, B) of pairs in one language, or in several pooled; the bootstrap draws items, with all of their pairs. */
export function sideBySide(pairs: readonly Pair[], options: SideBySideOptions = {}): SideBySide {
  refuseUnknownOptions('sideBySide', options, { resamples: true, seed: true, level: true });
  const valid = pairs.filter((pair) => pair.points !== undefined);
  const count = (points: number): number => valid.filter((pair) => pair.points === points).length;
  const [wins, ties, losses] = [count(1), count(0.5), count(0)];
  const items = [...new Set(pairs.map((pair) => pair.item))];
  const judged = valid.filter((pair) => pair.consistent !== undefined);
  const bootstrap = new PairedBootstrap(
    [
      itemCell(items, valid, (pair) => 100 * (pair.points as number), [0, 100]),
      itemCell(items, judged, (pair) => (pair.consistent ? 1 : 0), [0, 1]),
    ],
    options,
  );
  const leftOut = pairs.length - valid.length;
  const sum = wins + ties / 2;
  return {
    score: bootstrap.estimate(0),
    worstCase: [(100 * sum) / pairs.length, (100 * (sum + leftOut)) / pairs.length],
    pairs: valid.length,
    leftOut,
    wins,
    ties,
    losses,
    tieRate: ties / valid.length,
    ...(judged.length > 0 && { positionConsistency: bootstrap.estimate(1) }),
  };
}

/**
 * The points of a model against the model tuned in each language alone, from S of each language: the paper's
 * instruction-following score IF_L(M). The model's own language is 50 by definition and is left out of the mean.
 *
 * @param scores S(M, monolingual L) by L
 * @param own the language that M itself is the monolingual model of, if any
 */
export function instructionFollowing(
  scores: Readonly<Record<string, number>>,
  own?: string,
): { byLanguage: Record<string, number>; mean: number; languages: number } {
  const byLanguage: Record<string, number> = { ...scores };
  if (own !== undefined) byLanguage[own] = PARITY;
  const averaged = Object.entries(byLanguage).filter(([lang, score]) => lang !== own && !Number.isNaN(score));
  const sum = averaged.reduce((total, [, score]) => total + score, 0);
  return { byLanguage, mean: sum / averaged.length, languages: averaged.length };
}

/** S of two models that nothing tells apart. */
const PARITY = 50;

/** Measures by which programs judge two answers. */
export type ProgramMeasure = 'exact' | 'chrf' | 'rougeL';

/** Points that two measured answers must differ by, and that one of them must reach, for a verdict that is no tie. */
export const TIE_POINTS = 5;
export const TIE_UNDER = 20;

/**
 * A program as a judge: the answer with the higher measure is better. For chrF and ROUGE-L (0 to 100), a difference under 5
 * points, or both under 20, is a tie; for exact match (0 or 1), equal values are. Undefined where a value is missing. A program
 * sees no order, so its verdict holds for both.
 */
export function scoreVerdict(
  a: number | undefined,
  b: number | undefined,
  options: { measure: ProgramMeasure; tiePoints?: number; tieUnder?: number },
): Verdict | undefined {
  if (a === undefined || b === undefined || Number.isNaN(a) || Number.isNaN(b)) return undefined;
  const { measure, tiePoints = TIE_POINTS, tieUnder = TIE_UNDER } = options;
  if (a === b) return 'tie';
  if (measure !== 'exact' && (Math.abs(a - b) < tiePoints || Math.max(a, b) < tieUnder)) return 'tie';
  return a > b ? 'A' : 'B';
}

/** One answer's measure, for {@link scoreVerdicts}. */
export interface ItemScore {
  item: string;
  lang: string;
  sample?: number | undefined;
  value?: number | undefined;
}

/**
 * Pairs by a program's verdicts, in the order of `a`; values are joined by item, language and sample.
 *
 * @throws RangeError where an item is there twice, or on one side only
 */
export function scoreVerdicts(
  a: readonly ItemScore[],
  b: readonly ItemScore[],
  options: { measure: ProgramMeasure; tiePoints?: number; tieUnder?: number },
): Pair[] {
  const ours = keyed('a', a);
  const theirs = keyed('b', b);
  for (const [key, { item, lang }] of theirs)
    if (!ours.has(key)) throw new RangeError(`scoreVerdicts: item "${item}" in ${lang} is in b only`);
  return [...ours].map(([key, { value, ...pair }]) => {
    const { item, lang } = pair;
    const other = theirs.get(key);
    if (other === undefined) throw new RangeError(`scoreVerdicts: item "${item}" in ${lang} is in a only`);
    const verdict = scoreVerdict(value, other.value, options);
    return verdict === undefined ? pair : { ...pair, points: pairPoints(verdict, verdict) };
  });
}

function keyed(side: string, scores: readonly ItemScore[]): Map<string, ItemScore> {
  const byKey = new Map<string, ItemScore>();
  for (const score of scores) {
    const key = pairKey(score);
    if (byKey.has(key))
      throw new RangeError(`scoreVerdicts: ${side} has item "${score.item}" in ${score.lang} twice`);
    byKey.set(key, score);
  }
  return byKey;
}
