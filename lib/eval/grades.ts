// Answers graded one by one, excellent, pass or fail, as the paper's people did: rates by model with intervals, and how far apart
// two models are, over the same draw of items.

import { refuseUnknownOptions } from '../text/options';
import type { SideBySideOptions } from './side-by-side';
import { type Cell, PairedBootstrap } from './statistics/bootstrap';
import type { Estimate } from './statistics/estimate';
import { itemCell } from './statistics/item-cell';

/** The grades, best first. */
export const GRADES = ['excellent', 'pass', 'fail'] as const;

/** One of {@link GRADES}. */
export type Grade = (typeof GRADES)[number];

/** A grade that somebody gave to a model's answer. */
export interface GradedAnswer {
  model: string;
  /** `parallel_id`, or the record's id: the unit of the bootstrap. */
  item: string;
  lang: string;
  grade: Grade;
}

/** Shares of the grades that one model's answers got, from 0 to 1. */
export interface GradeRates extends Record<Grade, Estimate> {
  model: string;
  /** Grades given; several people may have graded one answer. */
  grades: number;
  /** Excellent or pass. */
  acceptable: Estimate;
}

/** Rates of every model, and of the first against each other one. */
export interface GradeSummary {
  models: GradeRates[];
  /** The first model's share less another's, with the interval of the difference. */
  differences: { model: string; against: string; excellent: Estimate; acceptable: Estimate }[];
}

/** What is counted of a model, in the order of its cells. */
const COUNTED: readonly (readonly [name: Grade | 'acceptable', counts: (grade: Grade) => boolean])[] = [
  ['excellent', (grade) => grade === 'excellent'],
  ['pass', (grade) => grade === 'pass'],
  ['fail', (grade) => grade === 'fail'],
  ['acceptable', (grade) => grade !== 'fail'],
];

/** Rates of grades in one language, or in several pooled, for the models in the order given. */
export function gradeRates(
  graded: readonly GradedAnswer[],
  models: readonly string[],
  options: SideBySideOptions = {},
): GradeSummary {
  refuseUnknownOptions('gradeRates', options, { resamples: true, seed: true, level: true });
  const items = [...new Set(graded.map(({ item }) => item))];
  const cells: Cell[] = models.flatMap((model) => {
    const own = graded.filter((one) => one.model === model);
    return COUNTED.map(([, counts]) => itemCell(items, own, ({ grade }) => (counts(grade) ? 1 : 0), [0, 1]));
  });
  const bootstrap = new PairedBootstrap(cells, options);
  const cellOf = (model: number, name: Grade | 'acceptable'): number =>
    model * COUNTED.length + COUNTED.findIndex(([known]) => known === name);
  const difference = (other: number, name: Grade | 'acceptable'): Estimate =>
    bootstrap.combine([
      { cell: cellOf(0, name), weight: 1 },
      { cell: cellOf(other, name), weight: -1 },
    ]);
  return {
    models: models.map((model, at) => ({
      model,
      grades: graded.filter((one) => one.model === model).length,
      excellent: bootstrap.estimate(cellOf(at, 'excellent')),
      pass: bootstrap.estimate(cellOf(at, 'pass')),
      fail: bootstrap.estimate(cellOf(at, 'fail')),
      acceptable: bootstrap.estimate(cellOf(at, 'acceptable')),
    })),
    differences: models.slice(1).map((model, at) => ({
      model: models[0] as string,
      against: model,
      excellent: difference(at + 1, 'excellent'),
      acceptable: difference(at + 1, 'acceptable'),
    })),
  };
}
