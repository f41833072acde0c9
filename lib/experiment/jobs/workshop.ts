// What jobs on this machine share while the process lives: the base model, loaded once, the language identifier, tables and
// evaluation sets that were read.
import { ParallelTable } from '../../data/mixture/table';
import { readExamples } from '../../data/read';
import { type BASE_DTYPES, Model } from '../../model/model';
import { ChatTemplate } from '../../model/template';
import type { Compute } from '../../native/types';
import { type Identify, loadIdentifier } from '../../text/identify';
import { type Evaluation, loadEvaluation } from '../inputs';
import { canonicalJson, type EvaluationKey, type Job, type Rendering } from '../job';

/**
 * What a template that asks for the date is told, by all jobs: training and answers on different days would differ, and no
 * job's name would say so.
 */
export const TEMPLATE_CLOCK = '2024-01-01T00:00:00.000Z';

export interface WorkshopOptions {
  /** As resolved: `cpu` or `cuda:N`. */
  device: string;
  threads: number | 'auto';
  baseDtype: (typeof BASE_DTYPES)[number];
  compute: Compute;
  signal?: AbortSignal | undefined;
  onNote?: ((note: string) => void) | undefined;
}

export class Workshop implements AsyncDisposable {
  readonly #options: WorkshopOptions;
  #model: { path: string; loading: Promise<Model> } | undefined;
  readonly #tables = new Map<string, Promise<ParallelTable>>();
  readonly #evaluations = new Map<string, Promise<Evaluation>>();

  constructor(options: WorkshopOptions) {
    this.#options = options;
  }

  get signal(): AbortSignal | undefined {
    return this.#options.signal;
  }

  get onNote(): ((note: string) => void) | undefined {
    return this.#options.onNote;
  }

  get threads(): number | 'auto' {
    return this.#options.threads;
  }

  get baseDtype(): WorkshopOptions['baseDtype'] {
    return this.#options.baseDtype;
  }

  /** One base at a time: another path frees the first. */
  async model(path: string): Promise<Model> {
    if (this.#model?.path !== path) {
      await this.#freeModel();
      const { device, threads, baseDtype, compute, signal } = this.#options;
      this.#model = {
        path,
        loading: Model.load({ model: path, device, threads, baseDtype, compute, signal }),
      };
    }
    return this.#model!.loading;
  }

  async template(model: Model, rendering: Rendering, files: Job['files']): Promise<ChatTemplate> {
    const template = files[rendering.template] ?? rendering.template;
    return ChatTemplate.create({ template, tokenizer: model.tokenizer, now: TEMPLATE_CLOCK });
  }

  table(files: readonly string[], field: Readonly<Record<string, string>>): Promise<ParallelTable> {
    return remember(this.#tables, canonicalJson([files, field]), async () =>
      ParallelTable.from(await readExamples(files, { field, signal: this.signal })),
    );
  }

  evaluation(files: readonly string[], key: EvaluationKey): Promise<Evaluation> {
    return remember(this.#evaluations, canonicalJson([files, key]), () =>
      loadEvaluation(files, key, this.signal),
    );
  }

  identifier(): Promise<Identify> {
    return loadIdentifier();
  }

  async #freeModel(): Promise<void> {
    const held = this.#model;
    this.#model = undefined;
    await (await held?.loading.catch(() => undefined))?.dispose();
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#freeModel();
  }
}

/** A failure is not kept: the next one who asks tries again. */
function remember<T>(cache: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  let value = cache.get(key);
  if (value === undefined) {
    value = make();
    cache.set(key, value);
    value.catch(() => cache.delete(key));
  }
  return value;
}
