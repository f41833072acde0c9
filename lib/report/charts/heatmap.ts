// Heat maps (E1, E6): a cell for each pair, coloured by what the analysis says (in E1 within each evaluation language), its
// value printed in ink that can be read on the colour.
import type { TopLevelSpec } from 'vega-lite';
import type { ResultFigure } from '../../experiment/results';
import { formatNumber } from '../numbers';
import { colourAt, colourScale, inkOn } from './colours';
import { FONT_SIZE, framed } from './frame';
import { drawable, textWidth, wrap } from './text';

const CELL_HEIGHT = 27;
const MIN_CELL_WIDTH = 42;
const LEGEND_WIDTH = 110;
const GREY_CELL = '#d9d9d9';

export function heatmapSpec(figure: Extract<ResultFigure, { kind: 'heatmap' }>): TopLevelSpec {
  const colours = figure.cells.flatMap((cell) => (isColoured(cell) ? [colourOf(cell)!] : []));
  const scale = colourScale(colours, figure.colorMiddle);
  const cells = figure.cells.flatMap((cell) => {
    if (cell.value === null) return [];
    const color = colourOf(cell);
    const coloured = isColoured(cell);
    return [
      {
        x: drawable(cell.x),
        y: drawable(cell.y),
        text: formatNumber(cell.value.value, figure.digits),
        grey: cell.grey === true,
        ...(coloured && { color }),
        ink: coloured ? inkOn(colourAt(scale, color!)) : '#000000',
      },
    ];
  });
  const columns = figure.xOrder.map(drawable);
  const rows = figure.yOrder.map(drawable);
  const widest = Math.max(
    ...cells.map((cell) => textWidth(cell.text, FONT_SIZE)),
    ...columns.map((label) => textWidth(label, FONT_SIZE)),
  );
  const step = Math.max(MIN_CELL_WIDTH, Math.ceil(widest) + 12);
  const place = {
    x: {
      field: 'x',
      type: 'nominal',
      sort: columns,
      scale: { domain: columns },
      title: drawable(figure.x),
      axis: { orient: 'top', labelAngle: 0, ticks: false, domain: false, labelPadding: 6 },
    },
    y: {
      field: 'y',
      type: 'nominal',
      sort: rows,
      scale: { domain: rows },
      title: drawable(figure.y),
      axis: { ticks: false, domain: false, labelPadding: 6 },
    },
  };
  const gap = { stroke: '#ffffff', strokeWidth: 1.5 };
  return framed(figure, step * columns.length, {
    width: { step },
    height: { step: CELL_HEIGHT },
    data: { values: cells },
    encoding: place,
    layer: [
      {
        transform: [{ filter: "isValid(datum['color'])" }],
        mark: { type: 'rect', ...gap },
        encoding: {
          color: {
            field: 'color',
            type: 'quantitative',
            title: wrap(figure.colorTitle ?? '', LEGEND_WIDTH, FONT_SIZE, true),
            scale: {
              type: 'linear',
              domain: scale.domain,
              range: scale.range,
              interpolate: 'rgb',
              clamp: true,
            },
            legend: {
              gradientLength: Math.min(200, CELL_HEIGHT * rows.length),
              format: legendFormat(scale.domain),
            },
          },
        },
      },
      {
        transform: [{ filter: "!isValid(datum['color']) && datum['grey']" }],
        mark: { type: 'rect', ...gap, fill: GREY_CELL },
      },
      {
        mark: { type: 'text', baseline: 'middle', fill: { expr: "datum['ink']" } },
        encoding: { text: { field: 'text', type: 'nominal' } },
      },
    ],
  });
}

type Cell = Extract<ResultFigure, { kind: 'heatmap' }>['cells'][number];

/** Without a colour of its own, a cell shows its value; one that is not to be relied upon shows none. */
const colourOf = (cell: Cell): number | null =>
  cell.color === undefined ? (cell.value?.value ?? null) : cell.color;
const isColoured = (cell: Cell): boolean =>
  cell.value !== null && cell.grey !== true && colourOf(cell) !== null;

function legendFormat(domain: readonly number[]): string {
  const reach = domain.at(-1)! - domain[0]!;
  return reach >= 8 ? '.0f' : reach >= 0.8 ? '.1f' : '.2f';
}
