// Data sets on a Hugging Face hub: `hf:owner/name@revision:path`. What of a data set is read is decided here; how it comes and
// where it is kept is the same as for models.

import { join } from 'node:path';
import { formatHubReference, type HubReference, parseHubReference } from '../model/hub/reference';
import { fetchSnapshot, type HubOptions } from '../model/hub/snapshot';
import { MlitError } from '../native/errors';
import { globToRegExp, isGlob } from './glob';

export interface HubFile {
  /** `hf:owner/name@revision:path`, for messages. */
  name: string;
  /** Where it lies on this machine. */
  path: string;
}

const DATA_FILE = /\.(parquet|(jsonl|ndjson|json|csv|tsv)(\.gz)?)$/i;
/** Descriptions of a data set that are no records. */
const NO_RECORDS = /(^|\/)(dataset_infos?|dataset_dict|state|metadata)\.json$/i;

/**
 * The files of a data set that a reference names, fetched where they are not in the cache; see {@link fetchSnapshot}.
 *
 * @throws MlitError `DOWNLOAD_FAILED`, `CHECKSUM_MISMATCH`, `FILE_NOT_FOUND`, `FILE_IO`; the signal's reason
 */
export async function fetchHubData(name: string, options: HubOptions = {}): Promise<HubFile[]> {
  const reference = parseHubReference(name);
  const pick = (paths: readonly string[]): string[] => choose(paths, reference, name);
  const { folder, paths } = await fetchSnapshot('dataset', name, reference, pick, options);
  return paths.map((path) => ({
    name: formatHubReference({ ...reference, path }),
    path: join(folder, path),
  }));
}

/** A data set's files are often its splits, and training on its test set is no default. */
function choose(paths: readonly string[], { path, repo }: HubReference, name: string): string[] {
  const data = paths.filter((each) => DATA_FILE.test(each) && !NO_RECORDS.test(each)).sort();
  const list = `${data.slice(0, 8).join(', ')}${data.length > 8 ? `, … (${data.length} in all)` : ''}`;
  const notFound = (message: string): MlitError =>
    new MlitError('FILE_NOT_FOUND', `${name}: ${message}`, {
      fields: { file: name, found: data.slice(0, 8) },
    });
  if (path === undefined) {
    if (data.length === 1) return data;
    if (data.length === 0)
      throw notFound('the data set has no file of records (Parquet, JSONL, JSON, CSV, TSV)');
    throw notFound(`the data set has several files; name those meant, as hf:${repo}:${data[0]}: ${list}`);
  }
  const wanted = isGlob(path) ? globToRegExp(path) : undefined;
  const found = wanted
    ? data.filter((each) => wanted.test(each))
    : [...paths.filter((each) => each === path), ...data.filter((each) => each.startsWith(`${path}/`))];
  if (found.length === 0)
    throw notFound(`no file of the data set matches '${path}'; there are ${list || 'none'}`);
  return found;
}
