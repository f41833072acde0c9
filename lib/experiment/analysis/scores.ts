// Side-by-side scores by programs: for each prompt the two answers' closeness to the reference is compared, a win is 100, a
// tie 50, a loss 0, and the score is the mean over prompts.
import type { Arm, ItemResult } from '../types';
import { CellTable, EVERY_SEED } from './cells';
import type { Column, Study } from './study';

/** The measure that judges. */
export type ScoreJudge = 'chrf' | 'rougeL';

/** Differences under this many points are ties. */
export const TIE_MARGIN = 5;
/** So are two answers that are both under this many points: neither has much to do with the reference. */
export const TIE_FLOOR = 20;

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
}

/** A's points against B; undefined where the judge does not know both. */
export function pointsOf(a: ItemResult, b: ItemResult, { judge, gated }: ScoreKind): number | undefined {
  const x = a.measures[judge];
  const y = b.measures[judge];
  if (x === undefined || y === undefined) return undefined;
  if (gated) {
    const wrongA = inWrongLanguage(a);
    const wrongB = inWrongLanguage(b);
    if (wrongA || wrongB) return wrongA === wrongB ? 50 : wrongA ? 0 : 100;
  }
  if (isFar(x, y) || Math.abs(x - y) < TIE_MARGIN) return 50;
  return x > y ? 100 : 0;
}

const isFar = (x: number, y: number): boolean => x < TIE_FLOOR && y < TIE_FLOOR;

/** Known to be wrong: an answer whose language is undecided is judged by its text. */
function inWrongLanguage({ measures }: ItemResult): boolean {
  return measures.languageMatch === 0;
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
  const table: ScoreTable = { cells, pairs: 0, farTies: 0 };
  for (const lang of study.languages) {
    const other = opponent(lang);
    if (other === undefined) continue;
    const theirs = study.columns(other.id, lang);
    for (const { id } of study.arms) {
      if (id === other.id) continue;
      for (const [seed, column, against] of paired(study.columns(id, lang), theirs)) {
        const values = new Float64Array(study.items.length);
        const weights = new Float64Array(study.items.length);
        for (const [at, a, b] of sameRecords(column, against)) {
          const points = pointsOf(a, b, kind);
          if (points === undefined) continue;
          values[at]! += points;
          weights[at]! += 1;
          table.pairs += 1;
          if (isFar(a.measures[kind.judge]!, b.measures[kind.judge]!)) table.farTies += 1;
        }
        cells.add(id, lang, seed, { values, weights });
      }
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
