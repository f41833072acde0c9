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

/** What stands under the title in words: caption and correspondence. */
export function subtitleOf(figure: ResultFigure): string[] {
  const paper = figure.paper === undefined ? [] : [correspondence(figure.paper)];
  return [stripMarkdown(figure.caption), ...paper].filter((text) => text !== '');
}

/** `Corresponds in the paper to: Figure 2. Every number here is of these runs.` */
export function correspondence(paper: string): string {
  const where = paper.trim().replace(/\.$/, '').replace(/^The /, 'the ');
  return `Corresponds in the paper to: ${where}. Every number here is of these runs.`;
}

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
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    description: drawable(`${figure.title}. ${subtitleOf(figure).join(' ')}`),
    title: {
      text: wrap(figure.title, room, TITLE_SIZE, true),
      subtitle: subtitleOf(figure).flatMap((text) => wrap(text, room, CAPTION_SIZE)),
    },
    ...(inner as Inner),
    config,
  } as TopLevelSpec;
}
