// Published sets as their users have them, by name.

import { checkLanguageCode } from '../../text/language-codes';
import { refuseUnknownOptions } from '../../text/options';
import { jsonValues } from '../read';
import { isTable, readTable } from '../read-table';
import { resolveData } from '../sources';
import { importAlpacaFarm } from './alpaca-farm';
import { importLima } from './lima';
import { importOasst } from './oasst';
import type { Imported, Importer, ImportOptions, ImportValue } from './types';

/** The published sets that can be imported, by name. */
export const IMPORTERS = {
  lima: importLima,
  oasst: importOasst,
  'alpaca-farm': importAlpacaFarm,
} as const satisfies Record<string, Importer>;

/** Name of a published set that can be imported. */
export type ImporterName = keyof typeof IMPORTERS;

/**
 * Reads a published set into this library's records. Files are JSONL, JSON arrays (both also `.gz`), Parquet, patterns, or
 * data sets of a hub.
 *
 * @throws MlitError `DATA_INVALID` (place, expected, got) for a file that is not of the set's form, and all that reading throws
 */
export async function importData(
  name: ImporterName,
  files: readonly string[],
  options: ImportOptions & {
    signal?: AbortSignal | undefined;
    onNote?: ((note: string) => void) | undefined;
  } = {},
): Promise<Imported> {
  refuseUnknownOptions('importData', options, {
    lang: true,
    max: true,
    excludeDataset: true,
    withOutput: true,
    signal: true,
    onNote: true,
  });
  if (options.lang !== undefined) checkLanguageCode(options.lang, 'lang');
  return IMPORTERS[name](valuesOf(files, options), options);
}

async function* valuesOf(
  files: readonly string[],
  options: { signal?: AbortSignal | undefined; onNote?: ((note: string) => void) | undefined },
): AsyncGenerator<ImportValue> {
  for (const { name, path } of await resolveData(files, options)) {
    const values = isTable(path)
      ? readTable(path, { name, lists: ['conversations'], signal: options.signal })
      : jsonValues(path, name, options.signal);
    for await (const { value, line } of values) yield { value, file: name, line };
  }
}
