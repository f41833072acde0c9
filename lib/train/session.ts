// The four primitives that every training loop here is written with: forwardBackward, optimStep, saveState / loadState (and
// sampling, by a Sampler on the same adapters). Nothing here decides anything; it keeps the step's denominator.
import type { PackedBatch } from '../data/packing';
import type { Adapter } from '../model/adapter';
import type { Model } from '../model/model';
import { MlitError } from '../native/errors';
import type {
  NativeAdapterSpec,
  NativeMemoryPlan,
  NativeStepSums,
  NativeTrainSession,
  Recompute,
} from '../native/types';
import { refuseUnknownOptions } from '../text/options';
import type { Ranks } from './ranks';

/** Adapters of a session and the size of its micro-batches. */
export interface TrainingSessionOptions {
  model: Model;
  /** The adapters that a batch's `adapters` array indexes. Default: none. */
  adapters?: readonly Adapter[];
  /**
   * In place of adapters: slots that they are put into and taken out of by {@link TrainingSession.setAdapter}, one for each entry, as wide as the
   * widest of these shapes. What is in a slot is trained as if it were alone.
   */
  slots?: readonly NativeAdapterSpec[];
  /**
   * Trains the model itself, which the batch's adapter index 0 then means: no adapters, weights in f32 (or bf16 on a card), and no other session
   * or adapter on this model while the session lives. A Sampler on it answers with the weights as they are. Default false.
   */
  full?: boolean;
  /** Tokens of a micro-batch at most. Default 2048. */
  microTokens?: number;
  /** Targets in a micro-batch at most. What comes after the last layer's attention is computed, and kept, for these alone. Default: microTokens. */
  maxTargets?: number;
  /** Bytes of logits held at once. Default: 64 MiB on the processor, on a card a 64th of its memory and 512 MiB at most. */
  logitsBytes?: number;
  /** `activations` computes gate and up again, `layer` everything but each layer's input. Same bits. Default `none`. */
  recompute?: Recompute;
  /** Of dropout's masks. Default 0. */
  seed?: number | bigint;
  /** Processes that train together: each gives its share of a step's batches, and all call optimStep. Default: this one alone. */
  ranks?: Ranks | undefined;
  /** False: scores only, no gradients and no optimiser state. Default true. */
  training?: boolean;
}

/** Sums over the targets of a batch; `loss / weight` is the mean in nats. */
export interface BatchSums {
  /** Sum of weight × negative log-likelihood, all adapters together. */
  loss: number;
  weight: number;
  /** [adapters + 1], the last for documents on the bare base. */
  lossByAdapter: Float64Array;
  weightByAdapter: Float64Array;
  /**
   * [adapters + 1], with slots only: the first row of each whose loss is not finite, -1 where there is none. Its gradients are discarded,
   * the others' are not.
   */
  notFinite?: number[];
  /** [T] log-probability of each target (0 where there is none), when asked for. */
  logprobs?: Float32Array;
}

/** One AdamW step. */
export interface OptimStepOptions {
  learningRate: number;
  /** Index into the session's adapters. Default 0, which in full tuning is the model. */
  adapter?: number;
  /** What the accumulated gradient is divided by. Default: the total weight since the last step of this adapter. With ranks it has to be given. */
  totalWeight?: number;
  /** Default 0.9. */
  beta1?: number;
  /** Default 0.999. */
  beta2?: number;
  /** Default 1e-8. */
  epsilon?: number;
  /** Decoupled; in full tuning of matrices alone, not of norms and biases. Default 0. */
  weightDecay?: number;
  /** Global L2 clip; 0 = off. Default 1. */
  maxGradNorm?: number;
}

/** What the loop of one run needs: a session of its own has it, and so has a place in one that many runs share. */
export type RunSession = Pick<
  TrainingSession,
  | 'forwardBackward'
  | 'score'
  | 'optimStep'
  | 'zeroGradients'
  | 'stepCount'
  | 'saveState'
  | 'loadState'
  | 'cancel'
  | 'dispose'
>;

/** The primitives of training: gradients, steps and state of one or several adapters, in memory that is planned once. */
export class TrainingSession implements AsyncDisposable {
  readonly #native: NativeTrainSession;
  readonly #weights: Float64Array;
  readonly #ranks: Ranks | undefined;
  /** Counts the times that gradients were thrown away, so that sums of calls made before are not added afterwards. */
  #discards = 0;

  private constructor(native: NativeTrainSession, adapters: number, ranks: Ranks | undefined) {
    this.#native = native;
    this.#ranks = ranks;
    this.#weights = new Float64Array(adapters);
  }

  /** @throws MlitError `OUT_OF_MEMORY` when the memory cannot be had; nothing is left allocated then. */
  static async create(options: TrainingSessionOptions): Promise<TrainingSession> {
    refuseUnknownOptions('TrainingSession.create', options, {
      ranks: true,
      model: true,
      adapters: true,
      full: true,
      slots: true,
      microTokens: true,
      maxTargets: true,
      logitsBytes: true,
      recompute: true,
      seed: true,
      training: true,
    });
    const { adapters = [], full = false, slots = [] } = options;
    const native = await options.model.native.createTrainSession(
      adapters.map((adapter) => adapter.native),
      {
        maxTokens: options.microTokens ?? 2048,
        maxTargets: options.maxTargets ?? 0,
        ...(options.logitsBytes !== undefined && { logitsBytes: options.logitsBytes }),
        recompute: options.recompute ?? 'none',
        full,
        training: options.training ?? true,
        seed: BigInt(options.seed ?? 0),
        ...(slots.length > 0 && { slots: [...slots] }),
        ...(options.ranks && { ranks: options.ranks.native }),
      },
    );
    return new TrainingSession(native, full ? 1 : adapters.length + slots.length, options.ranks);
  }

  /** What is allocated, by name, in bytes. */
  get memory(): NativeMemoryPlan {
    return this.#native.memory;
  }

  /**
   * Accumulates the gradient of the weighted SUM of negative log-likelihoods over the batch's targets. Adapters with dropout
   * drop here and in {@link forward}, never in {@link score}. `next`: the batch of the next call, sent to a device while it
   * works at this one.
   */
  async forwardBackward(
    batch: PackedBatch,
    options: { logprobs?: boolean; next?: PackedBatch | undefined } = {},
  ): Promise<BatchSums> {
    refuseUnknownOptions('forwardBackward', options, { logprobs: true, next: true });
    const discards = this.#discards;
    const sums = await this.#native
      .forwardBackward(batch, options.logprobs ?? false, options.next)
      .catch(this.#failed);
    if (discards === this.#discards) {
      for (let i = 0; i < this.#weights.length; i++) {
        if ((sums.notFinite?.[i] ?? -1) < 0) this.#weights[i]! += sums.weight[i]!;
        else this.#weights[i] = 0;
      }
    }
    return toSums(sums);
  }

  /** A call that fails in its computation discards all gradients, so their weights go with them. */
  readonly #failed = (error: unknown): never => {
    if (error instanceof MlitError && error.code !== 'CANCELLED') this.#weights.fill(0);
    throw error;
  };

  /** Forward only; scores every target whatever its weight, and gives the log-probabilities. */
  async score(batch: PackedBatch): Promise<BatchSums & { logprobs: Float32Array }> {
    return toSums(await this.#native.score(batch)) as BatchSums & { logprobs: Float32Array };
  }

  /** First half of a custom loss: log-probabilities of all targets [T], with the activations kept for {@link backward}. */
  forward(batch: PackedBatch): Promise<Float32Array> {
    return this.#native.forward(batch).catch(this.#failed);
  }

  /** Second half: accumulates the gradient, given dLoss/dlogprob [T]. `totalWeight` must then be given to optimStep. */
  backward(logprobGradients: Float32Array): Promise<void> {
    return this.#native.backward(logprobGradients).catch(this.#failed);
  }

  /** Divides the accumulated gradient by the step's total weight, clips, and takes one AdamW step. */
  async optimStep(options: OptimStepOptions): Promise<{ gradNorm: number; step: number }> {
    refuseUnknownOptions('optimStep', options, {
      learningRate: true,
      adapter: true,
      totalWeight: true,
      beta1: true,
      beta2: true,
      epsilon: true,
      weightDecay: true,
      maxGradNorm: true,
    });
    const adapter = options.adapter ?? 0;
    if (!Number.isInteger(adapter) || adapter < 0 || adapter >= this.#weights.length) {
      throw new RangeError(`optimStep: adapter is ${adapter}, expected 0 to ${this.#weights.length - 1}`);
    }
    if (this.#ranks && options.totalWeight === undefined)
      throw new RangeError('optimStep: totalWeight has to be given with ranks: that of all of them');
    const totalWeight = options.totalWeight ?? this.#weights[adapter]!;
    if (!(totalWeight > 0)) {
      throw new MlitError('DATA_INVALID', 'optimStep: no target of positive weight since the last step', {
        fields: { adapter, totalWeight },
      });
    }
    const step = this.#native.optimStep(adapter, {
      learningRate: options.learningRate,
      beta1: options.beta1 ?? 0.9,
      beta2: options.beta2 ?? 0.999,
      epsilon: options.epsilon ?? 1e-8,
      weightDecay: options.weightDecay ?? 0,
      maxGradNorm: options.maxGradNorm ?? 1,
      gradScale: 1 / totalWeight,
    });
    try {
      const result = await step;
      this.#weights[adapter] = 0;
      return result;
    } catch (error) {
      // A gradient that is not finite is discarded, and the adapter left as it was.
      if (error instanceof MlitError && error.code === 'NOT_FINITE') this.#weights[adapter] = 0;
      throw this.#ranks?.lostBy(error) ?? error;
    }
  }

  /** Throws away what has been accumulated. */
  async zeroGradients(): Promise<void> {
    await this.#native.zeroGradients();
    this.#weights.fill(0);
  }

  /** Steps taken by an adapter, over all resumptions. */
  stepCount(adapter = 0): number {
    return this.#native.stepCount(adapter);
  }

  /**
   * Parameters, moments and step counts of all adapters (or of the model itself), in one safetensors file written atomically. With slots,
   * of one of them: the file is that of a session which has this adapter alone.
   */
  saveState(path: string, slot?: number): Promise<void> {
    return this.#native.saveState(path, slot);
  }

  /** @throws MlitError `STATE_MISMATCH` where the file is of other adapters, `FILE_DAMAGED` where it is not whole */
  async loadState(path: string, slot?: number): Promise<void> {
    await this.#native.loadState(path, slot);
    if (slot === undefined) this.#weights.fill(0);
    else this.#weights[slot] = 0;
  }

  /**
   * Puts an adapter that has taken no step into a slot, or empties it (`undefined`); what was there leaves, with its moments. `seed` is of its
   * dropout's masks, 0 by default.
   */
  async setAdapter(slot: number, adapter: Adapter | undefined, seed: number | bigint = 0): Promise<void> {
    await this.#native.setAdapter(slot, adapter?.native ?? null, BigInt(seed));
    this.#weights[slot] = 0;
  }

  /** Makes calls made so far reject with `CANCELLED`, a running one between two operations; gradients are thrown away. */
  cancel(): void {
    this.#native.cancel();
    if (this.disposed) return;
    this.#discards++;
    this.#weights.fill(0);
    // Those of calls that ended before, which nothing that is cancelled clears.
    this.#native.zeroGradients().catch(() => undefined);
  }

  get disposed(): boolean {
    return this.#native.disposed;
  }

  /** Frees its memory, once what is under way has ended. Idempotent. */
  dispose(): Promise<void> {
    return this.#native.dispose();
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

function toSums(sums: NativeStepSums): BatchSums {
  const total = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0);
  return {
    loss: total(sums.loss),
    weight: total(sums.weight),
    lossByAdapter: sums.loss,
    weightByAdapter: sums.weight,
    ...(sums.notFinite && { notFinite: sums.notFinite }),
    ...(sums.logprobs && { logprobs: sums.logprobs }),
  };
}
