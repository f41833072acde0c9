// How the page says things: Markdown's tables, and one meaning for every ratio: above 1 this library is the better one, below 1 the
// peer is, and then the cell has a mark that nobody can overlook.
import { median } from '../report.mjs';

export const WORSE = '▼';

/** `| a | b |` with the first column to the left and all others to the right. */
export function markdownTable(head, rows) {
  const line = (cells) => `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map((_, at) => (at === 0 ? ':--' : '--:'))), ...rows.map(line)].join('\n');
}

const times = (ratio) => `${ratio.toFixed(ratio < 10 ? 2 : 1)}×`;

/** The median of ratios of single rounds, with the least and the greatest; undefined where there is none. */
export function spreadOf(ratios) {
  const known = ratios.filter((ratio) => Number.isFinite(ratio));
  if (known.length === 0) return undefined;
  return { value: median(known), low: Math.min(...known), high: Math.max(...known), rounds: known.length };
}

/** `2.31× (2.20–2.44)`, and the mark where this library is the worse one. */
export function ratioCell(spread) {
  if (spread === undefined) return '–';
  const { value, low, high, rounds } = spread;
  const range = rounds > 1 ? ` (${low.toFixed(2)}–${high.toFixed(2)})` : '';
  return `${times(value)}${range}${value < 1 ? ` ${WORSE}` : ''}`;
}

export const number = (value, digits = 1) => (value === undefined ? '–' : value.toFixed(digits));
export const rateCell = (value) => number(value, value < 100 ? 1 : 0);
export const gigabytesCell = (bytes) => number(bytes && bytes / 1e9, 2);
export const percentCell = (share) => (share === undefined ? '–' : `${(100 * share).toFixed(0)} %`);

/** Runs that failed have no figures, and what is made of them is no number: the median leaves it out. */
export const medianOf = (runs, pick) => median(runs.map(pick));

/**
 * Ratios round by round of two contestants' runs: the median of ours in a round over each run of theirs in that round. No number where one
 * of the two has none.
 * @param {(own: number, theirs: number) => number} divide what makes a ratio above 1 better for us
 */
export function roundRatios(ownRuns, theirRuns, pick, divide) {
  return theirRuns.map((run) => {
    const own = medianOf(
      ownRuns.filter(({ round }) => round === run.round),
      pick,
    );
    return divide(own, pick(run));
  });
}

/** For a rate: more is better. */
export const rateRatio = (own, theirs) => own / theirs;
/** For seconds and bytes: less is better. */
export const costRatio = (own, theirs) => theirs / own;
