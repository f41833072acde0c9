// A Hugging Face folder that transformers loads: weights as safetensors, and around them the small files, copied where the
// model came as a folder and made where it came as a GGUF file.
import { copyFile, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Model } from '../model/model';
import { loadTokenizer, type ModelSource } from '../model/source';
import type { Tokenizer } from '../model/tokenizer';
import { loadAddon } from '../native/addon';
import { MlitError } from '../native/errors';
import { writeFileAtomic } from '../native/files';
import type { NativeExported } from '../native/types';
import { refuseUnknownOptions } from '../text/options';
import { substituteTemplate } from './chat-template';
import { writeFolderAtomic } from './output';

/** How exported weights are stored. */
/** The type that exported weights are stored in. */
export type ExportDtype = 'f32' | 'bf16' | 'f16';

/** What is exported, and where to. */
/** What {@link writeModelFolder} writes, from where and to where. */
export interface ModelFolderOptions {
  /** A checkpoint, streamed from disk, or a model with its weights as they are in memory (after full tuning). */
  source: ModelSource | Model;
  /** The folder to make; absent or empty. */
  out: string;
  dtype: ExportDtype;
  /** A PEFT folder to merge. Only with a checkpoint as source. */
  adapter?: string | undefined;
  /** Bytes of tensors in one file at most. Default 5 GB. */
  shardBytes?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Fraction written, 0 to 1. */
  onProgress?: ((fraction: number) => void) | undefined;
  /** One line a person should read. Default: nothing is said. */
  onNote?: ((note: string) => void) | undefined;
}

const GIGABYTE = 1e9;
const TORCH_TYPES = { f32: 'float32', bf16: 'bfloat16', f16: 'float16' } as const;
const TOKENIZER_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'tokenizer.model',
  'vocab.json',
  'merges.txt',
  'chat_template.jinja',
];

/**
 * Writes the folder, whole or not at all.
 *
 * @throws MlitError `FILE_IO` (`out` is taken, the disk is full), `MODEL_UNSUPPORTED`, and what reading the model throws;
 * the signal's reason when aborted
 */
export async function writeModelFolder(options: ModelFolderOptions): Promise<NativeExported> {
  refuseUnknownOptions('writeModelFolder', options, {
    source: true,
    out: true,
    dtype: true,
    adapter: true,
    shardBytes: true,
    signal: true,
    onProgress: true,
    onNote: true,
  });
  const { source, out, dtype, adapter, signal } = options;
  const from = source instanceof Model ? source.source : source;
  const addon = loadAddon();
  return writeFolderAtomic(out, async (folder) => {
    const exported = await addon.exportSafetensors(source instanceof Model ? source.native : source.path, {
      folder,
      dtype,
      shardBytes: options.shardBytes ?? 5 * GIGABYTE,
      ...(adapter !== undefined && { adapter }),
      onProgress: (fraction) => {
        signal?.throwIfAborted();
        options.onProgress?.(fraction);
      },
    });
    signal?.throwIfAborted();
    const files =
      from.kind === 'folder'
        ? await copySmallFiles(from.path, folder, dtype, exported.untied)
        : await makeSmallFiles(from, folder, dtype, exported.untied, options.onNote);
    return { ...exported, files: [...exported.files, ...files] };
  });
}

/** config.json with the new dtype; the tokenizer's files and generation_config.json as they are. */
async function copySmallFiles(
  from: string,
  to: string,
  dtype: ExportDtype,
  untied: boolean,
): Promise<string[]> {
  const own = JSON.parse(await readFile(join(from, 'config.json'), 'utf8')) as Record<string, unknown>;
  const configJson = await loadAddon().exportConfig(from);
  // Of a multimodal model the text part is written, under a configuration of its own.
  const ids = Object.entries(own).filter(([key]) => key.endsWith('_token_id'));
  const config =
    configJson === ''
      ? own
      : { ...(JSON.parse(configJson) as Record<string, unknown>), ...Object.fromEntries(ids) };
  const { tiedHead } = await loadAddon().readModelConfig(from);
  const name = 'dtype' in config ? 'dtype' : 'torch_dtype';
  await writeConfig(to, {
    ...config,
    [name]: TORCH_TYPES[dtype],
    tie_word_embeddings: tiedHead && !untied,
  });
  const there = new Set(await readdir(from));
  const copied = [...TOKENIZER_FILES, 'generation_config.json'].filter((file) => there.has(file));
  for (const file of copied) {
    await copyFile(join(from, file), join(to, file)).catch((cause: Error) => {
      throw new MlitError('FILE_IO', `copying ${file} of ${from} failed: ${cause.message}`, {
        fields: { file: join(from, file) },
        cause,
      });
    });
  }
  return ['config.json', ...copied];
}

/** Everything that a GGUF file holds as metadata. */
async function makeSmallFiles(
  from: ModelSource,
  to: string,
  dtype: ExportDtype,
  untied: boolean,
  onNote: ModelFolderOptions['onNote'],
): Promise<string[]> {
  const addon = loadAddon();
  const [configJson, { eosIds, tiedHead, contextLength }, tokenizer] = await Promise.all([
    addon.exportConfig(from.path),
    addon.readModelConfig(from.path),
    loadTokenizer(from),
  ]);
  const ids = specialIds(tokenizer, eosIds);
  const template = await substituteTemplate(tokenizer);
  if (template?.note !== undefined) onNote?.(`${template.note}; it is written into the export`);
  await writeConfig(to, {
    ...(JSON.parse(configJson) as object),
    tie_word_embeddings: tiedHead && !untied,
    torch_dtype: TORCH_TYPES[dtype],
    ...ids,
  });
  const files = {
    'generation_config.json': ids,
    'tokenizer.json': tokenizer.toJson(),
    'tokenizer_config.json': {
      ...tokenizer.toConfig(),
      model_max_length: contextLength,
      ...(template && { chat_template: template.source }),
    },
  };
  for (const [file, value] of Object.entries(files)) await writeJson(join(to, file), value);
  return ['config.json', ...Object.keys(files)];
}

function specialIds(tokenizer: Tokenizer, modelEos: readonly number[]): Record<string, unknown> {
  const eos = [...new Set([...tokenizer.eosIds, ...modelEos])];
  return {
    ...(tokenizer.bosId !== undefined && { bos_token_id: tokenizer.bosId }),
    ...(eos.length > 0 && { eos_token_id: eos.length === 1 ? eos[0] : eos }),
    ...(tokenizer.padId !== undefined && { pad_token_id: tokenizer.padId }),
  };
}

/** Python tells 8 from 8.0, and some versions of transformers want the latter here; JavaScript's JSON has one number. */
const FLOATS =
  /"(factor|low_freq_factor|high_freq_factor|rope_theta|rope_local_base_freq|attention_dropout)": (\d+)(?=[,\n])/g;

function writeConfig(folder: string, config: Record<string, unknown>): Promise<void> {
  const text = JSON.stringify(config, null, 2).replace(FLOATS, '"$1": $2.0');
  return writeFileAtomic(join(folder, 'config.json'), `${text}\n`);
}

function writeJson(file: string, value: unknown): Promise<void> {
  return writeFileAtomic(file, `${JSON.stringify(value, null, 2)}\n`);
}
