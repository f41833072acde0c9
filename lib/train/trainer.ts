// A training run from options to its result. The loop is in sight in run.ts; here everything that can be known before the first
// step is found out: data, order, memory, and where a resumed run goes on.
import { formatMixtureSpec, parseMixtureSpec } from '../data/mixture';
import { type Adapter, canonicalTarget } from '../model/adapter';
import type { HubOptions } from '../model/hub/snapshot';
import { pinHubModel } from '../model/hub-model';
import { Model } from '../model/model';
import { type ModelSource, resolveModel } from '../model/source';
import { modelIdentity } from '../model/weight-files';
import { loadAddon } from '../native/addon';
import { MlitError } from '../native/errors';
import { packageVersion } from '../native/version';
import { latestCheckpoint, type TrainerState } from './checkpoint';
import type { DevEvaluator, DevMeasuring } from './evaluator';
import { EventStream } from './events';
import { adoptInitAdapter } from './init-adapter';
import {
  LORA_OPTIONS,
  optionsOfMethod,
  refuseIdleOptions,
  resolveTrainOptions,
  type TrainOptions,
  type TrainOptionsInput,
  withFull,
} from './options';
import { checkMemory, devContext, planRun, type TrainPlan } from './plan';
import type { PreparedData } from './prepare';
import { prepareData } from './prepare';
import { TrainRun } from './run';
import { type RunChoices, RunDirectory, type RunRecord, readRunRecord } from './run-directory';
import { TrainingSession } from './session';
import { makeTuned, type Tuned } from './tuned';

/** Every option of a run, and where and how it is run. */
export type TrainerOptions = TrainOptionsInput & {
  /** The run's folder; absent or empty unless resuming. */
  out: string;
  /**
   * Goes on from the newest checkpoint of the folder (from the start where there is none). Options are those of its run.yaml;
   * one that is given and differs is refused. Default false.
   */
  resume?: boolean;
  /**
   * When resuming, model, data and template may lie elsewhere than before, as after a folder was moved; their contents tell
   * that they are the same. Default false.
   */
  relocate?: boolean;
  /**
   * The model, loaded already: for many runs over one base. It stays when the trainer is disposed. Its device, threads and weights'
   * dtype are what they are. Not with `method: 'full'`, which changes the weights.
   */
  base?: Model | undefined;
  /** ISO time that a template's clock shows. Default: when the run was started. */
  clock?: string | undefined;
  /** Measures the dev set where `select` is not the loss, as `rougeEvaluator()` does. */
  evaluator?: DevEvaluator | undefined;
  signal?: AbortSignal | undefined;
  /** One line a person should read: what was recognised, cut, chosen. Default: nothing is said. */
  onNote?: ((note: string) => void) | undefined;
  /** Fraction of the model loaded. */
  onLoad?: ((fraction: number) => void) | undefined;
  /** Told as bytes of a model of the hub arrive. */
  onFetch?: HubOptions['onFetch'];
};

/** What {@link planTraining} finds out without loading weights. */
export interface TrainingPrepared {
  options: TrainOptions;
  chosen: RunChoices;
  data: PreparedData;
  plan: TrainPlan;
  source: ModelSource;
}

/**
 * Reads and renders the data, chooses what is `auto`, and plans memory and steps. Nothing is written, no weights are read.
 *
 * @throws whatever is wrong with options, data, template or model
 */
export async function planTraining(
  input: TrainOptionsInput,
  context: {
    signal?: AbortSignal | undefined;
    onNote?: ((note: string) => void) | undefined;
    onFetch?: HubOptions['onFetch'];
    startedAt?: string;
    clock?: string | undefined;
    evaluator?: DevEvaluator | undefined;
    /** The commit to use of a model given as `hf:…`, instead of the one that its revision stands at. */
    modelCommit?: string | undefined;
    /** A card's name as `mlit plan --device` takes it, to plan for instead of the options' device: it need not be there. */
    card?: string | undefined;
  } = {},
): Promise<TrainingPrepared> {
  const options = await adoptInitAdapter(resolveTrainOptions(input), input);
  const device = context.card ?? loadAddon().resolveDevice(options.device, 'auto');
  const { modelCommit, signal, onNote, onFetch, evaluator } = context;
  refuseIdleOptions(options);
  if (options.select !== 'loss' && evaluator?.measures !== options.select)
    throw new RangeError(
      `train options: select is ${options.select}, which needs an evaluator that measures it`,
    );
  const name = modelCommit === undefined ? options.model : pinHubModel(options.model, modelCommit);
  const source = await resolveModel(name, { signal, onNote, onFetch });
  const startedAt = context.startedAt ?? new Date().toISOString();
  const data = await prepareData(options, source, { ...context, clock: context.clock ?? startedAt });
  context.signal?.throwIfAborted();
  const { plan, microTokens, recompute } = await planRun({ ...options, device }, source, data, evaluator);
  const doctor = loadAddon().doctor();
  const chosen: RunChoices = {
    version: packageVersion,
    threads: options.threads === 'auto' ? doctor.cpu.usableProcessors : options.threads,
    device,
    isa: (device === 'cpu' && doctor.cpu.isas.find((isa) => isa.usable)?.name) || 'none',
    microTokens,
    recompute,
    baseDtype:
      options.baseDtype === 'auto'
        ? await loadAddon().automaticFormat(source.path, device)
        : options.baseDtype,
    totalSteps: data.steps.length,
    modelIdentity: await modelIdentity(source.path, source.kind),
    ...(source.commit !== undefined && { modelCommit: source.commit }),
    dataHash: data.hash,
    startedAt,
  };
  return { options, chosen, data, plan, source };
}

/** A training run from options to adapter: data, plan, checkpoints, dev set. */
export class Trainer implements AsyncDisposable {
  readonly #prepared: TrainingPrepared;
  readonly #directory: RunDirectory;
  readonly #model: Model;
  readonly #ownsModel: boolean;
  readonly #tuned: Tuned;
  readonly #session: TrainingSession;
  readonly #measuring: DevMeasuring | undefined;
  readonly #state: TrainerState;
  readonly #signal: AbortSignal | undefined;
  #run: TrainRun | undefined;
  #disposing: Promise<void> | undefined;

  private constructor(parts: {
    prepared: TrainingPrepared;
    directory: RunDirectory;
    model: Model;
    ownsModel: boolean;
    tuned: Tuned;
    session: TrainingSession;
    measuring: DevMeasuring | undefined;
    state: TrainerState;
    signal: AbortSignal | undefined;
  }) {
    this.#prepared = parts.prepared;
    this.#directory = parts.directory;
    this.#model = parts.model;
    this.#ownsModel = parts.ownsModel;
    this.#tuned = parts.tuned;
    this.#session = parts.session;
    this.#measuring = parts.measuring;
    this.#state = parts.state;
    this.#signal = parts.signal;
  }

  /**
   * Makes a run ready: data rendered, memory checked against the plan, weights loaded, checkpoint restored.
   *
   * @throws MlitError `RUN_INVALID`, `RUN_LOCKED`, `STATE_MISMATCH`, `OUT_OF_MEMORY`, and what models and data throw
   * @throws RangeError / TypeError naming a wrong option
   */
  static async create(options: TrainerOptions): Promise<Trainer> {
    const {
      out,
      resume = false,
      relocate = false,
      base,
      clock,
      evaluator,
      signal,
      onNote,
      onLoad,
      onFetch,
      ...input
    } = options;
    signal?.throwIfAborted();
    const record = resume ? await readRunRecord(out) : undefined;
    const started = record?.options.model;
    if (record && relocate) Object.assign(record.options, placesOf(resolveTrainOptions(input)));
    if (record) refuseContradictions(record.options, input);
    const isSameName = record?.options.model === started;
    const context = {
      signal,
      onNote,
      onFetch,
      clock,
      evaluator,
      ...(record && { startedAt: record.chosen.startedAt }),
      ...(record && isSameName && { modelCommit: record.chosen.modelCommit }),
    };
    const wanted = record ? asChosen(record) : input;
    const prepared = await planTraining(base ? { ...wanted, device: base.device } : wanted, context);
    if (base) prepared.chosen.baseDtype = base.baseDtype;
    if (record) {
      refuseOtherChoices(record.chosen, prepared.chosen);
      // As the run was asked for: the model card of a resumed run is that of one that nobody touched.
      const { device, threads, recompute } = record.options;
      prepared.options = { ...prepared.options, device, threads, recompute };
    }
    const full = prepared.options.method === 'full';
    if (full && base) {
      throw new RangeError(
        "train options: base was given, but with method full the run changes the model's weights and needs one of its own; leave base out",
      );
    }
    checkMemory(prepared.plan, base?.bytes);

    const cleanup = new AsyncStack();
    try {
      const directory = await RunDirectory.open(out, resume);
      cleanup.add(() => (resume ? directory.close() : directory.discard()));
      const checkpoint = resume ? await latestCheckpoint(directory.checkpoints) : undefined;
      if (!resume) await directory.writeRecord({ options: prepared.options, chosen: prepared.chosen });
      await directory.writeMixture(prepared.data.mixture);
      const model =
        base ??
        (await Model.load({
          model: prepared.source,
          device: prepared.chosen.device,
          threads: prepared.chosen.threads,
          baseDtype: prepared.chosen.baseDtype,
          signal,
          onProgress: onLoad,
        }));
      if (!base) cleanup.add(() => model.dispose());
      if (!base) await refuseReplaced(prepared);
      const tuned = await makeTuned(model, prepared.options, onNote);
      cleanup.add(() => tuned.dispose());
      const session = await TrainingSession.create({
        model,
        ...(tuned.adapter ? { adapters: [tuned.adapter] } : { full }),
        microTokens: prepared.plan.largestBatch.tokens,
        maxTargets: prepared.plan.largestBatch.targets,
        recompute: prepared.chosen.recompute,
        seed: prepared.options.seed,
      });
      cleanup.add(() => session.dispose());
      if (checkpoint) await session.loadState(`${checkpoint.path}/state.safetensors`);
      const measuring = await openMeasuring(evaluator, prepared, model, tuned.adapter);
      const state = checkpoint?.state ?? { step: 0 };
      const own = { prepared, directory, model, ownsModel: !base, tuned, session };
      return new Trainer({ ...own, measuring, state, signal });
    } catch (error) {
      await cleanup.run();
      throw error;
    }
  }

  /** Memory by name in bytes, and the steps to come. */
  plan(): TrainPlan {
    return this.#prepared.plan;
  }

  /** What is trained on and in which steps, as rendered. */
  get data(): PreparedData {
    return this.#prepared.data;
  }

  get options(): TrainOptions {
    return this.#prepared.options;
  }

  /** Lives as long as the trainer: a Sampler on it answers with what is trained as it is between two steps. */
  get model(): Model {
    return this.#model;
  }

  /** Undefined with `method: 'full'`. */
  get adapter(): Adapter | undefined {
    return this.#tuned.adapter;
  }

  /** Steps done so far, over all resumptions. */
  get step(): number {
    return this.#state.step;
  }

  /** Starts the loop; may be called once. `run.done` settles whether or not anybody iterates. */
  start(): TrainRun {
    if (this.disposed) throw new MlitError('DISPOSED', 'trainer: start() after dispose()');
    if (this.#run)
      throw new MlitError(
        'RUN_INVALID',
        'trainer: start() was called before; create another trainer to go on',
      );
    this.#run = new TrainRun({
      options: this.#prepared.options,
      data: this.#prepared.data,
      directory: this.#directory,
      tuned: this.#tuned,
      session: this.#session,
      state: this.#state,
      microTokens: this.#prepared.chosen.microTokens,
      measuring: this.#measuring,
      events: new EventStream(),
      signal: this.#signal,
    });
    return this.#run;
  }

  get disposed(): boolean {
    return this.#disposing !== undefined;
  }

  /** Stops a run that goes on (its state is saved), then frees everything. Idempotent: every call waits for the end. */
  dispose(): Promise<void> {
    this.#disposing ??= this.#end();
    return this.#disposing;
  }

  /** The lock goes last and whatever fails before it, or nobody could resume the run while this process lives. */
  async #end(): Promise<void> {
    this.#run?.stop();
    await this.#run?.done.catch(() => undefined);
    try {
      await this.#measuring?.[Symbol.asyncDispose]();
      await this.#session.dispose();
      await this.#tuned.dispose();
      if (this.#ownsModel) await this.#model.dispose();
    } finally {
      await this.#directory.close();
    }
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

async function openMeasuring(
  evaluator: DevEvaluator | undefined,
  { options, data }: TrainingPrepared,
  model: Model,
  adapter: Adapter | undefined,
): Promise<DevMeasuring | undefined> {
  return options.select === 'loss' ? undefined : evaluator?.open(devContext(options, data), model, adapter);
}

function placesOf({ model, data, template }: TrainOptions): Partial<TrainOptions> {
  return { model, data, template };
}

/** What was `auto` when the run was started stays what it became, whatever would be chosen now. */
function asChosen({ options, chosen }: RunRecord): TrainOptionsInput {
  const { model, data } = options;
  return {
    ...optionsOfMethod(options),
    model,
    data,
    device: chosen.device,
    threads: chosen.threads,
    recompute: chosen.recompute,
  };
}

function refuseContradictions(recorded: TrainOptions, given: Partial<TrainOptionsInput>): void {
  const { mix, target } = given;
  const asKept = {
    ...given,
    ...(mix !== undefined && { mix: formatMixtureSpec(parseMixtureSpec(mix)) }),
    ...(target !== undefined && { target: canonicalTarget(target) }),
  };
  const foreign =
    recorded.method === 'full' ? LORA_OPTIONS.find((key) => given[key] !== undefined) : undefined;
  if (foreign !== undefined) throw new RangeError(`train options: ${withFull(foreign)}`);
  for (const [key, value] of Object.entries(asKept)) {
    const was = (recorded as Record<string, unknown>)[key];
    if (value === undefined || JSON.stringify(value) === JSON.stringify(was)) continue;
    throw new MlitError(
      'STATE_MISMATCH',
      `resume: ${key} is ${JSON.stringify(value)}, but the run was started with ${JSON.stringify(was)}; leave the option out`,
      { fields: { option: key } },
    );
  }
}

function refuseOtherChoices(recorded: RunChoices, now: RunChoices): void {
  const keys = [
    'device',
    'threads',
    'isa',
    'microTokens',
    'recompute',
    'baseDtype',
    'totalSteps',
    'modelIdentity',
    'dataHash',
  ] as const;
  for (const key of keys) {
    if (recorded[key] === now[key]) continue;
    if (key === 'modelIdentity')
      throw new MlitError(
        'STATE_MISMATCH',
        'resume: the model is not the one that the run was started with: its files have other bytes; put the old ones back, or start a new run',
        { fields: { field: key, expected: recorded[key], actual: now[key] } },
      );
    throw new MlitError(
      'STATE_MISMATCH',
      `resume: ${key} is now ${now[key]}, but was ${recorded[key]} when the run was started; the same data, model and machine kind are needed to go on`,
      { fields: { field: key, expected: recorded[key], actual: now[key] } },
    );
  }
}

/** Reading weights takes a while; what was planned and recorded has to be what was read. */
async function refuseReplaced({ source, chosen }: TrainingPrepared): Promise<void> {
  if ((await modelIdentity(source.path, source.kind)) === chosen.modelIdentity) return;
  throw new MlitError(
    'FILE_DAMAGED',
    `${source.path} was changed while it was being read; leave it alone until the run has begun, and start again`,
    { fields: { file: source.path } },
  );
}

/** Undoes in reverse order what a failed creation did. */
class AsyncStack {
  readonly #steps: (() => Promise<void>)[] = [];

  add(step: () => Promise<void>): void {
    this.#steps.push(step);
  }

  async run(): Promise<void> {
    for (const step of this.#steps.reverse()) await step().catch(() => undefined);
  }
}
