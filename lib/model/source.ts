// What `--model` may be: a GGUF file, a Hugging Face folder, a model of the hub or a name that was pulled; found out (and
// fetched) before anything is loaded.
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { loadAddon } from '../native/addon';
import { MlitError } from '../native/errors';
import { refuseUnknownOptions } from '../text/options';
import { isHubReference } from './hub/reference';
import type { HubOptions } from './hub/snapshot';
import { fetchHubModel, repoOfCachedPath } from './hub-model';
import { refuseNoModel } from './kinds';
import { findNamedModel, NAMED_MODELS } from './named-models';
import { cachedModelPath } from './pull';
import { Tokenizer } from './tokenizer';

/** Where a model lies and what it is called. */
export interface ModelSource {
  /** Absolute path of the file or folder. */
  path: string;
  kind: 'gguf' | 'folder';
  /** What becomes base_model_name_or_path of adapters: the name on the hub where there is one, else the path as given. */
  baseName: string;
  /** Of a model given as `hf:…`: the commit that its revision stood at. */
  commit?: string;
}

/** How much of a model on a hub is fetched, and what is told of it. */
export interface ResolveOptions extends HubOptions {
  /** What is fetched of a model on the hub: `tokenizer` leaves a folder's weights where they are. Default `weights`. */
  need?: 'weights' | 'tokenizer';
}

/**
 * Finds a model, and fetches what is missing of one on the hub (`hf:owner/name[@revision][:FILE.gguf]`, see docs/models.md).
 *
 * @throws MlitError `FILE_NOT_FOUND`, `UNKNOWN_MODEL`, `MODEL_UNSUPPORTED`, each with what to do; for the hub also
 * `DOWNLOAD_FAILED`, `CHECKSUM_MISMATCH`, `FILE_IO`
 */
export async function resolveModel(model: string, options: ResolveOptions = {}): Promise<ModelSource> {
  refuseUnknownOptions('resolveModel', options, { need: true, signal: true, onNote: true, onFetch: true });
  if (isHubReference(model)) {
    const { need = 'weights', ...hub } = options;
    const { repo, ...found } = await fetchHubModel(model, need, hub);
    return { ...found, baseName: repo };
  }
  const named = findNamedModel(model);
  if (named) {
    const path = await cachedModelPath(named);
    if (path) return { path, kind: 'gguf', baseName: named.baseModel };
  }
  const info = await stat(model).catch(() => undefined);
  const path = resolve(model);
  if (info) {
    await refuseNoModel(model, path);
    const kind = info.isDirectory() ? 'folder' : 'gguf';
    return { path, kind, baseName: repoOfCachedPath(path) ?? model };
  }
  if (named) {
    throw new MlitError('FILE_NOT_FOUND', `${model} has not been fetched yet; run: mlit pull ${model}`, {
      fields: { name: model },
    });
  }
  const asOnHub = /^[\w.-]+\/[\w.-]+$/.test(model) ? `; did you mean hf:${model}?` : '';
  throw new MlitError(
    'UNKNOWN_MODEL',
    `no file or folder '${model}', and no model of that name; known names: ${NAMED_MODELS.map((entry) => entry.name).join(', ')}; a model of the hub is spelt hf:owner/name${asOnHub}`,
    { fields: { name: model } },
  );
}

const tokenizers = new WeakMap<ModelSource, Promise<Tokenizer>>();

/**
 * The model's own tokenizer: from inside a GGUF file, or from the folder. Read once for each source object: a vocabulary of
 * 262,144 takes more of Node's memory than its model's activations.
 */
export function loadTokenizer(source: ModelSource): Promise<Tokenizer> {
  const before = tokenizers.get(source);
  if (before !== undefined) return before;
  const reading = readTokenizer(source);
  tokenizers.set(source, reading);
  reading.catch(() => tokenizers.delete(source));
  return reading;
}

async function readTokenizer(source: ModelSource): Promise<Tokenizer> {
  if (source.kind === 'folder') return Tokenizer.fromHuggingFace(source.path);
  return Tokenizer.fromGguf(await loadAddon().readGgufMetadata(source.path));
}
