// Tables as GitHub's Markdown draws them.
import type { ResultTable } from '../experiment/results';
import { type CellParts, cellText, layoutTable } from './layout';
import { escapeMarkdown } from './markdown';

/** The table alone, without title and caption, with the notes that its cells need. */
export function tableBody(table: ResultTable): string {
  const layout = layoutTable(table);
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rows = layout.rows.map((row) => line(row.map(cell)));
  return [
    line(layout.headers.map(escapeMarkdown)),
    line(layout.columns.map((_, column) => (layout.isNumber(column) ? '--:' : ':--'))),
    ...rows,
    ...layout.notes.flatMap((note) => ['', note]),
    '',
  ].join('\n');
}

/** Brackets of intervals stay as they are: they begin no link. */
const cell = (parts: CellParts): string =>
  parts.kind === 'number' ? cellText(parts) : escapeMarkdown(cellText(parts));

/** Title, table, notes and caption; ends in a line feed. */
export function tableMarkdown(table: ResultTable): string {
  return `### ${escapeMarkdown(table.title)}\n\n${tableBody(table)}\n${table.caption.trim()}\n`;
}
