// E7: whether a language's share of pretraining, or anything else known of it beforehand, goes with how far it carries. A point
// is a tuning language, the hub left out; one predictor at a time, for there are eleven of them at most.
import { pearson } from '../../eval/statistics/pearson';
import { linearRegression } from '../../eval/statistics/regression';
import { languageName } from '../../text/language-codes';
import type { ResultFigure, ResultTable } from '../results';
import type { Arm } from '../types';
import type { SeededEstimate, Term } from './cells';
import { type Drawn, drawnQuantities, plain } from './figures';
import { analyseMonolingual } from './monolingual';
import type { ProtocolResults } from './pinch';
import { relativeTokens, sameFamily, sameScript } from './relatedness';
import type { NamedScore } from './score-tables';
import type { Study } from './study';
import { aboutIntervals, briefIntervals } from './words';

interface Predictor {
  id: string;
  label: string;
  of: (lang: string) => number | undefined;
}

interface Point {
  lang: string;
  y: SeededEstimate;
}

const MIN_POINTS = 3;

export function analyseShares(study: Study, scores: readonly NamedScore[]): ProtocolResults {
  const { spec } = study;
  const arms = study.arms.filter(
    ({ at }) => typeof at.language === 'string' && at.role === undefined && at.language !== spec.hub,
  );
  const drawn = drawnQuantities(study, scores);
  const predictors = predictorsOf(study);
  const transfers = drawn.map((each) => ({ drawn: each, points: transferPoints(study, each, arms) }));
  const figures = transfers.flatMap(({ drawn: each, points }) =>
    predictors
      .map((predictor) => scatter(study, each, points, predictor))
      .filter((figure) => figure !== undefined),
  );
  const matrix = analyseMonolingual(study, scores);
  const lacking = arms.filter(({ at }) => spec.shares?.[String(at.language)] === undefined);
  return {
    question:
      'Do languages with a larger share of pretraining carry further when a model is tuned on one of them alone?',
    tables: [regressionTable(study, transfers, predictors)].filter(({ rows }) => rows.length > 0),
    figures: [...figures, ...matrix.figures],
    warnings: [
      ...(spec.shares === undefined
        ? ['No table of pretraining shares is given (`shares`): only the other predictors are tried.']
        : lacking.length > 0
          ? [
              `No pretraining share is given for ${lacking.map(({ at }) => at.language).join(', ')}: left out there.`,
            ]
          : []),
      ...(arms.length < 8
        ? [`${arms.length} tuning languages: a correlation of so few points shows next to nothing.`]
        : []),
    ],
  };
}

function predictorsOf(study: Study): Predictor[] {
  const { spec, languages } = study;
  const others = (lang: string): string[] => languages.filter((other) => other !== lang);
  return [
    { id: 'share', label: 'share of pretraining, %', of: (lang) => spec.shares?.[lang] },
    {
      id: 'script',
      label: 'other languages in its script, %',
      of: (lang) => sameScript(lang, others(lang)),
    },
    { id: 'family', label: 'other languages of its family, %', of: (lang) => sameFamily(lang, others(lang)) },
    {
      id: 'tokens',
      label: `tokens of the same answer, ${languageName(spec.hub)} = 1`,
      of: (lang) => relativeTokens(study, lang, spec.hub),
    },
  ];
}

/** Mean over the other languages: of the score, or of how much better the model is there than the mean of all that are tuned on others. */
function transferPoints(study: Study, drawn: Drawn, arms: readonly Arm[]): Point[] {
  const { cells, parity, better } = drawn;
  const sign = better === 'higher' ? 1 : -1;
  return arms.flatMap((arm): Point[] => {
    const lang = String(arm.at.language);
    const columns = study.languages.filter((other) => other !== lang && cells.has(arm.id, other));
    const terms = columns.flatMap((other): Term[] => {
      const own: Term = { arm: arm.id, lang: other, weight: sign / columns.length };
      if (parity !== undefined) return [own];
      const rivals = arms.filter(({ id, at }) => at.language !== other && cells.has(id, other));
      return [
        own,
        ...rivals.map(({ id }) => ({ arm: id, lang: other, weight: -own.weight / rivals.length })),
      ];
    });
    const y = cells.combine(terms);
    return y === null ? [] : [{ lang, y }];
  });
}

/** What can be said of one predictor; undefined where there are too few points or they do not vary. */
function relation(points: readonly Point[], predictor: Predictor) {
  const known = points.flatMap(({ lang, y }) => {
    const x = predictor.of(lang);
    return x === undefined ? [] : [{ lang, x, y }];
  });
  const xs = known.map(({ x }) => x);
  const ys = known.map(({ y }) => y.value);
  const varies = (values: readonly number[]): boolean => new Set(values).size > 1;
  if (known.length < MIN_POINTS || !varies(xs) || !varies(ys)) return undefined;
  return { known, correlation: pearson(xs, ys), line: linearRegression(xs, ys) };
}

function scatter(
  study: Study,
  drawn: Drawn,
  points: readonly Point[],
  predictor: Predictor,
): ResultFigure | undefined {
  const found = relation(points, predictor);
  if (found === undefined) return undefined;
  const { known, correlation } = found;
  return {
    kind: 'scatter',
    id: `scatter-${predictor.id}-${drawn.id}`,
    title: `${drawn.title}: transfer against ${predictor.label}`,
    caption: `${aboutTransfer(drawn)} ${drawn.about} p by permuting the points. ${aboutIntervals(study)}`,
    brief: `${drawn.brief} ${briefIntervals(study)}`,
    ...(predictor.id === 'share' && {
      paper:
        'The scatter of mean transfer against the share of a language in pretraining (E7), English left out.',
    }),
    x: predictor.label,
    y: drawn.parity ? drawn.axis : `better than the mean by, ${drawn.unit}`,
    digits: drawn.digits,
    points: known.map(({ lang, x, y }) => ({ label: lang, x, y: plain(y) })),
    note: `r = ${correlation.r.toFixed(2)}, n = ${correlation.n}, ${correlation.p < 0.001 ? 'p < 0.001' : `p = ${correlation.p.toFixed(3)}`}`,
  };
}

function regressionTable(
  study: Study,
  transfers: readonly { drawn: Drawn; points: readonly Point[] }[],
  predictors: readonly Predictor[],
): ResultTable {
  const rows = transfers.flatMap(({ drawn, points }) =>
    predictors.flatMap((predictor) => {
      const found = relation(points, predictor);
      if (found === undefined) return [];
      const { correlation, line } = found;
      const { n } = correlation;
      return [
        {
          measure: `${drawn.title}, ${drawn.unit}`,
          predictor: predictor.label,
          n: String(n),
          r: { value: correlation.r, n },
          p: { value: correlation.p, n },
          slope: {
            value: line.slope,
            low: line.slopeInterval.low,
            high: line.slopeInterval.high,
            n,
          },
        },
      ];
    }),
  );
  return {
    id: 'transfer-predictors',
    title: 'What goes with transfer, one predictor at a time',
    caption: `A point is a language tuned on, ${languageName(study.spec.hub)} left out; n counts languages, never cells. Transfer is the mean over the other languages of the score, or of how much better a model is than the mean of those tuned on others. p: two-sided, by permutation of the points, for one predictor each and not corrected for their number. Slope: change of transfer for one unit of the predictor; its interval is Student’s and assumes normal errors.`,
    columns: [
      { key: 'measure', label: 'transfer in', kind: 'text' },
      { key: 'predictor', label: 'predictor', kind: 'text' },
      { key: 'n', label: 'languages', kind: 'text' },
      { key: 'r', label: 'Pearson’s r', kind: 'number', digits: 2 },
      { key: 'p', label: 'p', kind: 'number', digits: 3 },
      { key: 'slope', label: 'slope', kind: 'number', digits: 4 },
    ],
    rows,
  };
}

function aboutTransfer(drawn: Drawn): string {
  return drawn.parity
    ? 'Mean over the languages that the model was not tuned on.'
    : 'Mean, over the languages that the model was not tuned on, of how much better it is than the mean of the models tuned on others.';
}
