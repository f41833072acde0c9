// Many runs over one base. Each is a Trainer with a place in a session that they share; so many at once as fit, and when one
// ends, for whatever reason, the next begins.
import { readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { HubOptions } from '../model/hub/snapshot';
import { Model, toLoadOptions } from '../model/model';
import { isMlitError, MlitError } from '../native/errors';
import { refuseUnknownOptions } from '../text/options';
import type { DevEvaluator } from './evaluator';
import { EventStream, type TrainEvent } from './events';
import { bytesFor, type MultiPlan, openPlanned, planRuns, type RunShape, shapeOf } from './multi-plan';
import { resolveTrainOptions, type TrainOptionsInput } from './options';
import type { TrainResult, TrainRun } from './run';
import { refuseOccupied } from './run-directory';
import type { SharedSession } from './shared-session';
import { planTraining, Trainer, type TrainingPrepared } from './trainer';

/** One of the runs: every option of a run, and its folder. */
export type MultiTrainerRun = TrainOptionsInput & { out: string };

/** Runs that are trained together, and where. */
export interface MultiTrainerOptions {
  /** One adapter each. `model`, `device`, `threads`, `compute`, `baseDtype` and `recompute` have to be the same in all. */
  runs: readonly MultiTrainerRun[];
  /** Runs that are trained at the same time at most; the others wait for a place. `auto`: as many as fit into memory. Default `auto`. */
  atOnce?: number | 'auto' | undefined;
  /** Runs whose folder holds one go on from its newest checkpoint, the others begin. Default false: every folder is absent or empty. */
  resume?: boolean;
  /** The model, loaded already. It stays when the trainer is disposed. */
  base?: Model | undefined;
  /** ISO time that templates' clocks show. Default: when each run was started. */
  clock?: string | undefined;
  /** Measures the dev sets of runs whose `select` is not the loss, as `rougeEvaluator()` does. */
  evaluator?: DevEvaluator | undefined;
  signal?: AbortSignal | undefined;
  /** One line a person should read, and of which run it is. Default: nothing is said. */
  onNote?: ((note: string, run?: number) => void) | undefined;
  /** Fraction of the model loaded. */
  onLoad?: ((fraction: number) => void) | undefined;
  /** Told as bytes of a model of the hub arrive. */
  onFetch?: HubOptions['onFetch'];
}

/** What one of the runs says, or that it has begun or failed. `run` is its place in the list. */
export type MultiTrainEvent =
  | { run: number; type: 'begin'; step: number; steps: number }
  | { run: number; type: 'failed'; error: unknown }
  | ({ run: number } & TrainEvent);

/** How one of the runs ended. */
export interface MultiTrainResult {
  out: string;
  /** `failed`: it alone, see `error`. `waiting`: the others were stopped before it had a place. */
  reason: TrainResult['reason'] | 'failed' | 'waiting';
  result?: TrainResult;
  error?: unknown;
}

/** Options that make the base what it is, or the session that all share. */
const SHARED = ['model', 'device', 'threads', 'compute', 'baseDtype', 'recompute'] as const;

/** Options, plans and the base of runs to be trained together. */
export class MultiTrainer implements AsyncDisposable {
  readonly #options: MultiTrainerOptions;
  readonly #plan: MultiPlan;
  readonly #prepared: (TrainingPrepared | undefined)[];
  readonly #shared: SharedSession;
  readonly #ownsModel: boolean;
  #run: MultiTrainRun | undefined;
  #disposing: Promise<void> | undefined;

  private constructor(
    options: MultiTrainerOptions,
    plan: MultiPlan,
    prepared: TrainingPrepared[],
    shared: SharedSession,
  ) {
    this.#prepared = prepared;
    this.#options = options;
    this.#plan = plan;
    this.#shared = shared;
    this.#ownsModel = options.base === undefined;
  }

  /**
   * Plans all runs, refuses what is wrong with any of them, and loads the base. No run has begun then.
   *
   * @throws MlitError `RUN_INVALID`, `OUT_OF_MEMORY` (telling how many runs fit), and what models and data throw, with the run's folder
   * before the message
   * @throws RangeError / TypeError naming a wrong option
   */
  static async create(given: MultiTrainerOptions): Promise<MultiTrainer> {
    refuseUnknownOptions('MultiTrainer.create', given, {
      runs: true,
      atOnce: true,
      resume: true,
      base: true,
      clock: true,
      evaluator: true,
      signal: true,
      onNote: true,
      onLoad: true,
      onFetch: true,
    });
    const options = { ...given, onNote: given.onNote && once(given.onNote) };
    const { prepared, shapes, plan } = await planMultiTraining(options);
    const { source, chosen } = prepared[0]!;
    const model =
      options.base ??
      (await Model.load({
        model: source,
        device: chosen.device,
        threads: chosen.threads,
        baseDtype: chosen.baseDtype,
        compute: chosen.compute,
        signal: options.signal,
        onProgress: options.onLoad,
        onNote: options.onNote,
      }));
    try {
      return new MultiTrainer(options, plan, prepared, await openPlanned(model, shapes, plan));
    } catch (error) {
      if (!options.base) await model.dispose();
      throw error;
    }
  }

  /** Memory by name in bytes, how many runs at once, and the steps to come. */
  plan(): MultiPlan {
    return this.#plan;
  }

  /** Starts the runs; may be called once. `run.done` settles whether or not anybody iterates. */
  start(): MultiTrainRun {
    if (this.#disposing) throw new MlitError('DISPOSED', 'multi trainer: start() after dispose()');
    if (this.#run) throw new MlitError('RUN_INVALID', 'multi trainer: start() was called before');
    this.#run = new MultiTrainRun(this.#shared, this.#options, this.#plan.atOnce, this.#prepared);
    return this.#run;
  }

  /** Stops runs that go on (their states are saved), then frees everything. Idempotent: every call waits for the end. */
  dispose(): Promise<void> {
    this.#disposing ??= this.#end();
    return this.#disposing;
  }

  async #end(): Promise<void> {
    this.#run?.stop();
    await this.#run?.done.catch(() => undefined);
    await this.#shared.dispose();
    if (this.#ownsModel) await this.#shared.model.dispose();
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/**
 * What {@link MultiTrainer.create} finds out without loading weights.
 *
 * @throws as it does
 */
export async function planMultiTraining(
  options: MultiTrainerOptions,
): Promise<{ plan: MultiPlan; shapes: RunShape[]; prepared: TrainingPrepared[] }> {
  const { runs, base, atOnce = 'auto', resume = false, signal, onNote, onFetch, evaluator, clock } = options;
  if (atOnce !== 'auto' && !(Number.isInteger(atOnce) && atOnce >= 1))
    throw new RangeError(`atOnce: expected auto or a whole number from 1, got ${atOnce}`);
  refuseUnlike(runs);
  for (const { out } of runs) await refuseTaken(out, resume);
  const shapes: RunShape[] = [];
  const all: TrainingPrepared[] = [];
  for (const [index, { out, ...given }] of runs.entries()) {
    signal?.throwIfAborted();
    const like = base ?? all[0]?.chosen; // what `auto` comes to is found out once
    const input = like ? { ...given, device: like.device, compute: like.compute } : given;
    const note = onNote && ((text: string): void => onNote(text, index));
    const context = { signal, onNote: note, onFetch, evaluator, clock };
    const prepared = await planTraining(input, context).catch((error: unknown) => {
      throw named(error, out);
    });
    all.push(prepared);
    shapes.push(await shapeOf(out, prepared));
  }
  const { chosen, options: resolved, source } = all[0]!;
  const plan = await planRuns(shapes, {
    path: source.path,
    load: toLoadOptions({
      ...chosen,
      isa: 'auto',
      ...(base && { baseDtype: base.baseDtype, compute: base.compute }),
    }),
    atOnce,
    recompute: resolved.recompute,
    availableBytes: await bytesFor(chosen.device),
    heldBytes: base?.bytes,
  });
  // The data of those that begin at once is kept; the others' is read again when their turn comes.
  return { plan, shapes, prepared: all.slice(0, plan.atOnce) };
}

/** Runs under way: what they say, and a promise of how each ended. */
export class MultiTrainRun implements AsyncIterable<MultiTrainEvent> {
  readonly #shared: SharedSession;
  readonly #options: MultiTrainerOptions;
  readonly #prepared: (TrainingPrepared | undefined)[];
  readonly #events = new EventStream<MultiTrainEvent>();
  readonly #going = new Set<TrainRun>();
  #isStopped = false;

  /** Settles when all have ended; in the order of the runs. Rejects with the signal's reason where that stopped them. */
  readonly done: Promise<MultiTrainResult[]>;

  /** @internal */
  constructor(
    shared: SharedSession,
    options: MultiTrainerOptions,
    atOnce: number,
    prepared: (TrainingPrepared | undefined)[],
  ) {
    this.#shared = shared;
    this.#prepared = prepared;
    this.#options = options;
    const { signal } = options;
    const stop = (): void => this.stop();
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted) stop();
    this.done = this.#main(atOnce);
    this.done.catch(() => undefined).finally(() => signal?.removeEventListener('abort', stop));
  }

  /** Ends every run at its next step boundary with its state saved; those that wait do not begin. */
  stop(): void {
    this.#isStopped = true;
    for (const run of this.#going) run.stop();
  }

  /** Events from the oldest still kept; leaving the loop early stops the runs. */
  [Symbol.asyncIterator](): AsyncGenerator<MultiTrainEvent, void, void> {
    return this.#events.iterate(() => this.stop());
  }

  async #main(atOnce: number): Promise<MultiTrainResult[]> {
    const { runs, signal } = this.#options;
    const results: MultiTrainResult[] = runs.map(({ out }) => ({ out, reason: 'waiting' }));
    let next = 0;
    const seat = async (): Promise<void> => {
      while (next < runs.length && !this.#isStopped) {
        const index = next++;
        results[index] = await this.#one(index);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, seat));
    const cause =
      signal?.aborted && results.some(({ reason }) => reason !== 'finished' && reason !== 'failed');
    this.#events.close(cause ? signal.reason : undefined);
    if (cause) throw signal.reason;
    return results;
  }

  /** What goes wrong in a run is its own affair. */
  async #one(index: number): Promise<MultiTrainResult> {
    const { runs, resume = false, clock, evaluator, onNote } = this.#options;
    const { out } = runs[index]!;
    try {
      const planned = this.#prepared[index];
      this.#prepared[index] = undefined; // whoever trains on it holds it
      await using trainer = await Trainer.createIn(
        this.#shared,
        {
          ...runs[index]!,
          resume: resume && (await holdsRun(out)),
          clock,
          evaluator,
          onNote: onNote && ((note) => onNote(note, index)),
        },
        planned,
      );
      const run = trainer.start();
      this.#going.add(run);
      if (this.#isStopped) run.stop();
      this.#events.push({ run: index, type: 'begin', step: trainer.step, steps: trainer.plan().steps });
      try {
        for await (const event of run) this.#events.push({ run: index, ...event });
        const result = await run.done;
        return { out, reason: result.reason, result };
      } finally {
        this.#going.delete(run);
      }
    } catch (error) {
      this.#events.push({ run: index, type: 'failed', error });
      return { out, reason: 'failed', error };
    }
  }
}

function refuseUnlike(runs: readonly MultiTrainerRun[]): void {
  if (runs.length === 0) throw new RangeError('runs: expected at least one run, got none');
  const places = new Map<string, number>();
  const [first, ...others] = runs.map(({ out, ...input }, index) => {
    if (typeof out !== 'string' || out === '')
      throw new RangeError(`runs[${index}].out: is needed: the run's folder`);
    const place = resolve(out);
    if (places.has(place))
      throw new RangeError(
        `runs[${index}].out: ${out} is the folder of runs[${places.get(place)}] too; give each run one of its own`,
      );
    places.set(place, index);
    return resolveRun(input, index);
  });
  for (const [index, options] of [first!, ...others].entries()) {
    if (options.method === 'full')
      throw new RangeError(
        `runs[${index}].method: is full, which changes the base that all runs share; train it alone`,
      );
    for (const key of SHARED) {
      if (options[key] === first![key]) continue;
      throw new RangeError(
        `runs[${index}].${key}: is ${options[key]}, but ${first![key]} in runs[0]; runs over one base have it in common`,
      );
    }
  }
}

function resolveRun(input: TrainOptionsInput, index: number): ReturnType<typeof resolveTrainOptions> {
  try {
    return resolveTrainOptions(input);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new RangeError(error.message.replace(/^train options: /, `runs[${index}].`), { cause: error });
  }
}

/** A run's data is read when it is planned and again when it begins; what is remarked of it is told once. */
function once(onNote: NonNullable<MultiTrainerOptions['onNote']>): MultiTrainerOptions['onNote'] {
  const told = new Set<string>();
  return (note, run) => {
    const key = `${run} ${note}`;
    if (!told.has(key)) onNote(note, run);
    told.add(key);
  };
}

const entriesOf = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);

const holdsRun = async (folder: string): Promise<boolean> => (await entriesOf(folder)).includes('run.yaml');

/** Found out now rather than when the run's turn comes. */
async function refuseTaken(out: string, resume: boolean): Promise<void> {
  if (resume && (await holdsRun(out))) return;
  refuseOccupied(out, await entriesOf(out));
}

/** The error of one run, with its folder before it. */
function named(error: unknown, out: string): unknown {
  if (isMlitError(error))
    return new MlitError(error.code, `${out}: ${error.message}`, {
      fields: { ...error.fields, out },
      cause: error,
    });
  if (error instanceof RangeError) return new RangeError(`${out}: ${error.message}`, { cause: error });
  return error;
}
