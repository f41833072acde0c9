// `mlit experiment query`: a question in SQL to a store, answered as a table, JSON or CSV.
import { type Command, Option } from 'commander';
import { type QueryResult, query } from '../experiment/store/read-model';
import type { Json } from '../experiment/store/types';
import { note, print, printJson, printLine, table } from './output';
import { abortOnSignals } from './signals';

export function addExperimentQuery(experiment: Command): void {
  experiment
    .command('query')
    .description('ask a store in SQL (DuckDB); SHOW TABLES and DESCRIBE say what there is')
    .argument('<dir>', 'the store')
    .argument('<sql>', "one statement, as in 'SELECT * FROM scores'")
    .addOption(new Option('--json', 'an array of rows as JSON').conflicts('csv'))
    .addOption(new Option('--csv', 'CSV with a header'))
    .action(async (dir: string, sql: string, options: { json?: boolean; csv?: boolean }) => {
      const { signal, release } = abortOnSignals();
      try {
        const result = await query(dir, sql, { signal, onNote: note });
        if (options.json) await printJson(objects(result));
        else if (options.csv) await print(csv(result));
        else await printLine(describe(result));
      } finally {
        release();
      }
    });
}

function objects({ columns, rows }: QueryResult): Record<string, Json>[] {
  return rows.map((row) => Object.fromEntries(columns.map((column, at) => [column, row[at] ?? null])));
}

/** RFC 4180, with bare newlines at the ends of rows. */
function csv({ columns, rows }: QueryResult): string {
  const cell = (value: Json): string => {
    const text = plain(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows].map((row) => `${row.map(cell).join(',')}\n`).join('');
}

function describe({ columns, rows }: QueryResult): string {
  const line = (value: Json): string => (value === null ? 'NULL' : plain(value).replace(/\s*\n\s*/g, ' ⏎ '));
  return table(
    columns,
    rows.map((row) => row.map(line)),
  );
}

function plain(value: Json): string {
  if (value === null) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
