// What jobs on this machine share while the process lives: the base model, loaded once, the language identifier, tables and
// evaluation sets that were read, judges with what they may still cost.
import { join } from 'node:path';
import { ParallelTable } from '../../data/mixture/table';
import { readExamples } from '../../data/read';
import type { Judge } from '../../eval/judges/judge';
import { LocalJudge } from '../../eval/judges/local-judge';
import { VerdictMemory } from '../../eval/judges/memory';
import { OpenAIJudge } from '../../eval/judges/openai-judge';
import { sha256 } from '../../eval/judges/wording';
import { type BASE_DTYPES, Model } from '../../model/model';
import { ChatTemplate } from '../../model/template';
import type { Compute } from '../../native/types';
import { type Identify, loadIdentifier } from '../../text/identify';
import type { Assignment } from '../executor';
import { type Evaluation, loadEvaluation } from '../inputs';
import { canonicalJson, type EvaluationKey, type Job, type JudgeKey, type Rendering } from '../job';
import type { JudgeSpec } from '../judge-spec';
import type { SeatedJudge } from './judge';

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
  /** What endpoints that judge may cost in this process, by {@link canonicalJson} of the judge. */
  judges?: ReadonlyMap<string, Pick<JudgeSpec, 'concurrency' | 'maxCalls' | 'maxTokens'>> | undefined;
  signal?: AbortSignal | undefined;
  onNote?: ((note: string) => void) | undefined;
}

export class Workshop implements AsyncDisposable {
  readonly #options: WorkshopOptions;
  #model: { path: string; loading: Promise<Model> } | undefined;
  readonly #tables = new Map<string, Promise<ParallelTable>>();
  readonly #evaluations = new Map<string, Promise<Evaluation>>();
  readonly #endpoints = new Map<string, OpenAIJudge>();
  readonly #memories = new Map<string, VerdictMemory>();

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

  /**
   * A judge with its memory, which is a file of the store that all of its jobs share. An endpoint is one for all jobs of this process:
   * its budget is.
   *
   * @throws MlitError `STORE_LOCKED`, `DATA_INVALID` where the memory is damaged; what judges throw
   */
  async judge(key: JudgeKey, { job, verdicts }: Assignment): Promise<SeatedJudge> {
    const name = canonicalJson(key);
    const file = join(
      verdicts,
      `${key.name.replace(/[^\w.-]+/g, '_').slice(0, 60)}-${sha256(name).slice(0, 8)}.jsonl`,
    );
    const judge = key.by === 'openai' ? this.#endpoint(key, name) : await this.#localJudge(key, job);
    let memory = this.#memories.get(file);
    if (memory === undefined) {
      memory = await VerdictMemory.open(file, { named: false });
      this.#memories.set(file, memory);
    }
    return { judge, memory };
  }

  #endpoint({ model, url, protocol, maxNewTokens }: JudgeKey & { by: 'openai' }, name: string): OpenAIJudge {
    let judge = this.#endpoints.get(name);
    if (judge === undefined) {
      const limits = this.#options.judges?.get(name);
      const { onNote } = this.#options;
      judge = new OpenAIJudge({ model, url, protocol, maxNewTokens, ...limits, onNote });
      this.#endpoints.set(name, judge);
    }
    return judge;
  }

  /** Anew for each job: another job may have freed its model. */
  async #localJudge({ name, model, protocol }: JudgeKey & { by: 'local' }, { files }: Job): Promise<Judge> {
    return LocalJudge.create({
      model: await this.model(files[model]!),
      name: name.slice('local:'.length),
      protocol,
    });
  }

  identifier(): Promise<Identify> {
    return loadIdentifier();
  }

  async #freeModel(): Promise<void> {
    const held = this.#model;
    this.#model = undefined;
    await (await held?.loading.catch(() => undefined))?.dispose();
  }

  /** Ends what judges write to: another process may then. */
  async closeJudges(): Promise<void> {
    const memories = [...this.#memories.values()];
    this.#memories.clear();
    for (const memory of memories) await memory.close();
  }

  /** For `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.closeJudges();
    await this.#freeModel();
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
