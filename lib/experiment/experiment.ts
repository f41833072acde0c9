// An experiment as a handle: open it, look at its plan, run it, read its results. What a run does is in walk.ts.
import { type DataReport, dataReport } from '../data/data-report';
import { describeDataReport } from '../data/data-report-text';
import { lengthWithin } from '../data/render';
import { Adapter, toAdapterSpec } from '../model/adapter';
import type { HubOptions } from '../model/hub/snapshot';
import { loadTokenizer } from '../model/source';
import { ChatTemplate } from '../model/template';
import { MlitError } from '../native/errors';
import { refuseUnknownOptions } from '../text/options';
import { toYaml } from '../text/yaml';
import { REFERENCES_FILE, referenceLines } from './answers';
import { collectResults } from './collect';
import {
  type ExperimentPlan,
  emptyPlan,
  estimate,
  measureLengths,
  refuseLongExamples,
  refuseLongPrompts,
} from './estimate';
import { canonicalJson } from './job';
import { TEMPLATE_CLOCK } from './jobs/workshop';
import { LocalExecutor } from './local-executor';
import { type Prepared, prepareExperiment, type StoredGraph, storedGraph } from './prepare';
import type { ExperimentResults } from './results';
import { type ExperimentInput, type ExperimentSpec, readExperiment, resolveExperiment } from './spec';
import { evenly, measureSpeed, type Speed } from './speed';
import { Store } from './store/store';
import type { Arm } from './types';
import { type ExperimentEvent, Walk } from './walk';

/** What an experiment tells, and what ends it. */
export interface ExperimentOptions {
  signal?: AbortSignal | undefined;
  /** One line a person should read. */
  onNote?: ((note: string) => void) | undefined;
  /** Told as bytes of a model of the hub arrive. */
  onFetch?: HubOptions['onFetch'];
}

/** An experiment from its file to its results: planned, run, and gone on with where it stopped. */
export class Experiment implements AsyncDisposable {
  readonly #prepared: Prepared;
  readonly #options: ExperimentOptions;
  readonly #executor: LocalExecutor;
  #plan: ExperimentPlan | undefined;
  #speed: Speed | undefined;
  #dataReport: DataReport | undefined;
  #disposed = false;

  private constructor(prepared: Prepared, options: ExperimentOptions) {
    this.#prepared = prepared;
    this.#options = options;
    const { threads, baseDtype, compute } = prepared.spec;
    const judges = new Map(
      prepared.judges.map(({ key, spec: { concurrency, maxCalls, maxTokens } }) => [
        canonicalJson(key),
        { concurrency, maxCalls, maxTokens },
      ]),
    );
    this.#executor = new LocalExecutor({
      ...{ device: prepared.device, threads, baseDtype, compute, judges },
      ...options,
    });
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
    refuseUnknownOptions('Experiment.open', options, { signal: true, onNote: true, onFetch: true });
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
    if (this.#dataReport !== undefined) return this.#dataReport;
    const { source, data, all, spec } = this.#prepared;
    const tokenizer = await loadTokenizer(source);
    this.#dataReport = await dataReport({
      train: data,
      evaluation: all,
      tokenizer,
      template: await ChatTemplate.create({ template: spec.template, tokenizer, now: TEMPLATE_CLOCK }),
      identify: await this.#executor.workshop.identifier(),
      signal: this.#options.signal,
    });
    return this.#dataReport;
  }

  /**
   * Jobs, tokens, time and disk, from a measurement of a quarter of a minute; an experiment that goes on uses the one it began
   * with. Nothing is written.
   */
  async plan(): Promise<ExperimentPlan> {
    const { graph, source, data, drawn, evaluation, judges } = this.#prepared;
    const finished = await this.#finished();
    const stored = await this.#stored();
    if ([...graph.jobs.keys()].every((hash) => finished.has(hash))) {
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
    const { rank, alpha, rslora, dropout, target } = spec.train;
    const adapter = toAdapterSpec({ rank, alpha, rslora, dropout, targetModules: target });
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
      judges,
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
   * @throws MlitError `STORE_LOCKED` where another run writes to the store, `STORE_INVALID`, `FILE_IO`, and what jobs throw;
   * `JUDGE_LIMIT`, `JUDGE_FAILED` where judgements are open when all else is finished
   */
  async run(options: { onEvent?: (event: ExperimentEvent) => void } = {}): Promise<void> {
    refuseUnknownOptions('Experiment.run', options, { onEvent: true });
    const { spec } = this.#prepared;
    const { signal, onNote } = this.#options;
    const say = options.onEvent ?? (() => undefined);
    await using store = await Store.open(spec.store, { write: true, signal, onNote });
    const plan = this.#plan ?? (await this.plan());
    await store.experiments.write(spec.name, {
      'experiment.yaml': toYaml(spec),
      'data-report.json': `${JSON.stringify(await this.dataReport(), null, 2)}\n`,
      'data-report.txt': `${describeDataReport(await this.dataReport())}\n`,
      [REFERENCES_FILE]: referenceLines(this.#prepared.evaluation.examples),
      'graph.json': `${JSON.stringify(storedGraph(this.#prepared, plan.estimates, this.#speed ?? (await this.#stored())?.speed), null, 2)}\n`,
    });
    const walk = new Walk(store, this.#prepared, plan, this.#executor, say);
    try {
      await walk.all(signal);
    } finally {
      await walk.close();
      await this.#executor.workshop.closeJudges();
    }
  }

  /** Tables and figures of what is finished in the store. */
  results(): Promise<ExperimentResults> {
    return collectResults(this.spec.store, this.spec.name);
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /** Frees the base model, where one was loaded. Idempotent. */
  dispose(): Promise<void> {
    this.#disposed = true;
    return this.#executor[Symbol.asyncDispose]();
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
