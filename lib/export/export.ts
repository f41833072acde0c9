// `mlit export` as a function: a model, with an adapter merged into it or not, in a form that other programs load.
import { readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { explainMisfit, refuseNoAdapter } from '../model/kinds';
import { loadTokenizer, type ModelSource, resolveModel } from '../model/source';
import { loadAddon } from '../native/addon';
import type { NativeExported, NativeGgufEntry } from '../native/types';
import { refuseUnknownOptions } from '../text/options';
import { substituteTemplate } from './chat-template';
import { type ExportDtype, writeModelFolder } from './model-folder';
import { checkOutputIsFree, writeOneFileAtomic } from './output';

/** Every form that a model or an adapter can be exported in. */
export const EXPORT_FORMATS = ['safetensors', 'gguf', 'gguf-adapter'] as const;
/** What an export becomes: a Hugging Face folder, one GGUF file, or the adapter alone as a GGUF file. */
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/** What {@link exportModel} exports, from where and to where. */
export interface ExportOptions {
  /** GGUF file, Hugging Face folder, a model of the hub, or a name that `mlit pull` knows. */
  model: string;
  /** A PEFT folder: merged into the weights, or what `gguf-adapter` converts. */
  adapter?: string | undefined;
  /** A folder (`safetensors`) or a file (`….gguf`) that is not there yet. */
  out: string;
  format: ExportFormat;
  /** Default: the checkpoint's own where that is a float type, else bf16; f32 for an adapter. */
  dtype?: ExportDtype | undefined;
  signal?: AbortSignal | undefined;
  /** Fraction written, 0 to 1. */
  onProgress?: ((fraction: number) => void) | undefined;
  /** What a person should be told. */
  onNote?: ((note: string) => void) | undefined;
}

/** What {@link exportModel} wrote. */
export interface Exported {
  out: string;
  format: ExportFormat;
  dtype: ExportDtype;
  /** Bytes of all tensors. */
  bytes: number;
  /** Names below a folder; the file itself otherwise. */
  files: string[];
}

/**
 * Writes the model, whole or not at all; nothing is overwritten. Memory stays at a few buffers whatever the model's size.
 *
 * @throws RangeError for options that do not go together
 * @throws MlitError `RUN_INVALID` (`out` is there), `FILE_IO` (the disk is full), `MODEL_UNSUPPORTED`, `TOKENIZER_UNSUPPORTED`, and what
 * reading model and adapter throws; the signal's reason when aborted
 */
export async function exportModel(options: ExportOptions): Promise<Exported> {
  refuseUnknownOptions('exportModel', options, {
    model: true,
    adapter: true,
    out: true,
    format: true,
    dtype: true,
    signal: true,
    onProgress: true,
    onNote: true,
  });
  const { adapter, out, format, signal, onNote } = options;
  checkTogether(options);
  signal?.throwIfAborted();
  await checkOutputIsFree(out, format === 'safetensors' ? 'folder' : 'file');
  const source = await resolveModel(options.model, { signal, onNote });
  if (adapter !== undefined) await compareBase(source, adapter, onNote);
  const dtype = options.dtype ?? (format === 'gguf-adapter' ? 'f32' : await ownDtype(source, onNote));
  const exported = await write(options, source, dtype).catch(async (error: unknown) => {
    throw adapter === undefined ? error : await explainMisfit(error, adapter, source);
  });
  if (exported.untied)
    onNote?.(
      'the adapter changes the output head, which this model shares with its embedding: they are two matrices now (tie_word_embeddings is false)',
    );
  return { out, format, dtype, bytes: exported.bytes, files: exported.files };
}

function checkTogether({ format, adapter, out, dtype }: ExportOptions): void {
  if (!EXPORT_FORMATS.includes(format))
    throw new RangeError(`format: expected one of ${EXPORT_FORMATS.join(', ')}, got ${format}`);
  if (dtype !== undefined && !['f32', 'bf16', 'f16'].includes(dtype))
    throw new RangeError(`dtype: expected f32, bf16 or f16, got ${dtype}`);
  if (format === 'gguf-adapter' && adapter === undefined)
    throw new RangeError('adapter: the format gguf-adapter converts one; name its PEFT folder');
  if (format !== 'safetensors' && !out.endsWith('.gguf'))
    throw new RangeError(`out: the format ${format} writes one file; end its name in .gguf, got ${out}`);
}

async function compareBase(
  source: ModelSource,
  adapter: string,
  onNote: ExportOptions['onNote'],
): Promise<void> {
  await refuseNoAdapter(adapter);
  const { baseModel } = await loadAddon().readPeftConfig(adapter);
  if (baseModel !== '' && baseModel !== source.baseName)
    onNote?.(`${adapter} was trained on ${baseModel}; here it is put on ${source.baseName}`);
  const dtype = await roundedBase(adapter);
  if (dtype !== undefined)
    onNote?.(
      `${adapter} was trained over weights in ${dtype}; it goes with the original ones here, so that answers differ a little from those of mlit sample --base-dtype ${dtype}`,
    );
}

/** What its model card says of the weights that an adapter of ours was trained over, where they were rounded to int8 or nf4. */
async function roundedBase(adapter: string): Promise<string | undefined> {
  const card = await readFile(join(adapter, 'README.md'), 'utf8').catch(() => '');
  const [, head = ''] = /^---\n([\s\S]*?)\n---\n/.exec(card) ?? [];
  return /^ *- base-(int8|nf4)$/m.exec(head)?.[1];
}

async function ownDtype(source: ModelSource, onNote: ExportOptions['onNote']): Promise<ExportDtype> {
  const storedType = await loadAddon().storedType(source.path);
  if (storedType !== 'quantised') return storedType;
  onNote?.('the model is quantised; its weights are written as bf16 (dtype f32 keeps their exact values)');
  return 'bf16';
}

async function write(
  options: ExportOptions,
  source: ModelSource,
  dtype: ExportDtype,
): Promise<NativeExported> {
  const { adapter, out, format, signal, onProgress, onNote } = options;
  if (format === 'safetensors')
    return writeModelFolder({ source, out, dtype, adapter, signal, onProgress, onNote });
  const name: NativeGgufEntry = { key: 'general.name', type: 'text', value: basename(out, '.gguf') };
  const exported = await writeOneFileAtomic(out, async (path) => {
    if (format === 'gguf-adapter')
      return loadAddon().exportGgufAdapter(source.path, adapter as string, { path, dtype, entries: [name] });
    const written = await loadAddon().exportGguf(source.path, {
      path,
      dtype,
      ...(adapter !== undefined && { adapter }),
      entries: await ggufEntries(source, name, onNote),
      onProgress: (fraction) => {
        signal?.throwIfAborted();
        onProgress?.(fraction);
      },
    });
    signal?.throwIfAborted();
    return written;
  });
  return { ...exported, files: [resolve(out)] };
}

/** What the file needs beside the weights and the model's numbers; a GGUF file's own entries are copied natively. */
async function ggufEntries(
  source: ModelSource,
  name: NativeGgufEntry,
  onNote: ExportOptions['onNote'],
): Promise<NativeGgufEntry[]> {
  const tokenizer = await loadTokenizer(source);
  const template = await substituteTemplate(tokenizer);
  if (template?.note !== undefined) onNote?.(`${template.note}; it is written into the export`);
  const added: NativeGgufEntry[] = template
    ? [{ key: 'tokenizer.chat_template', type: 'text', value: template.source }]
    : [];
  if (source.kind === 'gguf') return added;
  const { vocabulary, eosIds, window, architecture } = await loadAddon().readModelConfig(source.path);
  if (window > 0 && architecture !== 'gemma3')
    onNote?.(
      `the model's layers see ${window} tokens back, and llama.cpp knows no such window of a ${architecture}: its answers are other ones after ${window} tokens (mlit reads it)`,
    );
  const { entries, lostEnds } = tokenizer.toGguf(vocabulary, eosIds);
  if (lostEnds.length > 0)
    onNote?.(
      `${lostEnds.join(' and ')} also ${lostEnds.length === 1 ? 'ends' : 'end'} a text of this model, and GGUF has no key left for ${lostEnds.length === 1 ? 'it' : 'them'}: llama.cpp stops there, mlit goes on after it`,
    );
  return [name, ...entries, ...added];
}
