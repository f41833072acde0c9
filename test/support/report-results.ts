// Results with everything in them that a report may meet: every kind of figure, names that need escaping, grey cells, seeds,
// cells that do not apply. The numbers are made up.
import type { ExperimentResults, ResultFigure, ResultTable } from '../../lib/experiment/results';

const LANGUAGES = ['ar', 'en', 'he', 'zh'];
/** Characters that some form has to escape. */
export const AWKWARD = 'a "b" <c> & d | e_f עברית';

const estimate = (value: number, spread = 2, n = 617) => ({
  value,
  low: value - spread,
  high: value + spread,
  n,
});

export const table: ResultTable = {
  id: 'language-match',
  title: 'Language match',
  caption: 'Share of answers in the language of the prompt; *paired* bootstrap over `parallel_id`.',
  columns: [
    { key: 'arm', label: 'arm', kind: 'text' },
    { key: 'match', label: 'language match', kind: 'number', unit: '%', better: 'higher' },
    { key: 'change', label: 'change', kind: 'number', unit: 'points', digits: 2 },
  ],
  rows: [
    { arm: 'English_only', match: estimate(43.21, 3.1), change: null },
    {
      arm: AWKWARD,
      match: { ...estimate(50), grey: true },
      change: { ...estimate(-1.234, 0.5, 40), seeds: [-1, -1.5] },
    },
  ],
};

export const figures: readonly ResultFigure[] = [
  {
    kind: 'heatmap',
    id: 'heat',
    title: `Heat of ${AWKWARD}`,
    caption: 'Columns are `evaluation` languages.',
    paper: 'Figure 1',
    x: 'evaluation language',
    y: 'tuning language',
    xOrder: LANGUAGES,
    yOrder: LANGUAGES,
    colorTitle: 'points from the column’s mean',
    colorMiddle: 0,
    cells: LANGUAGES.flatMap((y, row) =>
      LANGUAGES.map((x, column) => {
        if (x === y) return { x, y, value: null, color: null };
        const value = 40 + row * 3 - column;
        return { x, y, value: estimate(value), color: row * 3 - column - 3, grey: row === 3 && column === 0 };
      }),
    ),
  },
  {
    kind: 'curve',
    id: 'curve',
    title: 'Curve',
    caption: 'Bands are intervals.',
    x: 'examples (%)',
    y: 'language match (%)',
    xIsOrdinal: true,
    reference: 50,
    series: ['seen', AWKWARD].map((name, at) => ({
      name,
      points: [0, 1, 10, 100].map((x) => ({
        x,
        xLabel: `P ${x}`,
        y: estimate(40 + x / 10 + 5 * at),
        seeds: [40, 43],
      })),
    })),
  },
  {
    kind: 'curve',
    id: 'many-curves',
    title: 'A plot a language',
    caption: '',
    x: 'languages',
    y: 'points',
    series: ['ar', 'cs', 'en', 'fi', 'he', 'it', 'zh'].map((name, at) => ({
      name,
      points: [1, 2, 3].map((x) => ({
        x,
        y: x === 1 ? { value: 30 + at, n: 1 } : estimate(30 + x * 3 + at),
      })),
    })),
  },
  {
    kind: 'pairs',
    id: 'pairs',
    title: 'Pairs',
    caption: 'Against both parents.',
    x: 'pair',
    y: 'points',
    reference: 50,
    groups: ['en–es', AWKWARD].flatMap((group, at) =>
      ['first parent', 'second parent'].map((series) => ({ group, series, value: estimate(48 + at * 3) })),
    ),
  },
  {
    kind: 'scatter',
    id: 'scatter',
    title: 'Scatter',
    caption: 'n counts languages.',
    x: 'share of pretraining (%)',
    y: 'mean transfer (points)',
    note: 'r = 0.12, n = 4, p = 0.80',
    points: LANGUAGES.map((label, at) => ({ label, x: at * 2, y: estimate(40 + (at % 2) * 3) })),
  },
];

export const results: ExperimentResults = {
  version: 1,
  experiment: 'e2-cldr',
  protocol: 'pinch',
  question: 'What does a pinch of other languages change?',
  tables: [table],
  figures,
  warnings: ['Identification finds 29 % of the Swahili references; its cells are marked.'],
  provenance: {
    model: 'gemma-3-270m',
    modelSha256: 'a'.repeat(64),
    data: [{ file: 'train.jsonl', sha256: 'b'.repeat(64) }],
    eval: [{ file: 'held-out.jsonl', sha256: 'c'.repeat(64) }],
    seeds: [0, 1],
    jobs: { 'pinch-10': { '0': { train: 'd'.repeat(32), mix: 'e'.repeat(32) } } },
    version: '0.1.0',
    machine: '2 cores, AVX-512',
    train: { rank: 16, learningRate: 0.0005 },
    sample: { temperature: 0 },
  },
};
