// The loop. A step is: pack its examples into micro-batches, accumulate their gradients, one optimiser step, one event; then,
// where due, score the dev set and save. Everything that happens in a training run happens in this order, here.
import { createHash } from 'node:crypto';
import { copyFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { dealExamples, type PackedBatch, packExamples } from '../data/packing';
import type { RenderedExample } from '../data/render';
import { MlitError } from '../native/errors';
import { writeFileAtomic } from '../native/files';
import {
  type BestSoFar,
  bestPath,
  MANIFEST,
  saveBest,
  saveCheckpoint,
  type TrainerState,
} from './checkpoint';
import { devScores, sumDev } from './dev';
import type { DevMeasuring } from './evaluator';
import type { EvalEvent, EventStream, StepEvent, TrainEvent } from './events';
import { modelCard } from './model-card';
import type { TrainOptions } from './options';
import type { PreparedData } from './prepare';
import type { Profiler, TrainProfile } from './profiler';
import type { Ranks } from './ranks';
import type { RunDirectory } from './run-directory';
import { learningRateAt } from './schedule';
import type { RunSession } from './session';
import type { Tuned } from './tuned';

/** How a run ended. */
export interface TrainResult {
  /** `stopped`: by the caller; the state is saved and the run can be resumed. */
  reason: 'finished' | 'stopped';
  step: number;
  /** The PEFT folder; only when finished, and not of full tuning. */
  adapter: string | undefined;
  /** The tuned model's Hugging Face folder; only when finished, and only of full tuning. */
  model: string | undefined;
  best: BestSoFar | undefined;
  /** Whether patience ended the run before its last step. */
  early: boolean;
  /** Where the time of this process's steps went, where that was asked for. */
  profile?: TrainProfile;
}

export interface TrainRunParts {
  options: TrainOptions;
  data: PreparedData;
  /** Undefined on every rank but the first: one process writes. */
  directory: RunDirectory | undefined;
  /** Undefined where this process trains alone. */
  ranks: Ranks | undefined;
  tuned: Tuned;
  session: RunSession;
  state: TrainerState;
  microTokens: number;
  /** Where the adapter is not chosen by the loss. */
  measuring: DevMeasuring | undefined;
  /** Undefined where nobody asked where the time goes. */
  profiler: Profiler | undefined;
  events: EventStream;
  /** Milliseconds; of a run among others, its share of the time. */
  clock: () => number;
  signal: AbortSignal | undefined;
}

/** A micro-batch with the examples in it, in the order of its documents. */
interface MicroBatch {
  batch: PackedBatch;
  examples: RenderedExample[];
}

/** What a rank's share of a step came to. */
interface StepShare {
  loss: number;
  weight: number;
  tokens: number;
  supervisedTokens: number;
  /** A loss that is not finite, and the records that were computed. */
  failed?: { message: string; ids: string[] };
}

/** A run under way: its events, and a promise of its result. */
export class TrainRun implements AsyncIterable<TrainEvent> {
  readonly #parts: TrainRunParts;
  readonly #halt = new AbortController();
  /** Aborted by {@link stop} or by the caller's signal, on which nothing listens: many runs may have the same. */
  readonly #stopped: AbortSignal;

  /** Settles when the run ends, also when nobody iterates. Rejects with what went wrong, or with the signal's reason. */
  readonly done: Promise<TrainResult>;

  /** @internal */
  constructor(parts: TrainRunParts) {
    this.#parts = parts;
    const { signal } = this.#halt;
    this.#stopped = parts.signal ? AbortSignal.any([parts.signal, signal]) : signal;
    this.done = this.#main();
    this.done.catch(() => undefined); // nobody must await it
  }

  /** Ends the run at the next step boundary with the state saved, also before a dev score that is under way. */
  stop(): void {
    this.#halt.abort();
  }

  /** Events from the oldest still kept; leaving the loop early stops the run at a step boundary. */
  [Symbol.asyncIterator](): AsyncGenerator<TrainEvent, void, void> {
    return this.#parts.events.iterate(() => this.stop());
  }

  async #main(): Promise<TrainResult> {
    const { events, directory, ranks, signal, profiler } = this.#parts;
    let together = false;
    try {
      const { step, evalDue = false } = this.#parts.state;
      await directory?.openEvents(step, evalDue);
      await profiler?.begin();
      const result = await this.#loop();
      await this.#say({
        type: 'end',
        step: result.step,
        reason: result.reason,
        ...(result.early && { early: true }),
        ...(result.adapter !== undefined && { adapter: result.adapter }),
        ...(result.model !== undefined && { model: result.model }),
      });
      if (result.reason === 'finished')
        await directory?.recordEnd({ step: result.step, early: result.early, best: result.best });
      await directory?.close();
      await ranks?.gather('the end', result.reason); // nobody leaves before everything is written
      together = true;
      if (profiler) result.profile = await profiler.finish();
      if (result.reason === 'stopped') signal?.throwIfAborted();
      events.close();
      return result;
    } catch (error) {
      await directory?.close().catch(() => undefined);
      if (!together) await ranks?.announce(error);
      events.close(error);
      throw error;
    }
  }

  async #loop(): Promise<TrainResult> {
    const { options, data, state, session } = this.#parts;
    const total = data.steps.length;
    const pack = (done: number): MicroBatch[] => this.#timed('packing', () => this.#pack(done));
    let next = state.step < total ? pack(state.step) : [];
    while (!this.#isOver()) {
      if (await this.#isStopping()) {
        await this.#save();
        return this.#result('stopped', undefined);
      }
      if (!state.evalDue) {
        const current = next;
        const step = state.step + 1;
        const take = (): Promise<StepEvent> =>
          this.#step(step, current, () => {
            next = step < total ? pack(step) : [];
          });
        const event = await (this.#parts.profiler?.step(take) ?? take());
        state.step = step;
        await this.#say(event);
        if (this.#isDevScored(step)) state.evalDue = true;
      }
      if (state.evalDue && !(await this.#timed('dev scores', () => this.#evaluate()))) continue;
      if (this.#isOver() || (options.saveEvery > 0 && state.step % options.saveEvery === 0))
        await this.#save();
    }
    if (session.stepCount() !== state.step) {
      throw new MlitError(
        'INTERNAL',
        `the session counts ${session.stepCount()} steps, the loop ${state.step}`,
      );
    }
    return this.#result('finished', await this.#publish());
  }

  #timed<T>(name: string, work: () => T): T {
    const { profiler } = this.#parts;
    return profiler ? profiler.time(name, work) : work();
  }

  /** A stop that one rank was asked for stops all, at the same step. */
  async #isStopping(): Promise<boolean> {
    const asked = this.#stopped.aborted;
    const { ranks, state } = this.#parts;
    if (!ranks) return asked;
    return (await ranks.gather(`the beginning of step ${state.step + 1}`, asked)).includes(true);
  }

  #isOver(): boolean {
    const { options, data, state } = this.#parts;
    if (state.evalDue) return false;
    const impatient = options.patience > 0 && (state.sinceBest ?? 0) >= options.patience;
    return impatient || state.step === data.steps.length;
  }

  #isDevScored(step: number): boolean {
    const { options, data } = this.#parts;
    if (data.dev.length === 0) return false;
    return step === data.steps.length || (options.evalEvery > 0 && step % options.evalEvery === 0);
  }

  /** One optimiser step; `meanwhile` runs while the first micro-batch is being computed. */
  async #step(step: number, microBatches: readonly MicroBatch[], meanwhile: () => void): Promise<StepEvent> {
    const { options, data, session, ranks, clock } = this.#parts;
    const started = clock();
    const { schedule, learningRate: peak, warmupSteps } = options;
    const totalSteps = data.steps.length;
    const learningRate = learningRateAt(step, { schedule, learningRate: peak, warmupSteps, totalSteps });
    const own = await this.#computeShare(microBatches, meanwhile);
    const shares = ranks ? await ranks.gather(`step ${step}`, own) : [own];
    const failed = shares.find((share) => share.failed)?.failed;
    if (failed) await this.#refuse(step, failed.message, failed.ids);
    const total = shares.reduce((sum, share) => ({
      loss: sum.loss + share.loss,
      weight: sum.weight + share.weight,
      tokens: sum.tokens + share.tokens,
      supervisedTokens: sum.supervisedTokens + share.supervisedTokens,
    }));
    const { weightDecay, maxGradNorm } = options;
    const updating = session.optimStep({
      learningRate,
      weightDecay,
      maxGradNorm,
      totalWeight: total.weight,
    });
    const { gradNorm } = await updating.catch((error) => {
      if (!isNotFinite(error)) throw error;
      return this.#refuse(
        step,
        error.message,
        this.#examplesOf(step).map(({ id }) => id),
        error,
      );
    });
    const { tokens, supervisedTokens } = total;
    const seconds = (clock() - started) / 1000;
    return {
      type: 'step',
      step,
      loss: total.loss / total.weight,
      learningRate,
      gradNorm,
      tokens,
      supervisedTokens,
      seconds,
      tokensPerSecond: tokens / seconds,
      ...(ranks && { ranks: ranks.size }),
    };
  }

  /** Gradients of this rank's micro-batches, up to the first loss that is not finite. */
  async #computeShare(microBatches: readonly MicroBatch[], meanwhile: () => void): Promise<StepShare> {
    const share: StepShare = { loss: 0, weight: 0, tokens: 0, supervisedTokens: 0 };
    if (microBatches.length === 0) meanwhile();
    for (const [index, { batch, examples }] of microBatches.entries()) {
      const computing = this.#parts.session.forwardBackward(batch, {
        next: microBatches[index + 1]?.batch,
      });
      if (index === 0) meanwhile();
      try {
        const sums = await computing;
        share.loss += sums.loss;
        share.weight += sums.weight;
      } catch (error) {
        if (!isNotFinite(error)) throw error;
        return { ...share, failed: { message: error.message, ids: examples.map(({ id }) => id) } };
      }
      share.tokens += batch.tokens.length;
      for (const value of batch.weights) if (value !== 0) share.supervisedTokens++;
    }
    return share;
  }

  /** A loss or gradient that is not finite ends the run, on all ranks, with the last good state saved and the records named. */
  async #refuse(step: number, message: string, ids: string[], cause?: unknown): Promise<never> {
    const { session, ranks } = this.#parts;
    await session.zeroGradients();
    await this.#save();
    const error = new MlitError(
      'NOT_FINITE',
      `step ${step}: ${message}; records: ${ids.join(', ')}. The state after step ${step - 1} is saved. Lower the learning rate, or look at these records.`,
      { fields: { step, ids }, cause },
    );
    throw ranks?.shared(error) ?? error;
  }

  #examplesOf(step: number): RenderedExample[] {
    const { data } = this.#parts;
    return data.steps[step - 1]!.map((at) => data.train[at]!);
  }

  /** This rank's micro-batches of the step after `done` steps. */
  #pack(done: number): MicroBatch[] {
    const { microTokens } = this.#parts;
    const all = this.#examplesOf(done + 1);
    const records = this.#shareOf(all);
    const examples = records.map((record) => all[record]!);
    return packExamples(examples, { microTokens, records }).map(({ batch, members }) => ({
      batch,
      examples: members.map((member) => examples[member]!),
    }));
  }

  /** Indices of the examples that this rank computes. */
  #shareOf(examples: readonly RenderedExample[]): number[] {
    const { ranks } = this.#parts;
    return dealExamples(examples, ranks?.size ?? 1)[ranks?.rank ?? 0]!;
  }

  /** False where the run was stopped before the score was there; it is still due then. */
  async #evaluate(): Promise<boolean> {
    const { options, data, state, session, microTokens, measuring, directory, tuned, clock } = this.#parts;
    const started = clock();
    const share = this.#shareOf(data.dev).map((at) => data.dev[at]!);
    const sums = await this.#unlessStopped('the dev score', (signal) =>
      sumDev(session, share, microTokens, signal),
    );
    // Responses are measured by the first rank alone.
    const measures =
      sums && (await this.#unlessStopped('the dev responses', (signal) => measuring?.measure(signal)));
    if (!sums || !measures) return false;
    const measure = measures[0];
    const scores: Omit<EvalEvent, 'type' | 'step' | 'best'> = {
      ...devScores(sums.map((part) => part ?? {})),
      ...(measure && { rougeL: measure.value, rougeLByLanguage: measure.byLanguage }),
      ...(measure?.answers && { answers: measure.answers }),
      seconds: (clock() - started) / 1000,
    };
    const { loss, rougeL } = scores;
    const now: BestSoFar = { step: state.step, loss, ...(rougeL !== undefined && { rougeL }) };
    const best = state.best === undefined || isBetter(now, state.best);
    if (best) {
      if (directory) {
        const saving = saveBest(directory.checkpoints, state.step, (folder) => tuned.save(folder));
        await saving.catch(async (error: unknown) => {
          // What failed is told; where it can, a run of one process goes on from here.
          if (!this.#parts.ranks) await this.#save().catch(() => undefined);
          throw error;
        });
      }
      state.best = now;
    }
    state.sinceBest = best ? 0 : (state.sinceBest ?? 0) + 1;
    delete state.evalDue;
    const patience = options.patience > 0 && { sinceBest: state.sinceBest };
    await this.#say({ type: 'eval', step: state.step, best, ...scores, ...patience });
    return true;
  }

  /** What every rank's work came to; undefined where one of them was stopped in it. */
  async #unlessStopped<T>(
    what: string,
    work: (signal: AbortSignal) => Promise<T> | undefined,
  ): Promise<(T | undefined)[] | undefined> {
    const { ranks, state } = this.#parts;
    const signal = this.#stopped;
    let own: { stopped: boolean; value?: T | undefined };
    try {
      own = { stopped: false, value: await work(signal) };
    } catch (error) {
      if (!signal.aborted) throw error;
      own = { stopped: true };
    }
    const all = ranks ? await ranks.gather(`${what} after step ${state.step}`, own) : [own];
    return all.some(({ stopped }) => stopped) ? undefined : all.map(({ value }) => value);
  }

  async #save(): Promise<void> {
    const { directory, ranks, tuned, state, session, options } = this.#parts;
    if (ranks) await compareRanks(ranks, tuned, state.step);
    if (!directory) return;
    const path = await this.#timed('checkpoint', () =>
      saveCheckpoint(directory.checkpoints, state, (file) => session.saveState(file), options.keep),
    );
    await this.#say({ type: 'checkpoint', step: state.step, path });
  }

  /** adapter/ or model/ is the best by the dev set where there is one, else the last. */
  async #publish(): Promise<string | undefined> {
    const { directory, state, tuned, options, data } = this.#parts;
    return directory?.publish(tuned.kind, async (folder) => {
      if (state.best) await copyBest(bestPath(directory.checkpoints, state.best.step), folder);
      else await tuned.save(folder);
      const card = modelCard({
        options,
        data,
        baseName: tuned.baseName,
        roundedBy: tuned.roundedBy,
        steps: state.step,
        best: state.best,
      });
      await writeFileAtomic(join(folder, 'README.md'), card);
    });
  }

  #result(reason: TrainResult['reason'], published: string | undefined): TrainResult {
    const { state, data, tuned } = this.#parts;
    const of = (kind: Tuned['kind']): string | undefined => (tuned.kind === kind ? published : undefined);
    const early = reason === 'finished' && state.step < data.steps.length;
    return { reason, step: state.step, adapter: of('adapter'), model: of('model'), best: state.best, early };
  }

  async #say(event: TrainEvent): Promise<void> {
    await this.#timed('event', async () => this.#parts.directory?.appendEvent(event));
    this.#parts.events.push(event);
  }
}

function isNotFinite(error: unknown): error is MlitError {
  return error instanceof MlitError && error.code === 'NOT_FINITE';
}

/**
 * What every rank trains has the same bytes, or the run ends before it writes them.
 *
 * @throws MlitError `RANKS_DIFFER`
 */
export async function compareRanks(ranks: Ranks, { adapter }: Tuned, step: number): Promise<void> {
  if (!adapter) return; // a whole model is too much to look at
  const hash = createHash('sha256')
    .update(new Uint8Array((await adapter.native.toHost()).buffer))
    .digest('hex');
  const hashes = await ranks.gather(`the comparison after step ${step}`, hash);
  ranks.refuseDifferent(
    `the adapter after step ${step} (by its SHA-256)`,
    hashes,
    "machines that compute differently can't train one adapter together: take alike ones",
  );
}

/**
 * By the measure that the run is chosen by: a figure of responses where there is one, else the loss. Figures that are equal, as the
 * noughts of a model that has not learnt to answer yet, leave it to the loss; equals in both are no better.
 */
function isBetter(now: BestSoFar, best: BestSoFar): boolean {
  const { rougeL } = now;
  if (rougeL !== undefined && best.rougeL !== undefined && rougeL !== best.rougeL)
    return rougeL > best.rougeL;
  return now.loss < best.loss;
}

async function copyBest(from: string, to: string): Promise<void> {
  for (const file of await readdir(from)) {
    if (file !== MANIFEST) await copyFile(join(from, file), join(to, file));
  }
}
