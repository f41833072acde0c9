// Results for a terminal: the first tables, as much of each as there is room for, and the sentences that have to stand beside
// the numbers. The report has the rest.
import type { ExperimentResults, ResultTable } from '../experiment/results';
import { refuseUnknownOptions } from '../text/options';
import { type CellParts, cellText, GREY_MARK, layoutTable } from './layout';
import { stripMarkdown } from './markdown';
import { displayWidth, plainTable } from './plain-table';

/** How much of the results is shown in a terminal. */
export interface DescribeOptions {
  /** Columns of the terminal; tables that are broader leave out seeds first, then intervals. Default 120. */
  width?: number;
  /** Tables that are printed, from the first; the others are named. Default 3. */
  tables?: number;
}

/** Rows of a table that are printed. */
const MAX_ROWS = 40;

/** A header is broken where it is broader than its column's cells and than this. */
const MIN_HEADER = 12;

export function describeTable(table: ResultTable, { width = 120 }: DescribeOptions = {}): string {
  const layout = layoutTable(table);
  const shown = layout.rows.slice(0, MAX_ROWS);
  const draw = (text: (parts: CellParts) => string): string => {
    const cells = shown.map((row) => row.map(text));
    const headers = layout.headers.map((header, column) => {
      const widest = Math.max(MIN_HEADER, ...cells.map((row) => displayWidth(row[column]!)));
      return layout.isNumber(column) ? breakWords(header, widest) : [header];
    });
    const lines = Math.max(...headers.map((header) => header.length));
    const heads = Array.from({ length: lines }, (_, line) =>
      headers.map((header) => header[header.length - lines + line] ?? ''),
    );
    return plainTable(heads[0] ?? [], [...heads.slice(1), ...cells], (column) => !layout.isNumber(column));
  };
  const forms = [cellText, withoutSeeds, valueOnly];
  const drawn = forms.map(draw);
  const fitting = drawn.findIndex((text) => broadest(text) <= width);
  const chosen = fitting < 0 ? forms.length - 1 : fitting;
  const left = layout.rows.length - shown.length;
  return [
    table.title,
    drawn[chosen]!,
    ...(left === 0 ? [] : [`… and ${left} more rows`]),
    ...layout.notes.filter((note) => chosen === 0 || !note.startsWith('After a semicolon')),
    ...(chosen === 2 && drawn[2] !== drawn[1]
      ? ['Too broad here for intervals and n; the report has them.']
      : []),
  ].join('\n');
}

/** Question, warnings, the first tables and the names of the others; figures are only in the report. */
export function describeResults(results: ExperimentResults, options: DescribeOptions = {}): string {
  refuseUnknownOptions('describeResults', options, { width: true, tables: true });
  const warnings = results.warnings.map((warning) => `! ${stripMarkdown(warning)}`);
  const count = options.tables ?? 3;
  const others = results.tables.slice(count).map(({ title }) => `  ${title}`);
  return [
    `${results.experiment}: ${results.question}`,
    ...results.tables.slice(0, count).map((table) => describeTable(table, options)),
    ...(others.length === 0 ? [] : [['also in the report:', ...others].join('\n')]),
    ...(warnings.length === 0 ? [] : [warnings.join('\n')]),
  ].join('\n\n');
}

function withoutSeeds(parts: CellParts): string {
  if (parts.kind !== 'number') return cellText(parts);
  const { seeds: _, ...rest } = parts;
  return cellText(rest);
}

const valueOnly = (parts: CellParts): string =>
  parts.kind === 'number' ? `${parts.value}${parts.grey ? GREY_MARK : ''}` : cellText(parts);

const broadest = (text: string): number => Math.max(...text.split('\n').map(displayWidth));

function breakWords(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && displayWidth(last) + 1 + displayWidth(word) <= width) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else {
      lines.push(word);
    }
  }
  return lines;
}
