// What a run trains: a LoRA adapter on a frozen base, or the model itself. The loop and its checkpoints know no more of it
// than how it is written.
import { writeModelFolder } from '../export/model-folder';
import { Adapter, toAdapterSpec } from '../model/adapter';
import type { Model } from '../model/model';
import type { TrainOptions } from './options';

export interface Tuned {
  /** Name of the result's folder in the run's. */
  readonly kind: 'adapter' | 'model';
  /** Undefined where the model itself is trained. */
  readonly adapter: Adapter | undefined;
  /** The base's name on the hub where there is one, else its path. */
  readonly baseName: string;
  /** The option that rounded the base's weights, as on the command line; undefined where it has them as they are. */
  readonly roundedBy: string | undefined;
  /** Into a folder that exists and is empty: PEFT's two files, or a Hugging Face folder in f32. */
  save(folder: string): Promise<void>;
  dispose(): Promise<void>;
}

/** @param checkFiles throws where the model's files are no longer those that were read */
export async function makeTuned(
  model: Model,
  options: TrainOptions,
  onNote: ((note: string) => void) | undefined,
  checkFiles: () => Promise<void>,
): Promise<Tuned> {
  if (options.method === 'full') {
    return {
      kind: 'model',
      adapter: undefined,
      baseName: model.source.baseName,
      roundedBy: undefined,
      save: async (out) => {
        await checkFiles(); // configuration and tokenizer are those of the files that lie there now
        await writeModelFolder({ source: model, out, dtype: 'f32' });
      },
      dispose: async () => undefined,
    };
  }
  const adapter = await makeAdapter(model, options, onNote);
  return {
    kind: 'adapter',
    adapter,
    baseName: model.source.baseName,
    roundedBy: roundingOf(model),
    save: (folder) => adapter.save(folder, model.source.baseName),
    dispose: () => adapter.dispose(),
  };
}

function roundingOf({ compute, baseDtype }: Model): string | undefined {
  if (compute === 'int8') return '--compute int8';
  return baseDtype === 'int8' || baseDtype === 'nf4' ? `--base-dtype ${baseDtype}` : undefined;
}

function makeAdapter(
  model: Model,
  options: TrainOptions,
  onNote: ((note: string) => void) | undefined,
): Promise<Adapter> {
  if (options.initAdapter !== undefined) return Adapter.load(model, options.initAdapter, { onNote });
  const { rank, alpha, rslora, dropout, target, seed } = options;
  const spec = toAdapterSpec({ rank, alpha, rslora, dropout, targetModules: target });
  return Adapter.create(model, { ...spec, seed });
}
