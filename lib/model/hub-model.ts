// What of a repository on a hub a model is made of: a folder's configuration, tokenizer and safetensors, or one GGUF file; and
// nothing else that lies beside it.

import { join } from 'node:path';
import { MlitError } from '../native/errors';
import { formatHubReference, type HubReference, parseHubReference } from './hub/reference';
import { type Choice, fetchSnapshot, type HubOptions } from './hub/snapshot';
import { INDEX_FILE, shardsOf, WEIGHTS_FILE } from './weight-files';

/** Small files of a folder, each of which may be absent. */
const SIDE_FILE =
  /^(?:(?:generation_)?config|tokenizer\w*|special_tokens_map|added_tokens|chat_template)\.json$|^chat_template.*\.jinja$/;

export interface HubModel {
  /** The snapshot's folder, or the GGUF file in it. */
  path: string;
  kind: 'gguf' | 'folder';
  repo: string;
  commit: string;
}

/**
 * Makes sure that a model named `hf:owner/name[@revision][:FILE.gguf]` is in the hub's cache; see {@link fetchSnapshot}.
 *
 * @param need `tokenizer`: the weights of a folder may stay where they are
 * @throws RangeError for what is no such name
 * @throws MlitError `DOWNLOAD_FAILED`, `CHECKSUM_MISMATCH`, `FILE_NOT_FOUND`, `MODEL_UNSUPPORTED`, `FILE_IO`
 */
export async function fetchHubModel(
  name: string,
  need: 'weights' | 'tokenizer',
  options: HubOptions = {},
): Promise<HubModel> {
  const reference = parseHubReference(name);
  const choose = choiceOf(name, reference, need);
  const { folder, commit, paths } = await fetchSnapshot('model', name, reference, choose, options);
  const [first] = paths;
  const { repo } = reference;
  return first?.endsWith('.gguf')
    ? { path: join(folder, first), kind: 'gguf', repo, commit }
    : { path: folder, kind: 'folder', repo, commit };
}

/** The same model whatever becomes of its branch. */
export function pinHubModel(name: string, commit: string): string {
  return formatHubReference({ ...parseHubReference(name), revision: commit });
}

/** `owner/name` of a file or a folder in a hub's cache. */
export function repoOfCachedPath(path: string): string | undefined {
  const [, owner, name] =
    /[/\\]models--(?:([^/\\]+?)--)?([^/\\]+)[/\\]snapshots[/\\][0-9a-f]{40}(?:[/\\]|$)/.exec(path) ?? [];
  return name === undefined ? undefined : owner === undefined ? name : `${owner}/${name}`;
}

function choiceOf(name: string, reference: HubReference, need: 'weights' | 'tokenizer'): Choice {
  return async (paths, read) => {
    if (reference.path !== undefined) return [ggufNamed(reference.path, paths, name)];
    const side = paths.filter((path) => SIDE_FILE.test(path));
    const hasConfig = side.includes('config.json');
    if (hasConfig && need === 'tokenizer' && side.includes('tokenizer.json')) return side;
    if (hasConfig && paths.includes(WEIGHTS_FILE)) return [...side, WEIGHTS_FILE];
    if (hasConfig && paths.includes(INDEX_FILE)) {
      const shards = shardsOf(await read(INDEX_FILE), `${name}: ${INDEX_FILE}`);
      const missing = shards.find((shard) => !paths.includes(shard));
      if (missing !== undefined)
        throw notFound(name, `${INDEX_FILE} names ${missing}, which is not there`, [missing]);
      return [...side, INDEX_FILE, ...shards];
    }
    return [onlyGguf(name, reference, paths)];
  };
}

function ggufNamed(path: string, paths: readonly string[], name: string): string {
  if (!path.endsWith('.gguf'))
    throw new MlitError(
      'MODEL_UNSUPPORTED',
      `${name}: behind the colon a .gguf file of the repository is expected, as in hf:owner/name:model-q4_k_m.gguf; without one the safetensors are taken`,
      { fields: { name, value: path } },
    );
  if (paths.includes(path)) return path;
  const ggufs = ggufsOf(paths);
  throw notFound(name, `there is no ${path}; there are ${listed(ggufs)}`, ggufs);
}

function onlyGguf(name: string, reference: HubReference, paths: readonly string[]): string {
  const ggufs = ggufsOf(paths);
  if (ggufs.length === 1) return ggufs[0]!;
  if (ggufs.length > 1)
    throw notFound(
      name,
      `there are several .gguf files; name the one that is meant, as ${formatHubReference({ ...reference, path: ggufs[0]! })}: ${listed(ggufs)}`,
      ggufs,
    );
  const what = paths.includes('adapter_config.json')
    ? 'it holds an adapter, not a model; give its base as the model'
    : paths.some((path) => /\.(bin|pt|pth)$/.test(path))
      ? 'its weights are in PyTorch’s own format only, which can run code when it is read; look for a revision (such as @refs/pr/1) or a copy with safetensors'
      : `it has neither config.json with ${WEIGHTS_FILE} (or ${INDEX_FILE}) nor a .gguf file`;
  throw new MlitError('MODEL_UNSUPPORTED', `${name}: ${what}`, { fields: { name } });
}

function ggufsOf(paths: readonly string[]): string[] {
  return paths.filter((path) => path.endsWith('.gguf')).sort();
}

function listed(paths: readonly string[]): string {
  if (paths.length === 0) return 'no .gguf files';
  return `${paths.slice(0, 8).join(', ')}${paths.length > 8 ? `, … (${paths.length} in all)` : ''}`;
}

function notFound(name: string, what: string, found: readonly string[]): MlitError {
  return new MlitError('FILE_NOT_FOUND', `${name}: ${what}`, { fields: { name, found: found.slice(0, 8) } });
}
