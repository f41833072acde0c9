// Side-by-side scores by programs: for each prompt the two answers' closeness to the reference is compared, a win is 100, a
// tie 50, a loss 0, and the score is the mean over prompts.
import { gatedPoints, type LanguageState } from '../../eval/gate';
import { pairPoints, scoreVerdict, TIE_UNDER } from '../../eval/side-by-side';
import type { Arm, ItemResult } from '../types';
import { CellTable, EVERY_SEED } from './cells';
import type { Column, Study } from './study';

/** The measure that judges. */
export type ScoreJudge = 'chrf' | 'rougeL';

export interface ScoreKind {
  judge: ScoreJudge;
  /** An answer in a wrong language loses to one in the right language; two wrong ones tie. */
  gated: boolean;
}

export interface ScoreTable {
  cells: CellTable;
  /** Pairs that were compared, and those that tie because neither answer is near the reference. */
  pairs: number;
  farTies: number;
  /** The share of such ties by arm and language. */
  far: Map<string, number>;
  /** Languages in which the judge is not to be believed; programs need no qualification. */
  unqualified: ReadonlySet<string>;
}

/**
 * A's points against B, of 100; undefined where the judge does not know both: pairs that languages alone would decide are not a
 * fair sample of all.
 */
export function pointsOf(a: ItemResult, b: ItemResult, { judge, gated }: ScoreKind): number | undefined {
  const verdict = scoreVerdict(a.measures[judge], b.measures[judge], { measure: judge });
  const points = pairPoints(verdict, verdict);
  if (points === undefined) return undefined;
  const final = gated ? gatedPoints(points, stateOf(a), stateOf(b)) : points;
  return final === undefined ? undefined : 100 * final;
}

function isFar(a: ItemResult, b: ItemResult, judge: ScoreJudge): boolean {
  return Math.max(a.measures[judge] ?? 0, b.measures[judge] ?? 0) < TIE_UNDER;
}

/** As the measures have it, which know of languages that count as one. */
function stateOf({ measures }: ItemResult): LanguageState {
  const { languageMatch } = measures;
  return languageMatch === undefined ? 'undecided' : languageMatch === 1 ? 'right' : 'wrong';
}

/**
 * Scores of every arm against the opponent of each language, seed by seed. An arm has no cell against itself: there the score
 * is 50 by definition.
 */
export function scoreTable(
  study: Study,
  kind: ScoreKind,
  opponent: (lang: string) => Arm | undefined,
): ScoreTable {
  const cells = new CellTable({ resamples: study.resamples, most: 100 });
  const table: ScoreTable = { cells, pairs: 0, farTies: 0, far: new Map(), unqualified: new Set() };
  for (const lang of study.languages) {
    const other = opponent(lang);
    if (other === undefined) continue;
    const theirs = study.columns(other.id, lang);
    for (const { id } of study.arms) {
      if (id === other.id) continue;
      let pairs = 0;
      let farTies = 0;
      for (const [seed, column, against] of paired(study.columns(id, lang), theirs)) {
        const values = new Float64Array(study.items.length);
        const weights = new Float64Array(study.items.length);
        for (const [at, a, b] of sameRecords(column, against)) {
          const points = pointsOf(a, b, kind);
          if (points === undefined) continue;
          values[at]! += points;
          weights[at]! += 1;
          pairs += 1;
          if (points === 50 && isFar(a, b, kind.judge)) farTies += 1;
        }
        cells.add(id, lang, seed, { values, weights });
      }
      table.pairs += pairs;
      table.farTies += farTies;
      if (pairs > 0) table.far.set(`${id} ${lang}`, farTies / pairs);
    }
  }
  return table;
}

/** Columns of one seed each; a model for all seeds is paired with every one of the other's. */
function* paired(
  own: ReadonlyMap<number, Column>,
  other: ReadonlyMap<number, Column>,
): Generator<[number, Column, Column]> {
  const seeds = own.has(EVERY_SEED) ? other.keys() : own.keys();
  for (const seed of seeds) {
    const a = own.get(seed) ?? own.get(EVERY_SEED);
    const b = other.get(seed) ?? other.get(EVERY_SEED);
    if (a !== undefined && b !== undefined) yield [seed, a, b];
  }
}

/** Results of one item, in the order in which they stand where an item has several records in a language. */
function* sameRecords(own: Column, other: Column): Generator<[number, ItemResult, ItemResult]> {
  const waiting = new Map<number, ItemResult[]>();
  for (const [index, result] of other.results.entries()) {
    const at = other.at[index]!;
    const known = waiting.get(at);
    if (known === undefined) waiting.set(at, [result]);
    else known.push(result);
  }
  for (const [index, result] of own.results.entries()) {
    const at = own.at[index]!;
    const partner = waiting.get(at)?.shift();
    if (partner !== undefined) yield [at, result, partner];
  }
}
