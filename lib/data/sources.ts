// What stands in `--data` as files on this machine: patterns expanded, data sets of a hub fetched, languages of files noted.

import { isHubReference } from '../model/hub/reference';
import type { HubOptions } from '../model/hub/snapshot';
import { expandGlob } from './glob';
import { parseDataFile } from './join';

export interface DataSource {
  /** As it is called in messages. */
  name: string;
  /** Where it lies. */
  path: string;
  /** Where it was given as `CODE=FILE`: a part of a parallel set, in this language. */
  lang?: string;
}

/**
 * Resolves each of: a file, `-`, a pattern (`data/*.parquet`), `hf:owner/name[@revision][:path]`, each also as `CODE=…`.
 *
 * @throws MlitError `FILE_NOT_FOUND` for a pattern without files, `DOWNLOAD_FAILED`, `DATA_INVALID`
 */
export async function resolveData(
  entries: readonly string[],
  options: HubOptions = {},
): Promise<DataSource[]> {
  const sources: DataSource[] = [];
  for (const entry of entries) {
    const { file, lang } = isHubReference(entry)
      ? { file: entry, lang: undefined }
      : await parseDataFile(entry);
    const found = isHubReference(file)
      ? await (await import('./hub')).fetchHubData(file, options)
      : (await expandGlob(file)).map((path) => ({ name: path, path }));
    for (const source of found) sources.push(lang === undefined ? source : { ...source, lang });
  }
  return sources;
}
