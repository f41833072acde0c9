// Scatter plots (E7): a labelled point a language with its interval; r, n and p stand above.
import type { TopLevelSpec } from 'vega-lite';
import type { ResultFigure } from '../../experiment/results';
import { FONT_SIZE, framed } from './frame';
import { drawable, textWidth, wrap } from './text';

type Scatter = Extract<ResultFigure, { kind: 'scatter' }>;

const WIDTH = 470;
const HEIGHT = 320;
const MARGIN = 0.08;

export function scatterSpec(figure: Scatter): TopLevelSpec {
  const xs = domainOf(figure.points.map((point) => point.x));
  const ys = domainOf(figure.points.flatMap(({ y }) => [y.value, y.low ?? y.value, y.high ?? y.value]));
  const values = placeLabels(figure.points, xs, ys);
  const x = {
    field: 'x',
    type: 'quantitative',
    title: drawable(figure.x),
    scale: { domain: xs, nice: false, zero: false },
    axis: { tickCount: 6 },
  };
  const y = (field: string) => ({
    field,
    type: 'quantitative',
    title: drawable(figure.y),
    scale: { domain: ys, nice: false, zero: false },
    axis: { tickCount: 6 },
  });
  const note = figure.note === undefined ? [] : wrap(withMinus(figure.note), WIDTH - 12, FONT_SIZE);
  const spec = framed(figure, WIDTH, {
    width: WIDTH,
    height: HEIGHT,
    data: { values },
    layer: [
      {
        transform: [{ filter: "isValid(datum['low'])" }],
        mark: { type: 'rule', strokeWidth: 1.2, color: '#9dbfd6' },
        encoding: { x, y: y('low'), y2: { field: 'high' } },
      },
      {
        mark: { type: 'point', filled: true, size: 48, opacity: 1, color: '#0072b2' },
        encoding: { x, y: y('value') },
      },
      {
        mark: {
          type: 'text',
          align: 'center',
          baseline: 'middle',
          xOffset: { expr: "datum['dx']" },
          yOffset: { expr: "datum['dy']" },
        },
        encoding: { x, y: y('value'), text: { field: 'label', type: 'nominal' } },
      },
    ],
  });
  const title = spec.title as { text: string[]; subtitle: string[] };
  return { ...spec, title: { ...title, subtitle: [...note, ...title.subtitle] } } as TopLevelSpec;
}

/** A hyphen before a number is a minus. */
const withMinus = (text: string): string => text.replace(/(?<![\p{L}\p{N}])-(?=\d)/gu, '\u2212');

/** The values with some air around them. */
function domainOf(values: readonly number[]): [number, number] {
  if (values.length === 0) return [0, 1];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const air = (high - low) * MARGIN || 1;
  return [low - air, high + air];
}

interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** Each label goes to the first of eight places around its point that covers no point, label or edge. */
function placeLabels(points: Scatter['points'], xs: [number, number], ys: [number, number]): object[] {
  const at = points.map((point) => ({
    x: ((point.x - xs[0]) / (xs[1] - xs[0])) * WIDTH,
    y: (1 - (point.y.value - ys[0]) / (ys[1] - ys[0])) * HEIGHT,
  }));
  const taken: Box[] = at.map(({ x, y }) => ({ left: x - 5, right: x + 5, top: y - 5, bottom: y + 5 }));
  const stems: Box[] = points.flatMap(({ y: { low, high } }, index) => {
    if (low === undefined || high === undefined) return [];
    const pixel = (value: number): number => (1 - (value - ys[0]) / (ys[1] - ys[0])) * HEIGHT;
    const { x } = at[index]!;
    return [{ left: x - 1, right: x + 1, top: pixel(high), bottom: pixel(low) }];
  });
  return points.map((point, index) => {
    const label = drawable(point.label);
    const half = textWidth(label, FONT_SIZE) / 2 + 1;
    const side = half + 7;
    const places: [number, number][] = [
      [side, 0],
      [-side, 0],
      [side, -11],
      [-side, -11],
      [side, 11],
      [-side, 11],
      [0, -13],
      [0, 13],
    ];
    const boxOf = ([dx, dy]: [number, number]): Box => {
      const { x, y } = at[index]!;
      return { left: x + dx - half, right: x + dx + half, top: y + dy - 6, bottom: y + dy + 6 };
    };
    const cost = (place: [number, number]): number => {
      const box = boxOf(place);
      const outside = box.left < 0 || box.right > WIDTH || box.top < 0 || box.bottom > HEIGHT ? 100 : 0;
      const count = (boxes: readonly Box[]): number => boxes.filter((other) => overlap(box, other)).length;
      return outside + 10 * count(taken) + count(stems);
    };
    const best = places.reduce((a, b) => (cost(b) < cost(a) ? b : a));
    taken.push(boxOf(best));
    const { value, low, high } = point.y;
    const interval = low !== undefined && high !== undefined ? { low, high } : {};
    return { label, x: point.x, value, ...interval, dx: best[0], dy: best[1] };
  });
}

const overlap = (a: Box, b: Box): boolean =>
  a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
