// What `--model` may be: a GGUF file, a Hugging Face folder or a name that was pulled; found out before anything is loaded.
import { readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { loadAddon } from '../native/addon';
import { MlitError } from '../native/errors';
import { findNamedModel, NAMED_MODELS } from './named-models';
import { cachedModelPath } from './pull';
import { Tokenizer } from './tokenizer';

export interface ModelSource {
  /** Absolute path of the file or folder. */
  path: string;
  kind: 'gguf' | 'folder';
  /** What becomes base_model_name_or_path of adapters: the named model's hub name, else the path as given. */
  baseName: string;
}

/** @throws MlitError `FILE_NOT_FOUND`, `UNKNOWN_MODEL`, `MODEL_UNSUPPORTED`, each with what to do */
export async function resolveModel(model: string): Promise<ModelSource> {
  const named = findNamedModel(model);
  if (named) {
    const path = await cachedModelPath(named);
    if (path) return { path, kind: 'gguf', baseName: named.baseModel };
  }
  const info = await stat(model).catch(() => undefined);
  const path = resolve(model);
  if (info?.isDirectory()) {
    const files = await readdir(path);
    if (files.includes('config.json')) return { path, kind: 'folder', baseName: model };
    throw new MlitError(
      'MODEL_UNSUPPORTED',
      `${model} is a folder without config.json, not a Hugging Face model`,
      {
        fields: { file: join(path, 'config.json') },
      },
    );
  }
  if (info) {
    if (path.endsWith('.gguf')) return { path, kind: 'gguf', baseName: model };
    throw new MlitError('MODEL_UNSUPPORTED', `${model} is neither a .gguf file nor a Hugging Face folder`, {
      fields: { file: path },
    });
  }
  if (named) {
    throw new MlitError('FILE_NOT_FOUND', `${model} has not been fetched yet; run: mlit pull ${model}`, {
      fields: { name: model },
    });
  }
  if (model.startsWith('hf:')) {
    throw new MlitError(
      'MODEL_UNSUPPORTED',
      `${model}: models straight from the hub are not supported yet; fetch the folder and give its path`,
      {
        fields: { name: model },
      },
    );
  }
  throw new MlitError(
    'UNKNOWN_MODEL',
    `no file or folder '${model}', and no model of that name; known names: ${NAMED_MODELS.map((entry) => entry.name).join(', ')}`,
    { fields: { name: model } },
  );
}

/** The model's own tokenizer: from inside a GGUF file, or from the folder. */
export async function loadTokenizer(source: ModelSource): Promise<Tokenizer> {
  if (source.kind === 'folder') return Tokenizer.fromHuggingFace(source.path);
  return Tokenizer.fromGguf(await loadAddon().readGgufMetadata(source.path));
}

/** Bytes of the weights on disk: a cheap mark of identity for resuming. */
export async function modelBytes(source: ModelSource): Promise<number> {
  if (source.kind === 'gguf') return (await stat(source.path)).size;
  let total = 0;
  for (const file of await readdir(source.path)) {
    if (file.endsWith('.safetensors')) total += (await stat(join(source.path, file))).size;
  }
  return total;
}
