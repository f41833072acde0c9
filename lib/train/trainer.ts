// A training run from options to its result. The loop is in sight in run.ts; here everything that can be known before the first
// step is found out: data, order, memory, and where a resumed run goes on.
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { formatMixtureSpec, parseMixtureSpec } from '../data/mixture';
import { type Adapter, canonicalTarget } from '../model/adapter';
import { chooseCompute, describeChoice, deviceFor } from '../model/compute';
import type { HubOptions } from '../model/hub/snapshot';
import { pinHubModel } from '../model/hub-model';
import { Model } from '../model/model';
import { type ModelSource, resolveModel } from '../model/source';
import { modelIdentity } from '../model/weight-files';
import { loadAddon } from '../native/addon';
import { MlitError } from '../native/errors';
import type { WeightFormat } from '../native/types';
import { packageVersion } from '../native/version';
import { type OptionNames, refuseUnknownOptions } from '../text/options';
import { type Checkpoint, latestCheckpoint, type TrainerState } from './checkpoint';
import type { DevEvaluator, DevMeasuring } from './evaluator';
import { EventStream } from './events';
import { adoptInitAdapter } from './init-adapter';
import {
  LORA_OPTIONS,
  ONLY_OF_LORA,
  optionsOfMethod,
  overruled,
  refuseIdleOptions,
  resolveTrainOptions,
  type TrainOptions,
  type TrainOptionsInput,
  trainFields,
} from './options';
import { checkMemory, devContext, planRun, type TrainPlan } from './plan';
import type { PreparedData } from './prepare';
import { prepareData } from './prepare';
import { type ProfileOptions, Profiler } from './profiler';
import type { Ranks } from './ranks';
import { compareRanks, TrainRun } from './run';
import { type RunChoices, RunDirectory, type RunRecord, readRunRecord } from './run-directory';
import { type RunSession, TrainingSession } from './session';
import type { SharedSession } from './shared-session';
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
  /**
   * The processes that train together, as {@link Ranks.join} makes them: every one of them creates a trainer with the same options.
   * Only the first writes to `out`; to resume, all have to see it. They stay joined when the trainer is disposed. Default: this
   * process alone.
   */
  ranks?: Ranks | undefined;
  /**
   * Takes the steps apart: the result says where their time went, and a trace is written where a file is named. The run's bits stay
   * what they are. On a card it is slower. Not with `base`, nor with ranks on cards. Default: off.
   */
  profile?: boolean | ProfileOptions | undefined;
  signal?: AbortSignal | undefined;
  /** One line a person should read: what was recognised, cut, chosen. Default: nothing is said. */
  onNote?: ((note: string) => void) | undefined;
  /** Fraction of the model loaded. */
  onLoad?: ((fraction: number) => void) | undefined;
  /** Told as bytes of a model of the hub arrive. */
  onFetch?: HubOptions['onFetch'];
};

const TRAINER_OPTIONS: OptionNames<TrainerOptions> = {
  ...trainFields.shape,
  out: true,
  resume: true,
  relocate: true,
  base: true,
  clock: true,
  evaluator: true,
  ranks: true,
  profile: true,
  signal: true,
  onNote: true,
  onLoad: true,
  onFetch: true,
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
    /** Of which this process is one; memory is planned for its share. */
    ranks?: Ranks | undefined;
    /** A card's name as `mlit plan --device` takes it, to plan for instead of the options' device: it need not be there. */
    card?: string | undefined;
  } = {},
): Promise<TrainingPrepared> {
  refuseUnknownOptions('planTraining', context, {
    signal: true,
    onNote: true,
    onFetch: true,
    startedAt: true,
    clock: true,
    evaluator: true,
    ranks: true,
    modelCommit: true,
    card: true,
  });
  const options = await adoptInitAdapter(resolveTrainOptions(input), input);
  const { modelCommit, signal, onNote, onFetch, evaluator, ranks } = context;
  const asked = ranks?.device(options.device) ?? options.device;
  const device = context.card ?? loadAddon().resolveDevice(deviceFor({ ...options, device: asked }), 'auto');
  refuseIdleOptions(options);
  if (context.startedAt === undefined) for (const note of overruled(input)) onNote?.(note);
  refuseRoundedWeights(options, device);
  if (options.select !== 'loss' && evaluator?.measures !== options.select)
    throw new RangeError(
      `train options: select is ${options.select}, which needs an evaluator that measures it`,
    );
  const name = modelCommit === undefined ? options.model : pinHubModel(options.model, modelCommit);
  const source = await resolveModel(name, { signal, onNote, onFetch });
  const startedAt = context.startedAt ?? new Date().toISOString();
  const data = await prepareData(options, source, { ...context, clock: context.clock ?? startedAt });
  context.signal?.throwIfAborted();
  const choice = await chooseCompute({ ...options, device, full: options.method === 'full' });
  const trial = describeChoice(choice);
  if (trial !== undefined) onNote?.(trial);
  const { compute } = choice;
  const baseDtype = compute === 'int8' ? 'int8' : await chooseBaseDtype(options, source.path, device);
  const { plan, microTokens, recompute } = await planRun(
    { ...options, device, baseDtype, compute },
    source,
    data,
    evaluator,
    ranks,
  );
  const doctor = loadAddon().doctor();
  const chosen: RunChoices = {
    version: packageVersion,
    threads:
      options.threads === 'auto'
        ? (ranks?.threads(doctor.cpu.usableProcessors) ?? doctor.cpu.usableProcessors)
        : options.threads,
    device,
    isa: (device === 'cpu' && doctor.cpu.isas.find((isa) => isa.usable)?.name) || 'none',
    microTokens,
    recompute,
    baseDtype,
    compute,
    totalSteps: data.steps.length,
    modelIdentity: await modelIdentity(source.path, source.kind),
    ...(source.commit !== undefined && { modelCommit: source.commit }),
    dataHash: data.hash,
    startedAt,
  };
  return { options, chosen, data, plan, source };
}

/**
 * What `auto` comes to. Weights that are trained are float32 beside the model; the model itself keeps them as its device multiplies
 * them, so on the processor not as a bf16 file has them.
 */
async function chooseBaseDtype(
  { baseDtype, method }: TrainOptions,
  path: string,
  device: string,
): Promise<WeightFormat> {
  if (baseDtype !== 'auto') return baseDtype;
  if (method === 'full' && device === 'cpu') return 'f32';
  return loadAddon().automaticFormat(path, device);
}

function refuseRoundedWeights({ method, baseDtype }: TrainOptions, device: string): void {
  if (method !== 'full' || baseDtype !== 'bf16' || device !== 'cpu') return;
  throw new RangeError(
    'train options: baseDtype is bf16, but full tuning on the processor needs the weights in f32; leave it out',
  );
}

/** A training run from options to adapter: data, plan, checkpoints, dev set. */
export class Trainer implements AsyncDisposable {
  readonly #prepared: TrainingPrepared;
  readonly #directory: RunDirectory | undefined;
  readonly #ranks: Ranks | undefined;
  readonly #model: Model;
  readonly #ownsModel: boolean;
  readonly #tuned: Tuned;
  readonly #session: RunSession;
  readonly #measuring: DevMeasuring | undefined;
  readonly #profiler: Profiler | undefined;
  readonly #state: TrainerState;
  readonly #clock: () => number;
  readonly #signal: AbortSignal | undefined;
  #run: TrainRun | undefined;
  #disposing: Promise<void> | undefined;

  private constructor(parts: {
    prepared: TrainingPrepared;
    directory: RunDirectory | undefined;
    ranks: Ranks | undefined;
    model: Model;
    ownsModel: boolean;
    tuned: Tuned;
    session: RunSession;
    measuring: DevMeasuring | undefined;
    profiler: Profiler | undefined;
    state: TrainerState;
    clock: () => number;
    signal: AbortSignal | undefined;
  }) {
    this.#prepared = parts.prepared;
    this.#directory = parts.directory;
    this.#ranks = parts.ranks;
    this.#model = parts.model;
    this.#ownsModel = parts.ownsModel;
    this.#tuned = parts.tuned;
    this.#session = parts.session;
    this.#measuring = parts.measuring;
    this.#profiler = parts.profiler;
    this.#state = parts.state;
    this.#clock = parts.clock;
    this.#signal = parts.signal;
  }

  /**
   * Makes a run ready: data rendered, memory checked against the plan, weights loaded, checkpoint restored.
   *
   * @throws MlitError `RUN_INVALID`, `RUN_LOCKED`, `STATE_MISMATCH`, `OUT_OF_MEMORY`, and what models and data throw; with ranks
   * also `RANKS_DIFFER`, `RANK_LOST`
   * @throws RangeError / TypeError naming a wrong option
   */
  static async create(options: TrainerOptions): Promise<Trainer> {
    try {
      return await Trainer.#make(options);
    } catch (error) {
      await options.ranks?.announce(error);
      throw error;
    }
  }

  /**
   * @internal A run among others over one base: it has a place in their session, and that one's model. `planned`: what planTraining made of the same
   * options, for a run that does not resume.
   */
  static createIn(
    shared: SharedSession,
    options: Omit<TrainerOptions, 'base' | 'ranks'>,
    planned?: TrainingPrepared,
  ): Promise<Trainer> {
    return Trainer.#make({ ...options, base: shared.model }, shared, planned);
  }

  static async #make(
    options: TrainerOptions,
    shared?: SharedSession,
    planned?: TrainingPrepared,
  ): Promise<Trainer> {
    const {
      ranks,
      out,
      resume = false,
      relocate = false,
      base,
      clock,
      evaluator,
      profile = false,
      signal,
      onNote,
      onLoad,
      onFetch,
      ...input
    } = options;
    refuseUnknownOptions('Trainer.create', options, TRAINER_OPTIONS);
    signal?.throwIfAborted();
    const writes = ranks === undefined || ranks.rank === 0;
    const startedAt = await agreeOnOptions(ranks, { ...input, resume, relocate, clock });
    const record = resume ? await readRunRecord(out) : undefined;
    const started = record?.options.model;
    if (!record) for (const note of overruled(input)) onNote?.(note);
    if (record && relocate) Object.assign(record.options, placesOf(resolveTrainOptions(input)));
    if (record) refuseContradictions(record.options, input);
    const isSameName = record?.options.model === started;
    const context = {
      signal,
      onNote,
      onFetch,
      clock,
      evaluator,
      ranks,
      startedAt: record?.chosen.startedAt ?? startedAt,
      ...(record && isSameName && { modelCommit: record.chosen.modelCommit }),
    };
    const wanted = record ? asChosen(record, ranks) : input;
    const prepared =
      (record ? undefined : planned) ??
      (await planTraining(
        base ? { ...wanted, device: base.device, compute: base.compute } : wanted,
        context,
      ));
    if (base) Object.assign(prepared.chosen, { baseDtype: base.baseDtype, compute: base.compute });
    if (record && writes) refuseOtherChoices(record.chosen, prepared.chosen, prepared.source.path);
    if (record) {
      // As the run was asked for: the model card of a resumed run is that of one that nobody touched.
      const { device, threads, recompute, compute } = record.options;
      prepared.options = { ...prepared.options, device, threads, recompute, compute };
    }
    const full = prepared.options.method === 'full';
    if (full && base) {
      throw new RangeError(
        "train options: base was given, but with method full the run changes the model's weights and needs one of its own; leave base out",
      );
    }
    if (profile && base) {
      throw new RangeError(
        'train options: profile was given, but it needs a model of its own to watch; leave base out',
      );
    }
    if (profile && ranks && prepared.chosen.device !== 'cpu') {
      throw new RangeError(
        'train options: profile was given, but ranks on cards go too closely together to be watched; train in one process',
      );
    }
    if (!shared) checkMemory(prepared.plan, base?.bytes);
    await agreeOnChoices(ranks, prepared.chosen);

    const cleanup = new AsyncStack();
    try {
      const directory = writes ? await RunDirectory.open(out, resume, onNote) : undefined;
      if (directory) cleanup.add(() => (resume ? directory.close() : directory.discard()));
      // The first opens it, and removes what a killed run left half written, before the others look.
      const newest = async (): Promise<Checkpoint | undefined> =>
        resume ? latestCheckpoint(join(out, 'checkpoints')) : undefined;
      const opened = writes ? await newest() : undefined;
      await ranks?.gather('the opening of the run', null);
      const checkpoint = writes ? opened : await newest();
      if (!resume) await directory?.writeRecord({ options: prepared.options, chosen: prepared.chosen });
      await directory?.writeMixture(prepared.data.mixture);
      const model =
        base ??
        (await Model.load({
          model: prepared.source,
          device: prepared.chosen.device,
          threads: prepared.chosen.threads,
          baseDtype: prepared.chosen.baseDtype,
          compute: prepared.chosen.compute,
          profile: profile !== false,
          signal,
          onProgress: onLoad,
          onNote,
        }));
      if (!base) cleanup.add(() => model.dispose());
      if (!base) await refuseReplaced(prepared);
      if (ranks && prepared.chosen.device !== 'cpu') {
        const why = await ranks.useCards(prepared.chosen.device);
        onNote?.(
          why ? `gradients go through the hosts' memory: ${why}` : 'gradients go from card to card by NCCL',
        );
      }
      const tuned = await makeTuned(model, prepared.options, onNote, () => refuseExchanged(prepared));
      cleanup.add(() => tuned.dispose());
      const { seed } = prepared.options;
      const place = shared && tuned.adapter && (await shared.open(tuned.adapter, seed));
      const session =
        place ??
        (await TrainingSession.create({
          model,
          ...(tuned.adapter ? { adapters: [tuned.adapter] } : { full }),
          microTokens: prepared.plan.largestBatch.tokens,
          maxTargets: prepared.plan.largestBatch.targets,
          recompute: prepared.chosen.recompute,
          seed,
          ranks,
        }));
      cleanup.add(() => session.dispose());
      if (checkpoint) await session.loadState(`${checkpoint.path}/state.safetensors`);
      const measuring = writes ? await openMeasuring(evaluator, prepared, model, tuned.adapter) : undefined;
      if (measuring) cleanup.add(async () => measuring[Symbol.asyncDispose]());
      const state = checkpoint?.state ?? { step: 0 };
      if (ranks) {
        ranks.refuseDifferent(
          'the step of the newest checkpoint',
          await ranks.gather('the start', state.step),
        );
        await compareRanks(ranks, tuned, state.step);
      }
      const { isa, threads } = prepared.chosen;
      const profiler = profile
        ? new Profiler(model, { isa, threads }, profile === true ? {} : profile)
        : undefined;
      const own = { profiler, prepared, directory, ranks, model, ownsModel: !base, tuned, session };
      const time = place ? () => place.now() : () => performance.now();
      return new Trainer({ ...own, measuring, state, clock: time, signal });
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

  /** @internal Milliseconds since the run has a place among others, its share of them. */
  time(): number {
    return this.#clock();
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
      ranks: this.#ranks,
      tuned: this.#tuned,
      session: this.#session,
      state: this.#state,
      microTokens: this.#prepared.chosen.microTokens,
      measuring: this.#measuring,
      profiler: this.#profiler,
      events: new EventStream(),
      clock: this.#clock,
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
      await this.#directory?.close();
    }
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** Options that another machine may have otherwise: what they lead to is compared, and threads change no bits. */
const OF_A_MACHINE = ['model', 'data', 'template', 'initAdapter', 'threads', 'device'];

/** When the run starts, by the first rank's clock; options are compared by the way. */
async function agreeOnOptions(ranks: Ranks | undefined, given: Record<string, unknown>): Promise<string> {
  const now = new Date().toISOString();
  if (!ranks) return now;
  const isCompared = ([key, value]: [string, unknown]): boolean =>
    !OF_A_MACHINE.includes(key) && !(key === 'dev' && typeof value === 'string');
  const own = Object.fromEntries(Object.entries(given).filter(isCompared));
  const all = await ranks.gather('the options', { options: own, now });
  const keys = new Set(all.flatMap(({ options }) => Object.keys(options)));
  for (const key of keys)
    ranks.refuseDifferent(
      `option ${key}`,
      all.map(({ options }) => options[key]),
    );
  return all[0]!.now;
}

/** What every rank found by itself has to be one thing. */
async function agreeOnChoices(ranks: Ranks | undefined, chosen: RunChoices): Promise<void> {
  if (!ranks) return;
  const { dataHash, modelIdentity, microTokens, totalSteps, baseDtype, compute, isa } = chosen;
  const device = chosen.device.replace(/:\d+$/, '');
  const facts: Record<string, string | number> = {
    'the model (by its files)': modelIdentity,
    'the data (by the SHA-256 of what was rendered of it)': dataHash,
    microTokens,
    totalSteps,
    baseDtype,
    compute,
    'the kind of device': device,
    'the instruction set': isa,
  };
  const all = await ranks.gather('the data and the model', facts);
  for (const what of Object.keys(facts))
    ranks.refuseDifferent(
      what,
      all.map((each) => each[what]),
    );
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
function asChosen({ options, chosen }: RunRecord, ranks: Ranks | undefined): TrainOptionsInput {
  const { model, data } = options;
  // The number of the first rank's card means nothing to the others.
  const device = ranks ? chosen.device.replace(/:\d+$/, '') : chosen.device;
  return {
    ...optionsOfMethod(options),
    model,
    data,
    device,
    threads: chosen.threads,
    recompute: chosen.recompute,
    compute: chosen.compute,
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
  if (foreign !== undefined) throw new RangeError(`train options: ${foreign} ${ONLY_OF_LORA}`);
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

function refuseOtherChoices(recorded: RunChoices, now: RunChoices, model: string): void {
  const keys = [
    'device',
    'threads',
    'isa',
    'microTokens',
    'recompute',
    'baseDtype',
    'compute',
    'totalSteps',
    'modelIdentity',
    'dataHash',
  ] as const;
  for (const key of keys) {
    if (recorded[key] === now[key]) continue;
    if (key === 'modelIdentity')
      throw new MlitError(
        'STATE_MISMATCH',
        `resume: ${model} is not the model that the run was started with: its files have other bytes; put the old ones back, or start a new run`,
        { fields: { field: key, file: model, expected: recorded[key], actual: now[key] } },
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

/** Of full tuning, which writes what its model's folder says of it beside the weights. */
async function refuseExchanged({ source, chosen }: TrainingPrepared): Promise<void> {
  if ((await modelIdentity(source.path, source.kind)) === chosen.modelIdentity) return;
  throw new MlitError(
    'FILE_DAMAGED',
    `${source.path} was changed while the run went on, and what it says of the model is written beside the weights; put the old files back and go on by --resume: the state is saved`,
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
