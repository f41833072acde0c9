// E5: whether two languages reach further than either of them alone, in the languages that neither of them is.
import type { ResultColumn, ResultFigure, ResultTable } from '../results';
import type { Arm } from '../types';
import { type Drawn, drawnQuantities, plain } from './figures';
import type { ProtocolResults } from './pinch';
import type { NamedScore } from './score-tables';
import type { Study } from './study';
import { aboutIntervals, briefIntervals } from './words';

interface Pair {
  arm: Arm;
  parents: readonly Arm[];
  /** Languages that are neither of the pair's. */
  others: readonly string[];
}

export function analysePairs(study: Study, scores: readonly NamedScore[]): ProtocolResults {
  const pairs = study.arms.flatMap((arm): Pair[] => {
    const { a, b } = arm.at;
    if (typeof a !== 'string' || typeof b !== 'string') return [];
    return [
      {
        arm,
        parents: [a, b].map((lang) => study.monolingual(lang)).filter((parent) => parent !== undefined),
        others: study.languages.filter((lang) => lang !== a && lang !== b),
      },
    ];
  });
  const drawn = drawnQuantities(study, scores).filter(({ cells }) =>
    pairs.some(({ arm, others }) => cells.mean(arm.id, others) !== null),
  );
  const orphans = pairs.filter(({ parents }) => parents.length < 2).map(({ arm }) => arm.label);
  return {
    question:
      'Does a model tuned on two languages answer better in others than both that are tuned on one of them?',
    tables: drawn.map((each) => pairTable(study, each, pairs)),
    figures: drawn.map((each) => pairFigure(study, each, pairs)),
    warnings:
      orphans.length === 0
        ? []
        : [
            `Not both monolingual models of ${orphans.join(', ')} are finished: its comparison is not complete.`,
          ],
  };
}

/** Languages in which the pair and all of its parents have a cell: a parent is no opponent of itself. */
function shared({ cells }: Drawn, { arm, parents, others }: Pair): string[] {
  return others.filter((lang) => [arm, ...parents].every(({ id }) => cells.has(id, lang)));
}

function pairFigure(study: Study, drawn: Drawn, pairs: readonly Pair[]): ResultFigure {
  const groups = pairs.flatMap((pair) => {
    const languages = shared(drawn, pair);
    const marks = [
      { id: pair.arm.id, series: 'both languages' },
      ...pair.parents.map(({ id }, at) => ({ id, series: at === 0 ? 'first alone' : 'second alone' })),
    ];
    return marks.flatMap(({ id, series }) => {
      const value = drawn.cells.mean(id, languages);
      if (value === null) return [];
      const grey = drawn.grey(id, languages);
      return [{ group: pair.arm.label, series, value: plain(value), ...(grey && { grey }) }];
    });
  });
  return {
    kind: 'pairs',
    id: `pairs-${drawn.id}`,
    title: drawn.title,
    caption: `${drawn.about} Mean over the languages that are neither of the pair’s; the pair’s languages in the order of its name. Pairs are drawn by the experiment’s seed. ${aboutIntervals(study)}`,
    brief: `${drawn.brief} Mean over the languages that are neither of the pair’s. ${briefIntervals(study)}`,
    paper: 'The comparison of language pairs with their monolingual models (E5).',
    x: 'pair of languages',
    y: drawn.axis,
    digits: drawn.digits,
    groups,
    ...(drawn.parity !== undefined && { reference: drawn.parity.value }),
  };
}

function pairTable(study: Study, drawn: Drawn, pairs: readonly Pair[]): ResultTable {
  const { unit } = drawn;
  const column = (key: string, label: string): ResultColumn => ({
    key,
    label,
    kind: 'number',
    unit,
    digits: drawn.digits,
    better: drawn.better,
  });
  return {
    id: `pairs-${drawn.id}`,
    title: `${drawn.title}: pairs and their languages alone`,
    caption: `${drawn.about} Means over the languages that are neither of the pair’s, the same for all three models of a row. ${aboutIntervals(study)}`,
    columns: [
      { key: 'pair', label: 'pair', kind: 'text' },
      column('both', 'both'),
      column('first', 'first alone'),
      column('second', 'second alone'),
      column('lessFirst', 'both less first'),
      column('lessSecond', 'both less second'),
    ],
    rows: pairs.map((pair) => {
      const languages = shared(drawn, pair);
      const { cells } = drawn;
      const mean = (arm: Arm | undefined) => (arm === undefined ? null : cells.mean(arm.id, languages));
      const less = (arm: Arm | undefined) =>
        arm === undefined ? null : cells.meanDifference(pair.arm.id, arm.id, languages);
      const parent = (lang: unknown) => pair.parents.find((arm) => arm === study.monolingual(String(lang)));
      const first = parent(pair.arm.at.a);
      const second = parent(pair.arm.at.b);
      return {
        pair: pair.arm.label,
        both: mean(pair.arm),
        first: mean(first),
        second: mean(second),
        lessFirst: less(first),
        lessSecond: less(second),
      };
    }),
  };
}
