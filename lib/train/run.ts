// The loop. A step is: pack its examples into micro-batches, accumulate their gradients, one optimiser step, one event; then,
// where due, score the dev set and save. Everything that happens in a training run happens in this order, here.
import { copyFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { type PackedBatch, packExamples } from '../data/packing';
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
import { scoreDev } from './dev';
import type { DevMeasuring } from './evaluator';
import type { EvalEvent, EventStream, StepEvent, TrainEvent } from './events';
import { modelCard } from './model-card';
import type { TrainOptions } from './options';
import type { PreparedData } from './prepare';
import type { RunDirectory } from './run-directory';
import { learningRateAt } from './schedule';
import type { TrainingSession } from './session';
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
}

export interface TrainRunParts {
  options: TrainOptions;
  data: PreparedData;
  directory: RunDirectory;
  tuned: Tuned;
  session: TrainingSession;
  state: TrainerState;
  microTokens: number;
  /** Where the adapter is not chosen by the loss. */
  measuring: DevMeasuring | undefined;
  events: EventStream;
  signal: AbortSignal | undefined;
}

/** A micro-batch with the examples in it, in the order of its documents. */
interface MicroBatch {
  batch: PackedBatch;
  examples: RenderedExample[];
}

/** A run under way: its events, and a promise of its result. */
export class TrainRun implements AsyncIterable<TrainEvent> {
  readonly #parts: TrainRunParts;
  readonly #halt = new AbortController();

  /** Settles when the run ends, also when nobody iterates. Rejects with what went wrong, or with the signal's reason. */
  readonly done: Promise<TrainResult>;

  /** @internal */
  constructor(parts: TrainRunParts) {
    this.#parts = parts;
    const stop = (): void => this.stop();
    parts.signal?.addEventListener('abort', stop, { once: true });
    if (parts.signal?.aborted) stop();
    this.done = this.#main();
    this.done.catch(() => undefined).finally(() => parts.signal?.removeEventListener('abort', stop)); // nobody must await it
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
    const { events, directory, signal } = this.#parts;
    try {
      const { step, evalDue = false } = this.#parts.state;
      await directory.openEvents(step, evalDue);
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
        await directory.recordEnd({ step: result.step, early: result.early, best: result.best });
      await directory.close();
      if (result.reason === 'stopped') signal?.throwIfAborted();
      events.close();
      return result;
    } catch (error) {
      await directory.close().catch(() => undefined);
      events.close(error);
      throw error;
    }
  }

  async #loop(): Promise<TrainResult> {
    const { options, data, state, session } = this.#parts;
    const total = data.steps.length;
    let next = state.step < total ? this.#pack(state.step) : [];
    while (!this.#isOver()) {
      if (this.#halt.signal.aborted) {
        await this.#save();
        return this.#result('stopped', undefined);
      }
      if (!state.evalDue) {
        const current = next;
        const step = state.step + 1;
        const event = await this.#step(step, current, () => {
          next = step < total ? this.#pack(step) : [];
        });
        state.step = step;
        await this.#say(event);
        if (this.#isDevScored(step)) state.evalDue = true;
      }
      if (state.evalDue && !(await this.#evaluate())) continue;
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
    const { options, data, session } = this.#parts;
    const started = performance.now();
    const learningRate = learningRateAt(step, { ...options, totalSteps: data.steps.length });
    let loss = 0;
    let weight = 0;
    let tokens = 0;
    let supervisedTokens = 0;
    for (const [index, micro] of microBatches.entries()) {
      const computing = session.forwardBackward(micro.batch);
      if (index === 0) meanwhile();
      const sums = await this.#explain(computing, step, micro.examples);
      loss += sums.loss;
      weight += sums.weight;
      tokens += micro.batch.tokens.length;
      for (const value of micro.batch.weights) if (value !== 0) supervisedTokens++;
    }
    const { weightDecay, maxGradNorm } = options;
    const updating = session.optimStep({ learningRate, weightDecay, maxGradNorm });
    const everything = microBatches.flatMap((micro) => micro.examples);
    const { gradNorm } = await this.#explain(updating, step, everything);
    const seconds = (performance.now() - started) / 1000;
    return {
      type: 'step',
      step,
      loss: loss / weight,
      learningRate,
      gradNorm,
      tokens,
      supervisedTokens,
      seconds,
      tokensPerSecond: tokens / seconds,
    };
  }

  /** A loss or gradient that is not finite ends the run with the last good state saved and the records named. */
  async #explain<T>(work: Promise<T>, step: number, examples: readonly RenderedExample[]): Promise<T> {
    try {
      return await work;
    } catch (error) {
      if (!(error instanceof MlitError) || error.code !== 'NOT_FINITE') throw error;
      await this.#parts.session.zeroGradients();
      await this.#save();
      const ids = examples.map((example) => example.id);
      throw new MlitError(
        'NOT_FINITE',
        `step ${step}: ${error.message}; records: ${ids.join(', ')}. The state after step ${step - 1} is saved. Lower the learning rate, or look at these records.`,
        { fields: { step, ids }, cause: error },
      );
    }
  }

  #pack(index: number): MicroBatch[] {
    const { data, microTokens } = this.#parts;
    const examples = data.steps[index]!.map((at) => data.train[at]!);
    return packExamples(examples, { microTokens }).map(({ batch, members }) => ({
      batch,
      examples: members.map((member) => examples[member]!),
    }));
  }

  /** False where the run was stopped before the score was there; it is still due then. */
  async #evaluate(): Promise<boolean> {
    const { options, data, state, session, microTokens, measuring, directory, tuned } = this.#parts;
    const started = performance.now();
    let scores: Omit<EvalEvent, 'type' | 'step' | 'best'>;
    try {
      scores = await scoreDev(session, data.dev, microTokens, this.#halt.signal);
      const measure = await measuring?.measure(this.#halt.signal);
      if (measure) {
        const seconds = (performance.now() - started) / 1000;
        scores = { ...scores, rougeL: measure.value, rougeLByLanguage: measure.byLanguage, seconds };
      }
    } catch (error) {
      if (this.#halt.signal.aborted) return false;
      throw error;
    }
    const { loss, rougeL } = scores;
    const now: BestSoFar = { step: state.step, loss, ...(rougeL !== undefined && { rougeL }) };
    const best = state.best === undefined || isBetter(now, state.best);
    if (best) {
      await saveBest(directory.checkpoints, state.step, (folder) => tuned.save(folder));
      state.best = now;
    }
    state.sinceBest = best ? 0 : (state.sinceBest ?? 0) + 1;
    delete state.evalDue;
    const patience = options.patience > 0 && { sinceBest: state.sinceBest };
    await this.#say({ type: 'eval', step: state.step, best, ...scores, ...patience });
    return true;
  }

  async #save(): Promise<void> {
    const { directory, state, session, options } = this.#parts;
    const path = await saveCheckpoint(
      directory.checkpoints,
      state,
      (file) => session.saveState(file),
      options.keep,
    );
    await this.#say({ type: 'checkpoint', step: state.step, path });
  }

  /** adapter/ or model/ is the best by the dev set where there is one, else the last. */
  #publish(): Promise<string> {
    const { directory, state, tuned, options, data } = this.#parts;
    return directory.publish(tuned.kind, async (folder) => {
      if (state.best) await copyBest(bestPath(directory.checkpoints, state.best.step), folder);
      else await tuned.save(folder);
      const card = modelCard({
        options,
        data,
        baseName: tuned.baseName,
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
    await this.#parts.directory.appendEvent(event);
    this.#parts.events.push(event);
  }
}

/** By the measure that the run is chosen by: a figure of responses where there is one, else the loss. Equals are no better. */
function isBetter(now: BestSoFar, best: BestSoFar): boolean {
  return now.rougeL !== undefined && best.rougeL !== undefined
    ? now.rougeL > best.rougeL
    : now.loss < best.loss;
}

async function copyBest(from: string, to: string): Promise<void> {
  for (const file of await readdir(from)) {
    if (file !== MANIFEST) await copyFile(join(from, file), join(to, file));
  }
}
