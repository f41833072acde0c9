// Tables for other programs: RFC 4180, numbers unrounded, a column each for value, bounds and n.
import type { ResultCell, ResultTable } from '../experiment/results';
import { isEstimate } from './layout';

/** A field of RFC 4180: in quotes where it has to be. */
export function csvField(text: string): string {
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * For every number column `key` there are `key`, `key_low`, `key_high` and `key_n`; where some cell has them, `key_seeds`
 * (separated by blanks) and `key_grey` (1 or 0). What does not apply is empty. Lines end in CR LF.
 */
export function tableCsv(table: ResultTable): string {
  const fields = table.columns.flatMap(({ key, kind }) => {
    const cells = table.rows.map((row) => row[key]);
    if (kind === 'text' && !cells.some(isEstimate)) return [{ name: key, of: key, read: plain }];
    const has = (name: 'seeds' | 'grey'): boolean =>
      cells.some((cell) => isEstimate(cell) && cell[name] !== undefined);
    return [
      {
        name: key,
        of: key,
        read: (cell: ResultCell) => (isEstimate(cell) ? String(cell.value) : plain(cell)),
      },
      {
        name: `${key}_low`,
        of: key,
        read: (cell: ResultCell) => number(isEstimate(cell) ? cell.low : undefined),
      },
      {
        name: `${key}_high`,
        of: key,
        read: (cell: ResultCell) => number(isEstimate(cell) ? cell.high : undefined),
      },
      {
        name: `${key}_n`,
        of: key,
        read: (cell: ResultCell) => number(isEstimate(cell) ? cell.n : undefined),
      },
      ...(has('seeds')
        ? [
            {
              name: `${key}_seeds`,
              of: key,
              read: (cell: ResultCell) => (isEstimate(cell) ? (cell.seeds ?? []).join(' ') : ''),
            },
          ]
        : []),
      ...(has('grey')
        ? [
            {
              name: `${key}_grey`,
              of: key,
              read: (cell: ResultCell) => (isEstimate(cell) ? String(Number(cell.grey === true)) : ''),
            },
          ]
        : []),
    ];
  });
  const lines = [
    fields.map((field) => field.name),
    ...table.rows.map((row) => fields.map((field) => field.read(row[field.of] ?? null))),
  ];
  return lines.map((line) => `${line.map(csvField).join(',')}\r\n`).join('');
}

const plain = (cell: ResultCell): string => (typeof cell === 'string' ? cell : '');
const number = (value: number | undefined): string => (value === undefined ? '' : String(value));
