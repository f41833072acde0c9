// `mlit export`: a model for other programs, with an adapter merged into it or beside it.
import { type Command, Option } from 'commander';
import { EXPORT_FORMATS, type ExportFormat, exportModel } from '../export/export';
import type { ExportDtype } from '../export/model-folder';
import { note, Progress, printJson, printLine, size } from './output';
import { abortOnSignals } from './signals';

interface Flags {
  model: string;
  adapter?: string;
  out: string;
  format: ExportFormat;
  dtype?: ExportDtype;
  json?: boolean;
}

export function addExport(program: Command): void {
  program
    .command('export')
    .description('write a model for other programs, with an adapter merged into it, or an adapter as GGUF')
    .requiredOption(
      '--model <model>',
      'a .gguf file, a Hugging Face folder, hf:owner/name[@revision][:FILE.gguf], or a name that `mlit pull` knows',
    )
    .option('--adapter <folder>', 'a PEFT folder to merge, or to convert')
    .requiredOption('--out <path>', 'a folder (safetensors) or a .gguf file that is not there yet')
    .addOption(
      new Option(
        '--format <format>',
        'safetensors: a Hugging Face folder; gguf: one file; gguf-adapter: the adapter alone, for llama.cpp',
      )
        .choices([...EXPORT_FORMATS])
        .makeOptionMandatory(),
    )
    .addOption(
      new Option(
        '--dtype <dtype>',
        "f32, bf16 or f16 (default: the model's own, bf16 where it is quantised; f32 for an adapter)",
      ).choices(['f32', 'bf16', 'f16']),
    )
    .option('--json', 'one JSON value')
    .action((flags: Flags) => run(flags));
}

async function run(flags: Flags): Promise<void> {
  const { json, ...options } = flags;
  const { signal, release } = abortOnSignals();
  const progress = new Progress('export');
  try {
    const exported = await exportModel({
      ...options,
      signal,
      onNote: note,
      onProgress: (fraction) => progress.update(fraction, 'weights'),
    });
    progress.end();
    if (json) return await printJson(exported);
    note(`${size(exported.bytes)} of ${exported.dtype} tensors written`);
    await printLine(exported.out);
  } finally {
    progress.end();
    release();
  }
}
