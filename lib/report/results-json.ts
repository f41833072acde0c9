// The whole of the results for other programs: everything that tables and figures are drawn from, with its provenance.
import type { ExperimentResults } from '../experiment/results';

/** JSON with sorted keys, indented: equal results are equal bytes. Ends in a line feed. */
export function resultsJson(results: ExperimentResults): string {
  return `${JSON.stringify(sorted(results), null, 2)}\n`;
}

/** The same value with every object's keys in code unit order. */
export function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, entry]) => [key, sorted(entry)]),
  );
}
