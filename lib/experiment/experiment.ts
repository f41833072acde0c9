// An experiment as a handle: open it, look at its plan, run it, read its results. The run is a walk over the graph, kind by
// kind, that skips what the store has and commits each job as it ends; it can be stopped anywhere.
import { hostname } from 'node:os';
import { stringify } from 'yaml';
import { type DataReport, dataReport } from '../data/data-report';
import { describeDataReport } from '../data/data-report-text';
import { lengthWithin } from '../data/render';
import { Adapter, toAdapterSpec } from '../model/adapter';
import { loadTokenizer } from '../model/source';
import { MlitError } from '../native/errors';
import { collectResults } from './collect';
import {
  type ExperimentPlan,
  emptyPlan,
  estimate,
  measureLengths,
  refuseLongExamples,
  refuseLongPrompts,
} from './estimate';
import type { Assignment, Executor } from './executor';
import { canonicalJson, JOB_KINDS, type Job } from './job';
import { LocalExecutor } from './local-executor';
import { type Prepared, prepareExperiment, type StoredGraph, storedGraph } from './prepare';
import type { ExperimentResults } from './results';
import { type ExperimentInput, type ExperimentSpec, readExperiment, resolveExperiment } from './spec';
import { evenly, measureSpeed, type Speed } from './speed';
import { ProgressWriter } from './store/progress';
import { explainFullDisk, Store } from './store/store';
import type { Arm } from './types';

export interface ExperimentOptions {
  signal?: AbortSignal | undefined;
  /** One line a person should read. */
  onNote?: ((note: string) => void) | undefined;
}

export type ExperimentEvent =
  /** How many jobs there are, and how many the store has already. */
  | { type: 'start'; total: number; finished: number }
  | {
      type: 'progress';
      job: Job;
      models: string;
      fraction: number;
      detail: string;
      secondsLeft: number | null;
    }
  | {
      type: 'job';
      job: Job;
      models: string;
      seconds: number;
      finished: number;
      total: number;
      secondsLeft: number | null;
    };

export class Experiment implements AsyncDisposable {
  readonly #prepared: Prepared;
  readonly #options: ExperimentOptions;
  readonly #executor: LocalExecutor;
  #plan: ExperimentPlan | undefined;
  #speed: Speed | undefined;
  #dataReport: DataReport | undefined;

  private constructor(prepared: Prepared, options: ExperimentOptions) {
    this.#prepared = prepared;
    this.#options = options;
    const { threads, baseDtype } = prepared.spec;
    this.#executor = new LocalExecutor({ threads, baseDtype, ...options });
  }

  /**
   * Reads and checks everything: the file (or the same as an object), data, evaluation set, model. Nothing is computed.
   *
   * @param source path of a YAML file, or its contents
   * @param overrides keys that win over the file's
   * @throws MlitError `EXPERIMENT_INVALID`, `DATA_INVALID`, `DATA_EMPTY`, `MIXTURE_INVALID`, `FILE_NOT_FOUND`, `UNKNOWN_MODEL`
   */
  static async open(
    source: string | ExperimentInput,
    overrides: Partial<ExperimentInput> = {},
    options: ExperimentOptions = {},
  ): Promise<Experiment> {
    const spec =
      typeof source === 'string'
        ? await readExperiment(source, overrides)
        : resolveExperiment({ ...source, ...overrides });
    return new Experiment(await prepareExperiment(spec, options), options);
  }

  get spec(): ExperimentSpec {
    return this.#prepared.spec;
  }

  get arms(): readonly Arm[] {
    return this.#prepared.arms;
  }

  /** Everything found out before a model is loaded. */
  get prepared(): Prepared {
    return this.#prepared;
  }

  /** Lengths, duplicates, leaks and languages of the data by language: what to look at before any training. */
  async dataReport(): Promise<DataReport> {
    const { source, data, all } = this.#prepared;
    this.#dataReport ??= await dataReport({
      train: data,
      evaluation: all,
      tokenizer: await loadTokenizer(source),
      identify: await this.#executor.workshop.identifier(),
      signal: this.#options.signal,
    });
    return this.#dataReport;
  }

  /**
   * Jobs, tokens, time and disk, from a measurement of some ten seconds; an experiment that goes on uses the one it began
   * with. Nothing is written.
   */
  async plan(): Promise<ExperimentPlan> {
    const { graph, source, data, drawn, evaluation } = this.#prepared;
    const finished = await this.#finished();
    const stored = await this.#stored();
    const lasting = [...graph.jobs.keys()].every((hash) => finished.has(hash));
    if (lasting) {
      this.#plan = emptyPlan(graph, stored?.estimates ?? {});
      return this.#plan;
    }
    const { workshop } = this.#executor;
    const model = await workshop.model(source.path);
    const { contextLength } = model.config;
    const maxLength = lengthWithin(contextLength, this.spec.train.maxLength, this.#options.onNote);
    const spec = { ...this.spec, train: { ...this.spec.train, maxLength } };
    const rendering = { template: spec.template, system: spec.system ?? null };
    const template = await workshop.template(model, rendering, {});
    const { tokenizer } = model;
    refuseLongPrompts(evaluation.examples, { spec, template, tokenizer, contextLength });
    refuseLongExamples(drawn, { spec, template, tokenizer });
    this.#speed =
      stored?.speed ??
      (await measureSpeed({
        spec,
        model,
        template,
        identify: await workshop.identifier(),
        train: evenly(data, 64),
        evaluation: evaluation.examples,
        signal: this.#options.signal,
      }));
    const { rank, alpha, rslora, target } = spec.train;
    const adapter = toAdapterSpec({ rank, alpha, rslora, targetModules: target });
    await using sized = await Adapter.create(model, adapter);
    this.#plan = estimate({
      spec,
      graph,
      finished,
      speed: this.#speed,
      lengths: measureLengths(data, spec, model, template),
      model,
      adapter: sized.spec,
      parameters: sized.parameterCount,
      template,
      evaluation: evaluation.examples,
    });
    return this.#plan;
  }

  /** What an earlier run of this experiment on this machine had measured and planned. */
  async #stored(): Promise<{ speed?: Speed; estimates: Record<string, number> } | undefined> {
    const { spec, provenance } = this.#prepared;
    try {
      await using store = await Store.open(spec.store, { write: false });
      const graph = await store.experiments.graph(spec.name);
      if (graph === undefined) return undefined;
      const { estimates, speed, provenance: before } = graph as StoredGraph;
      const same = canonicalJson([
        before.machine,
        before.modelSha256,
        before.train,
        (graph.spec as ExperimentSpec).threads,
      ]);
      const now = canonicalJson([provenance.machine, provenance.modelSha256, provenance.train, spec.threads]);
      return { estimates, ...(same === now && speed !== undefined && { speed }) };
    } catch {
      return undefined;
    }
  }

  async #finished(): Promise<ReadonlySet<string>> {
    try {
      await using store = await Store.open(this.spec.store, { write: false });
      return new Set(store.jobs().map(({ hash }) => hash));
    } catch (error) {
      if (error instanceof MlitError && error.code === 'STORE_INVALID' && !('version' in error.fields))
        return new Set();
      throw error;
    }
  }

  /**
   * Does what the store does not have yet, and plans first where nobody has. Stopped by the signal, it rejects with its
   * reason; what is finished stays, and the job under way goes on from where it saved.
   *
   * @throws MlitError `STORE_LOCKED` where another run writes to the store, `STORE_INVALID`, `FILE_IO`, and what jobs throw
   */
  async run(options: { onEvent?: (event: ExperimentEvent) => void } = {}): Promise<void> {
    const { spec } = this.#prepared;
    const { signal, onNote } = this.#options;
    const say = options.onEvent ?? (() => undefined);
    await using store = await Store.open(spec.store, { write: true, signal, onNote });
    const plan = this.#plan ?? (await this.plan());
    await store.experiments.write(spec.name, {
      'experiment.yaml': stringify(spec, { lineWidth: 0 }),
      'data-report.json': `${JSON.stringify(await this.dataReport(), null, 2)}\n`,
      'data-report.txt': `${describeDataReport(await this.dataReport())}\n`,
      'graph.json': `${JSON.stringify(storedGraph(this.#prepared, plan.estimates, this.#speed ?? (await this.#stored())?.speed), null, 2)}\n`,
    });
    const walk = new Walk(store, this.#prepared, plan, this.#executor, say);
    try {
      await walk.all(signal);
    } finally {
      await walk.close();
    }
  }

  /** Tables and figures of what is finished in the store. */
  results(): Promise<ExperimentResults> {
    return collectResults(this.spec.store, this.spec.name);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#executor[Symbol.asyncDispose]();
  }
}

/** Jobs done together at most: each model that answers holds its adapter in memory. */
const MOST_TOGETHER = 16;

/** One walk over the graph. */
class Walk {
  readonly #store: Store;
  readonly #prepared: Prepared;
  readonly #plan: ExperimentPlan;
  readonly #executor: Executor;
  readonly #say: (event: ExperimentEvent) => void;
  readonly #progress: ProgressWriter;
  /** Of the jobs done by this walk. */
  #estimated = 0;
  #taken = 0;

  constructor(
    store: Store,
    prepared: Prepared,
    plan: ExperimentPlan,
    executor: Executor,
    say: (event: ExperimentEvent) => void,
  ) {
    this.#store = store;
    this.#prepared = prepared;
    this.#plan = plan;
    this.#executor = executor;
    this.#say = say;
    this.#progress = new ProgressWriter(store.folder);
  }

  async all(signal: AbortSignal | undefined): Promise<void> {
    const jobs = [...this.#prepared.graph.jobs.values()];
    for (const { hash } of jobs) {
      signal?.throwIfAborted();
      await this.#store.verify(hash);
    }
    this.#say({ type: 'start', total: jobs.length, finished: jobs.length - this.#left().length });
    for (const kind of JOB_KINDS) {
      const todo = this.#left().filter((job) => job.description.kind === kind);
      for (const group of this.#groups(todo)) {
        signal?.throwIfAborted();
        await this.#do(group);
      }
    }
  }

  #left(): Job[] {
    return [...this.#prepared.graph.jobs.values()].filter((job) => !this.#store.finished(job.hash));
  }

  #groups(jobs: readonly Job[]): Job[][] {
    const groups = new Map<string, Job[]>();
    for (const job of jobs) {
      const key = this.#executor.together(job) ?? job.hash;
      groups.set(key, [...(groups.get(key) ?? []), job]);
    }
    return [...groups.values()].flatMap((group) =>
      Array.from({ length: Math.ceil(group.length / MOST_TOGETHER) }, (_, i) =>
        group.slice(i * MOST_TOGETHER, (i + 1) * MOST_TOGETHER),
      ),
    );
  }

  async #do(jobs: readonly Job[]): Promise<void> {
    const byHash = new Map(jobs.map((job) => [job.hash, job]));
    const assignments: Assignment[] = [];
    for (const job of jobs) {
      const inputs = Object.fromEntries(job.needs.map((hash) => [hash, this.#store.jobFolder(hash)]));
      assignments.push({ job, folder: await this.#store.begin(job.hash), inputs });
    }
    let startedAt = new Date().toISOString();
    let current = jobs[0]!;
    const onProgress = (progress: { hash: string; fraction: number; detail: string }): void => {
      current = byHash.get(progress.hash)!;
      const { fraction, detail } = progress;
      const { kind } = current.description;
      this.#progress.update({
        experiment: this.#prepared.spec.name,
        job: current.hash,
        kind,
        fraction,
        detail,
      });
      const secondsLeft = this.#secondsLeft(current, fraction);
      this.#say({
        type: 'progress',
        job: current,
        models: this.#modelsOf(current),
        fraction,
        detail,
        secondsLeft,
      });
    };
    onProgress({ hash: current.hash, fraction: 0, detail: '' });
    try {
      for await (const { hash, seconds, summary } of this.#executor.run(assignments, { onProgress })) {
        const job = byHash.get(hash)!;
        await this.#store.commit({
          hash,
          kind: job.description.kind,
          description: job.description,
          startedAt,
          seconds,
          host: hostname(),
          threads: this.#prepared.spec.threads === 'auto' ? 0 : this.#prepared.spec.threads,
          summary,
        });
        startedAt = new Date().toISOString();
        this.#estimated += this.#plan.estimates[hash] ?? 0;
        this.#taken += seconds;
        this.#finish(job, seconds);
      }
    } catch (error) {
      const explained = await explainFullDisk(error, this.#store.folder);
      throw explain(explained, current, this.#modelsOf(current));
    }
  }

  #finish(job: Job, seconds: number): void {
    const total = this.#prepared.graph.jobs.size;
    const finished = total - this.#left().length;
    const secondsLeft = this.#secondsLeft(undefined, 0);
    this.#say({ type: 'job', job, models: this.#modelsOf(job), seconds, finished, total, secondsLeft });
  }

  /** By the plan, corrected by how the jobs so far have kept to it. */
  #secondsLeft(current: Job | undefined, fraction: number): number | null {
    let planned = 0;
    for (const { hash } of this.#left()) {
      planned += (this.#plan.estimates[hash] ?? 0) * (hash === current?.hash ? 1 - fraction : 1);
    }
    const pace = this.#estimated > 20 ? this.#taken / this.#estimated : 1;
    return planned * (pace > 0 ? pace : 1);
  }

  /** `pinch-10 (seed 1)`; of a job that several share, all. */
  #modelsOf(job: Job): string {
    const { models } = this.#prepared.graph;
    const named = models.filter(({ jobs }) => Object.values(jobs).includes(job.hash));
    const seeds = this.#prepared.spec.seeds > 1;
    return named.map(({ arm, seed }) => (seeds ? `${arm} (seed ${seed})` : arm)).join(', ');
  }

  close(): Promise<void> {
    return this.#progress.close();
  }
}

function explain(error: unknown, job: Job, models: string): unknown {
  if (!(error instanceof MlitError)) return error;
  return new MlitError(error.code, `${job.description.kind} of ${models}: ${error.message}`, {
    fields: { ...error.fields, job: job.hash },
    cause: error,
  });
}
