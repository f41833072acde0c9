// Results are checked before anything is written: a table that names a column twice or holds a number that is none would
// only be noticed by its readers.
import type { ExperimentResults, ResultFigure } from '../experiment/results';
import { isEstimate } from './layout';

/** @throws TypeError naming table or figure, row, column and what is wrong */
export function checkResults(results: ExperimentResults): void {
  checkIds('tables', results.tables);
  checkIds('figures', results.figures);
  for (const { id, columns, rows } of results.tables) {
    const keys = new Set(columns.map(({ key }) => key));
    if (keys.size < columns.length) throw new TypeError(`table ${id}: two columns have one key`);
    for (const [at, row] of rows.entries()) {
      for (const [key, cell] of Object.entries(row)) {
        const where = `table ${id}, row ${at + 1}, column '${key}'`;
        if (!keys.has(key))
          throw new TypeError(`${where}: the table has no such column; there are ${[...keys].join(', ')}`);
        if (isEstimate(cell))
          checkNumbers(where, [cell.value, cell.low, cell.high, cell.n, ...(cell.seeds ?? [])]);
      }
    }
  }
  for (const figure of results.figures) checkNumbers(`figure ${figure.id}`, numbersOf(figure));
}

function checkIds(what: string, entries: readonly { id: string }[]): void {
  const seen = new Set<string>();
  for (const { id } of entries) {
    if (!/^\w[\w.-]*$/.test(id)) {
      throw new TypeError(
        `${what}: id '${id}' is a file's name: letters, digits, dots, dashes and underscores`,
      );
    }
    if (seen.has(id)) throw new TypeError(`${what}: two have the id '${id}'`);
    seen.add(id);
  }
}

function checkNumbers(where: string, values: readonly (number | null | undefined)[]): void {
  for (const value of values) {
    if (typeof value === 'number' && !Number.isFinite(value)) {
      throw new TypeError(
        `${where}: expected a finite number, or null for what does not apply, got ${value}`,
      );
    }
  }
}

function numbersOf(figure: ResultFigure): (number | null | undefined)[] {
  switch (figure.kind) {
    case 'heatmap':
      return figure.cells.flatMap(({ value, color }) => [value?.value, value?.low, value?.high, color]);
    case 'curve':
      return figure.series.flatMap(({ points }) =>
        points.flatMap(({ x, y, seeds }) => [x, y.value, y.low, y.high, ...(seeds ?? [])]),
      );
    case 'pairs':
      return figure.groups.flatMap(({ value }) => [value.value, value.low, value.high]);
    case 'scatter':
      return figure.points.flatMap(({ x, y }) => [x, y.value, y.low, y.high]);
  }
}
