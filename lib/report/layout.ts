// What every form of a table says alike: headers with unit and direction, cells with their interval, n where it has to be
// said, marks for what is not to be relied upon.
import type { Estimate } from '../eval/statistics/estimate';
import type { ResultCell, ResultColumn, ResultTable } from '../experiment/results';
import { formatCount, formatNumber, NOT_APPLICABLE } from './numbers';

/** A cell taken apart; a text, a number with what stands beside it, or nothing. */
export type CellParts =
  | { kind: 'text'; text: string }
  | { kind: 'nothing' }
  | {
      kind: 'number';
      value: string;
      /** `[40.1, 46.3]` */
      interval?: string;
      /** Where it is not the same for the whole column. */
      n?: string;
      seeds?: readonly string[];
      grey: boolean;
    };

export interface TableLayout {
  /** `language match (%, ↑)`, `chrF (points; n = 40)` */
  headers: readonly string[];
  columns: readonly ResultColumn[];
  rows: readonly (readonly CellParts[])[];
  /** What has to be said below: n where it is one for all cells, what marks mean. */
  notes: readonly string[];
  /** Whether a column holds numbers. */
  isNumber: (column: number) => boolean;
}

export const isEstimate = (cell: ResultCell | undefined): cell is Exclude<ResultCell, string | null> =>
  typeof cell === 'object' && cell !== null;

/** The mark behind a number that is not to be relied upon. */
export const GREY_MARK = '†';

export function layoutTable(table: ResultTable): TableLayout {
  const { columns, rows } = table;
  const counts = columns.map(
    (column) => new Set(rows.flatMap((row) => (isEstimate(row[column.key]) ? [nOf(row[column.key])] : []))),
  );
  const all = new Set(counts.flatMap((set) => [...set]));
  const common = all.size === 1 ? [...all][0] : undefined;
  const unit = commonUnit(columns);
  const headers = columns.map((column, at) => {
    const own = counts[at]!;
    const n = common === undefined && own.size === 1 ? `n = ${formatCount([...own][0]!)}` : undefined;
    return headerOf(column, unit === undefined, n);
  });
  const parts = rows.map((row) =>
    columns.map((column, at) => cellParts(row[column.key] ?? null, column, counts[at]!.size > 1)),
  );
  const numbers = parts.flat().filter((part) => part.kind === 'number');
  return {
    headers,
    columns,
    rows: parts,
    isNumber: (column) => columns[column]?.kind === 'number',
    notes: [
      ...(unit === undefined ? [] : [unit]),
      ...(common === undefined || numbers.length === 0 ? [] : [`n = ${formatCount(common)} in every cell.`]),
      ...(numbers.some((part) => part.seeds) ? ['After a semicolon: the value of each seed.'] : []),
      ...(numbers.some((part) => part.grey)
        ? [`${GREY_MARK} not to be relied upon; the warnings say why.`]
        : []),
    ],
  };
}

const nOf = (cell: ResultCell | undefined): number => (cell as Estimate).n;

/** Unit and direction in one sentence where all of several number columns have the same; undefined elsewhere. */
function commonUnit(columns: readonly ResultColumn[]): string | undefined {
  const numbers = columns.filter(({ kind }) => kind === 'number');
  const [first] = numbers;
  if (first === undefined || numbers.length < 2) return undefined;
  const { unit, better } = first;
  if (numbers.some((column) => column.unit !== unit || column.better !== better)) return undefined;
  const said = [...(unit ? [`unit: ${unit}`] : []), ...(better ? [`${better} is better`] : [])].join('; ');
  return said === '' ? undefined : `${said[0]!.toUpperCase()}${said.slice(1)}.`;
}

function headerOf(column: ResultColumn, withUnit: boolean, n: string | undefined): string {
  const arrow = column.better === undefined ? undefined : column.better === 'higher' ? '↑' : '↓';
  const inside = [...(withUnit ? [column.unit, arrow] : []), n].filter(
    (part) => part !== undefined && part !== '',
  );
  return inside.length === 0 ? column.label : `${column.label} (${inside.join(', ')})`;
}

function cellParts(cell: ResultCell, column: ResultColumn, showN: boolean): CellParts {
  if (cell === null) return { kind: 'nothing' };
  if (typeof cell === 'string') return { kind: 'text', text: cell };
  const { digits } = column;
  return {
    kind: 'number',
    value: formatNumber(cell.value, digits),
    ...(cell.low !== undefined &&
      cell.high !== undefined && {
        interval: `[${formatNumber(cell.low, digits)}, ${formatNumber(cell.high, digits)}]`,
      }),
    ...(showN && { n: `n = ${formatCount(cell.n)}` }),
    ...(cell.seeds !== undefined && { seeds: cell.seeds.map((value) => formatNumber(value, digits)) }),
    grey: cell.grey === true,
  };
}

/** `43.2 [40.1, 46.3], n = 40; 43.0, 43.4` */
export function cellText(parts: CellParts): string {
  if (parts.kind === 'text') return parts.text;
  if (parts.kind === 'nothing') return NOT_APPLICABLE;
  const { value, interval, n, seeds, grey } = parts;
  const main = `${value}${grey ? GREY_MARK : ''}${interval === undefined ? '' : ` ${interval}`}`;
  return `${main}${n === undefined ? '' : `, ${n}`}${seeds === undefined ? '' : `; ${seeds.join(', ')}`}`;
}
