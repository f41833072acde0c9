// What all figures share: title, caption and the paper's figure above the plot, white ground, one face, quiet axes.
import type { Config, TopLevelSpec } from 'vega-lite';
import type { ResultFigure } from '../../experiment/results';
import { stripMarkdown } from '../markdown';
import { CATEGORIES } from './colours';
import { drawable, wrap } from './text';

export const FONT_SIZE = 11;
const TITLE_SIZE = 14;
/** Titles and captions are broken at this width where the plot is narrower: it has its legend beside it. In pixels. */
const MIN_TEXT_WIDTH = 590;
const CAPTION_SIZE = 10;

const INK = '#1a1a1a';
const QUIET = '#5f5f5f';
const GRID = '#e6e6e6';

/** Lines under the title. */
const MAX_LINES = 3;

/** What stands under the title: as many whole sentences as there is room for, and the paper's figure. The report has all. */
function subtitleOf(figure: ResultFigure, room: number): string[] {
  const broken = (text: string): string[] => wrap(text, room, CAPTION_SIZE);
  const paper = figure.paper === undefined ? [] : broken(`In the paper: ${placeIn(figure.paper)}.`);
  const sentences = [
    ...stripMarkdown(figure.brief ?? figure.caption).split(/(?<=[.?!])\s+/),
    greyNote(figure),
  ];
  const most = Math.max(1, MAX_LINES - paper.length);
  const kept = sentences.reduce((text, sentence) => {
    const longer = `${text} ${sentence}`.trim();
    return broken(longer).length <= most ? longer : text;
  }, '');
  return [...broken(kept), ...paper];
}

/** What colourless cells and hollow marks say; nothing where there are none. */
export function greyNote(figure: ResultFigure): string {
  switch (figure.kind) {
    case 'heatmap':
      return figure.cells.some(({ grey }) => grey) ? 'Grey: not to be relied upon.' : '';
    case 'curve':
      return figure.series.some(({ points }) => points.some(({ grey }) => grey)) ? HOLLOW : '';
    case 'pairs':
      return figure.groups.some(({ grey }) => grey) ? HOLLOW : '';
    case 'scatter':
      return '';
  }
}

const HOLLOW = 'Hollow: not to be relied upon.';

/** Over a filled mark of the same shape and colour. */
export const HOLLOW_MARK = { type: 'point', filled: true, color: '#ffffff', opacity: 1 } as const;

/** `Corresponds in the paper to: Figure 2. Every number here is of these runs.` */
export function correspondence(paper: string): string {
  return `Corresponds in the paper to: ${placeIn(paper)}. Every number here is of these runs.`;
}

const placeIn = (paper: string): string => paper.trim().replace(/\.$/, '').replace(/^The /, 'the ');

const config: Config = {
  font: 'system-ui, sans-serif',
  background: '#ffffff',
  padding: 14,
  view: { stroke: null },
  title: {
    anchor: 'start',
    frame: 'group',
    fontSize: TITLE_SIZE,
    fontWeight: 600,
    color: INK,
    subtitleFontSize: CAPTION_SIZE,
    subtitleColor: QUIET,
    subtitleLineHeight: 14,
    lineHeight: 18,
    subtitlePadding: 6,
    offset: 14,
  },
  axis: {
    labelFontSize: FONT_SIZE,
    titleFontSize: FONT_SIZE,
    titleFontWeight: 600,
    labelColor: INK,
    titleColor: INK,
    domainColor: '#9a9a9a',
    tickColor: '#9a9a9a',
    gridColor: GRID,
    labelLimit: 0,
    titleLimit: 0,
    titlePadding: 10,
    labelPadding: 4,
  },
  legend: {
    labelFontSize: FONT_SIZE,
    titleFontSize: FONT_SIZE,
    titleFontWeight: 600,
    labelColor: INK,
    titleColor: INK,
    labelLimit: 0,
    titleLimit: 0,
    symbolStrokeWidth: 2,
    symbolOpacity: 1,
    offset: 18,
  },
  header: { labelFontSize: FONT_SIZE, labelFontWeight: 600, labelColor: INK, titleColor: INK },
  range: { category: [...CATEGORIES] },
  text: { fontSize: FONT_SIZE },
};

type Inner = Omit<TopLevelSpec, '$schema' | 'title' | 'config' | 'description'>;

/** A plot of about `width` pixels with everything that stands around it. */
export function framed(figure: ResultFigure, width: number, inner: object): TopLevelSpec {
  const room = Math.max(MIN_TEXT_WIDTH, width);
  const subtitle = subtitleOf(figure, room);
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    description: drawable(`${figure.title}. ${subtitle.join(' ')}`),
    title: {
      text: wrap(figure.title, room, TITLE_SIZE, true),
      subtitle,
    },
    ...(inner as Inner),
    config,
  } as TopLevelSpec;
}
