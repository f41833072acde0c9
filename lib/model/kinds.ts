// Models, adapters and runs are told apart by what lies at a path, so that one given in the other's place is called by its
// name instead of by the first file that it lacks.
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { loadAddon } from '../native/addon';
import { type ErrorCode, isMlitError, MlitError } from '../native/errors';
import type { ModelSource } from './source';

export type PathKind =
  | 'nothing'
  | 'model folder'
  | 'adapter folder'
  | 'model and adapter folder'
  | 'run folder'
  | 'folder'
  | 'GGUF model'
  | 'GGUF adapter'
  | 'safetensors'
  | 'file';

/** What is there, by the names of a folder's files and by a GGUF file's own word. */
export async function kindOf(path: string): Promise<PathKind> {
  const info = await stat(path).catch(() => undefined);
  if (info === undefined) return 'nothing';
  if (info.isDirectory()) {
    const files = await readdir(path);
    const isModel = files.includes('config.json');
    if (files.includes('adapter_config.json')) return isModel ? 'model and adapter folder' : 'adapter folder';
    if (isModel) return 'model folder';
    return files.includes('run.yaml') ? 'run folder' : 'folder';
  }
  if (path.endsWith('.gguf')) return (await isGgufAdapter(path)) ? 'GGUF adapter' : 'GGUF model';
  return path.endsWith('.safetensors') ? 'safetensors' : 'file';
}

const HEAD_BYTES = 1 << 16;
const TYPE_KEY = 'general.type';
const STRING = 8;

/** Whether `general.type`, which stands among the first entries, is `adapter`. */
async function isGgufAdapter(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    const head = buffer.subarray(0, bytesRead);
    const at = head.indexOf(TYPE_KEY) + TYPE_KEY.length;
    if (at < TYPE_KEY.length || at + 12 > head.length || head.readUInt32LE(at) !== STRING) return false;
    const length = Number(head.readBigUInt64LE(at + 4));
    return head.toString('utf8', at + 12, Math.min(at + 12 + length, head.length)) === 'adapter';
  } finally {
    await file.close();
  }
}

/**
 * Refuses what is given as a model and is none.
 *
 * @throws MlitError `MODEL_UNSUPPORTED` with what it is and what to name
 */
export async function refuseNoModel(model: string, path: string): Promise<void> {
  const refuse = (what: string): never => {
    throw new MlitError('MODEL_UNSUPPORTED', `model: ${model} is ${what}`, { fields: { file: path } });
  };
  switch (await kindOf(path)) {
    case 'adapter folder': {
      const { baseModel } = await loadAddon().readPeftConfig(path);
      const base = baseModel === '' ? 'the model that it was trained on' : baseModel;
      return refuse(`the folder of a LoRA adapter; give ${base} as the model, and this as the adapter`);
    }
    case 'GGUF adapter':
      return refuse(
        'a LoRA adapter as a GGUF file, which llama.cpp takes beside a model; expected a model’s own file: give that, and the adapter as the PEFT folder that the file was made of',
      );
    case 'run folder':
      return refuse(
        `the folder of a training run; its result is ${join(model, 'model')} after full tuning, else ${join(model, 'adapter')}, which is an adapter for the run’s model`,
      );
    case 'folder':
      return refuse('a folder without config.json; expected a Hugging Face model’s folder, or a .gguf file');
    case 'safetensors':
      return refuse('a file of tensors alone; name the folder that it lies in, with its config.json');
    case 'file':
      return refuse('neither a .gguf file nor the folder of a Hugging Face model');
    default:
  }
}

/**
 * Refuses what is given as an adapter and is none.
 *
 * @throws MlitError `FILE_NOT_FOUND` or `MODEL_UNSUPPORTED` with what it is and what to name
 */
export async function refuseNoAdapter(path: string): Promise<void> {
  const expected =
    'expected a PEFT folder, with adapter_config.json and adapter_model.safetensors, as `adapter/` of a run is';
  const refuse = (what: string, code: ErrorCode = 'MODEL_UNSUPPORTED'): never => {
    throw new MlitError(code, `adapter: ${what}; ${expected}`, { fields: { file: path } });
  };
  switch (await kindOf(path)) {
    case 'nothing':
      return refuse(`there is no folder ${path}`, 'FILE_NOT_FOUND');
    case 'GGUF adapter':
      return refuse(
        `${path} is a LoRA adapter as a GGUF file, which is for llama.cpp: name the folder that it was made of`,
      );
    case 'GGUF model':
      return refuse(`${path} is a model as a GGUF file: give it as the model`);
    case 'model folder':
      return refuse(`${path} is the folder of a model: give it as the model`);
    case 'run folder':
      return refuse(`${path} is the folder of a training run: name ${join(path, 'adapter')}`);
    case 'folder':
      return refuse(`there is no adapter_config.json in ${path}`, 'FILE_NOT_FOUND');
    case 'safetensors':
    case 'file':
      return refuse(`${path} is a file: name the adapter’s folder`);
    default:
  }
}

/** What does not fit, with the base that the adapter names, the model that it was put on, and what to do. */
export async function explainMisfit(error: unknown, folder: string, source: ModelSource): Promise<unknown> {
  if (!isMlitError(error) || !['TENSOR_MISMATCH', 'TENSOR_MISSING'].includes(error.code)) return error;
  const { baseModel } = await loadAddon().readPeftConfig(folder);
  const { baseName } = source;
  const told =
    baseModel === ''
      ? `it names no base, and the model is ${baseName}; give the model that it was trained on`
      : baseModel === baseName
        ? `both are of ${baseName} by name, so the files of one were changed or are of another version; fetch them anew`
        : `it was trained on ${baseModel}, and the model is ${baseName}; give that base as the model, or an adapter of this one`;
  return new MlitError(error.code, `the adapter ${folder} does not fit: ${told} (${error.message})`, {
    fields: { ...error.fields, adapter: folder, base: baseModel, model: baseName },
    cause: error,
  });
}
