// Curves with bands (E2 to E4): a line a series, its interval as a band, single seeds as small rings. Many series are drawn
// in a plot each, for bands on bands cannot be read.
import type { TopLevelSpec } from 'vega-lite';
import type { ResultFigure } from '../../experiment/results';
import { formatNumber } from '../numbers';
import { FONT_SIZE, framed, HOLLOW_MARK } from './frame';
import { drawable } from './text';

type Curve = Extract<ResultFigure, { kind: 'curve' }>;

/** More series than this get a plot each. */
const TOGETHER = 6;
const COLUMNS = 3;
const LARGE = { width: 470, height: 290 };
const SMALL = { width: 222, height: 120 };

export function curveSpec(figure: Curve): TopLevelSpec {
  const names = figure.series.map((series) => drawable(series.name));
  const apart = names.length > TOGETHER;
  const labels = labelsOf(figure);
  const values = figure.series.flatMap((series, at) => {
    const points = [...series.points].sort((a, b) => a.x - b.x);
    const stretches = bandsOf(points);
    return points.flatMap((point, index) => {
      const place = { series: names[at]!, x: figure.xIsOrdinal ? labels.get(point.x)! : point.x };
      const { value, low, high } = point.y;
      return [
        { ...place, value, ...(point.grey && { grey: true }) },
        ...(low !== undefined && high !== undefined
          ? [{ ...place, low, high, band: stretches[index], alone: isAlone(stretches, index) }]
          : []),
        ...(point.seeds ?? []).map((seed) => ({ ...place, seed })),
      ];
    });
  });
  const order = [...labels].sort(([a], [b]) => a - b).map(([, label]) => label);
  const size = apart ? SMALL : LARGE;
  const x = figure.xIsOrdinal
    ? {
        field: 'x',
        type: 'ordinal',
        sort: order,
        scale: { domain: order, type: 'point', padding: 0.3 },
        title: drawable(figure.x),
        axis: { labelAngle: 0, grid: false, labelOverlap: true, labelFontSize: apart ? 9 : FONT_SIZE },
      }
    : {
        field: 'x',
        type: 'quantitative',
        title: drawable(figure.x),
        scale: { zero: false, nice: false, padding: 14 },
        axis: { grid: false, tickCount: 6 },
      };
  const y = (field: string) => ({
    field,
    type: 'quantitative',
    title: drawable(figure.y),
    scale: { zero: false, nice: true, padding: 6 },
    axis: { tickCount: apart ? 4 : 6 },
  });
  const color = {
    field: 'series',
    type: 'nominal',
    sort: names,
    scale: { domain: names },
    legend: names.length === 1 || apart ? null : { title: null, symbolType: 'stroke' },
  };
  const has = (field: string): object[] => [{ filter: `isValid(datum['${field}'])` }];
  const layer = [
    ...(figure.reference === undefined ? [] : [referenceLine(figure.reference)]),
    {
      transform: [{ filter: "isValid(datum['low']) && !datum['alone']" }],
      mark: { type: 'area', opacity: 0.16 },
      encoding: { x, y: y('low'), y2: { field: 'high' }, color, detail: { field: 'band', type: 'nominal' } },
    },
    {
      transform: [{ filter: "isValid(datum['low']) && datum['alone']" }],
      mark: { type: 'rule', strokeWidth: 1.5 },
      encoding: { x, y: y('low'), y2: { field: 'high' }, color },
    },
    {
      transform: has('seed'),
      mark: { type: 'point', filled: false, size: 16, strokeWidth: 1, opacity: 0.75 },
      encoding: { x, y: y('seed'), color },
    },
    {
      transform: has('value'),
      mark: { type: 'line', strokeWidth: 2 },
      encoding: { x, y: y('value'), color, ...(!apart && { strokeDash: dashes(names) }) },
    },
    {
      transform: has('value'),
      mark: { type: 'point', filled: true, size: apart ? 22 : 42, opacity: 1 },
      encoding: { x, y: y('value'), color },
    },
    {
      transform: [{ filter: "datum['grey'] === true" }],
      mark: { ...HOLLOW_MARK, size: apart ? 7 : 14 },
      encoding: { x, y: y('value') },
    },
  ];
  const data = { values };
  if (!apart) return framed(figure, size.width, { ...size, data, layer });
  return framed(figure, COLUMNS * (size.width + 20), {
    data,
    facet: { field: 'series', type: 'nominal', sort: names, title: null },
    columns: COLUMNS,
    spec: { ...size, layer: layer.map((each) => withoutColour(each)) },
  });
}

/** A number for each stretch of points with intervals: a band does not run over a point of which none is known. */
function bandsOf(points: readonly Curve['series'][number]['points'][number][]): number[] {
  let band = 0;
  return points.map(({ y: { low, high } }) => {
    if (low !== undefined && high !== undefined) return band;
    band += 1;
    return -1;
  });
}

/** Of a stretch of one point no area can be drawn. */
function isAlone(stretches: readonly number[], index: number): boolean {
  return stretches.filter((band) => band === stretches[index]).length === 1;
}

/** What stands below each place of an ordinal axis. */
function labelsOf(figure: Curve): Map<number, string> {
  const labels = new Map<number, string>();
  for (const { points } of figure.series) {
    for (const { x, xLabel } of points) if (!labels.has(x)) labels.set(x, drawable(xLabel ?? String(x)));
  }
  return labels;
}

/** Lines also differ by their dashes. */
function dashes(names: readonly string[]): object {
  const patterns = [
    [1, 0],
    [6, 3],
    [2, 2],
    [8, 3, 2, 3],
    [4, 2],
    [10, 4],
  ];
  return {
    field: 'series',
    type: 'nominal',
    sort: names,
    scale: { domain: names, range: names.map((_, at) => patterns[at % patterns.length]) },
    legend: names.length === 1 ? null : { title: null },
  };
}

export function referenceLine(value: number): object {
  return {
    data: { values: [{ value, label: formatNumber(value, Number.isInteger(value) ? 0 : 1) }] },
    mark: { type: 'rule', stroke: '#6b6b6b', strokeDash: [4, 3], strokeWidth: 1 },
    encoding: { y: { field: 'value', type: 'quantitative' } },
  };
}

/** In a plot of its own a series needs no colour. */
function withoutColour(layer: object): object {
  const { encoding, ...rest } = layer as { encoding: Record<string, unknown> };
  const { color, ...left } = encoding;
  return color === undefined ? layer : { ...rest, encoding: { ...left, color: { value: '#0072b2' } } };
}
