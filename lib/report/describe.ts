// Results for a terminal: every table, aligned, and the sentences that have to stand beside the numbers.
import type { ExperimentResults, ResultTable } from '../experiment/results';
import { cellText, layoutTable } from './layout';
import { stripMarkdown } from './markdown';
import { plainTable } from './plain-table';

/** Rows of a table that are printed; the files of the report have all. */
const MAX_ROWS = 40;

export function describeTable(table: ResultTable): string {
  const layout = layoutTable(table);
  const rows = layout.rows.slice(0, MAX_ROWS).map((row) => row.map(cellText));
  const left = rows.length - layout.rows.length;
  return [
    table.title,
    plainTable(layout.headers, rows, (column) => !layout.isNumber(column)),
    ...(left === 0 ? [] : [`… and ${-left} more rows`]),
    ...layout.notes,
  ].join('\n');
}

/** Question, tables and warnings; figures are only in the report. */
export function describeResults(results: ExperimentResults): string {
  const warnings = results.warnings.map((warning) => `! ${stripMarkdown(warning)}`);
  return [
    `${results.experiment}: ${results.question}`,
    ...results.tables.map(describeTable),
    ...(warnings.length === 0 ? [] : [warnings.join('\n')]),
  ].join('\n\n');
}
