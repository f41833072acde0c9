// Pairs (E5): groups along x, in each a mark a series with its interval, and a line to compare with, as parity at 50.
import type { TopLevelSpec } from 'vega-lite';
import type { ResultFigure } from '../../experiment/results';
import { referenceLine } from './curve';
import { FONT_SIZE, framed, HOLLOW_MARK } from './frame';
import { drawable, textWidth } from './text';

/** Pixels a mark; a group has at least MIN_GROUP. */
const MARK = 20;
const MIN_GROUP = 56;
const HEIGHT = 280;
const SHAPES = ['circle', 'square', 'triangle-up', 'diamond', 'cross', 'triangle-down'];

export function pairsSpec(figure: Extract<ResultFigure, { kind: 'pairs' }>): TopLevelSpec {
  const values = figure.groups.map(({ group, series, value, grey }) => ({
    group: drawable(group),
    series: drawable(series),
    value: value.value,
    ...(grey && { grey }),
    ...(value.low !== undefined && value.high !== undefined && { low: value.low, high: value.high }),
  }));
  const groups = [...new Set(values.map(({ group }) => group))];
  const names = [...new Set(values.map(({ series }) => series))];
  const step = Math.max(MIN_GROUP, MARK * (names.length + 1));
  const slanted = groups.some((group) => textWidth(group, FONT_SIZE) > step - 6);
  const width = step * groups.length;
  const x = {
    field: 'group',
    type: 'nominal',
    sort: groups,
    scale: { domain: groups, paddingInner: 0.25, paddingOuter: 0.12 },
    title: drawable(figure.x),
    axis: { labelAngle: slanted ? -35 : 0, grid: false, ticks: false, labelPadding: 6 },
  };
  const xOffset = {
    field: 'series',
    type: 'nominal',
    sort: names,
    scale: { domain: names, paddingOuter: 0.5 },
  };
  const y = (field: string) => ({
    field,
    type: 'quantitative',
    title: drawable(figure.y),
    scale: { zero: false, nice: true, padding: 6 },
    axis: { tickCount: 6 },
  });
  const legend = names.length === 1 ? null : { title: null };
  const color = { field: 'series', type: 'nominal', sort: names, scale: { domain: names }, legend };
  const shape = {
    field: 'series',
    type: 'nominal',
    sort: names,
    scale: { domain: names, range: names.map((_, at) => SHAPES[at % SHAPES.length]) },
    legend,
  };
  return framed(figure, width, {
    width,
    height: HEIGHT,
    data: { values },
    layer: [
      ...(figure.reference === undefined ? [] : [referenceLine(figure.reference)]),
      {
        transform: [{ filter: "isValid(datum['low'])" }],
        mark: { type: 'rule', strokeWidth: 1.6 },
        encoding: { x, xOffset, y: y('low'), y2: { field: 'high' }, color },
      },
      {
        mark: { type: 'point', filled: true, size: 60, opacity: 1 },
        encoding: { x, xOffset, y: y('value'), color, shape },
      },
      {
        transform: [{ filter: "datum['grey'] === true" }],
        mark: { ...HOLLOW_MARK, size: 18 },
        encoding: { x, xOffset, y: y('value'), shape },
      },
    ],
  });
}
