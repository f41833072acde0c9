// One session for many runs. Each run has a place in it and goes about its steps as if it were alone; what their places are
// asked to compute is laid end to end in micro-batches of all, so that rows of every run share the base's products.
import { performance } from 'node:perf_hooks';
import type { PackedBatch } from '../data/packing';
import type { Adapter } from '../model/adapter';
import type { Model } from '../model/model';
import { MlitError } from '../native/errors';
import type { NativeAdapterSpec, Recompute } from '../native/types';
import { type BatchSums, type OptimStepOptions, type RunSession, TrainingSession } from './session';

/** How large a joint micro-batch may become. */
export interface JointLimits {
  tokens: number;
  targets: number;
}

/** What a place waits for. */
export interface Waiting {
  kind: 'train' | 'score';
  tokens: number;
  targets: number;
}

/**
 * Which of those that wait are computed next, by index; none where it pays to wait for others. Scores go before steps: a run that scores
 * its dev set would fall behind otherwise, and compute alone later. The first of a kind is always among those chosen.
 *
 * @param places how many runs there are; one that does not wait is between two requests
 */
export function chooseTogether(waiting: readonly Waiting[], places: number, limits: JointLimits): number[] {
  const kind = waiting.some((each) => each.kind === 'score') ? 'score' : 'train';
  const chosen: number[] = [];
  let tokens = 0;
  let targets = 0;
  let isFull = false;
  for (const [index, each] of waiting.entries()) {
    if (each.kind !== kind) continue;
    const fits = tokens + each.tokens <= limits.tokens && targets + each.targets <= limits.targets;
    if (chosen.length > 0 && !fits) {
      isFull = true;
      continue;
    }
    chosen.push(index);
    tokens += each.tokens;
    targets += each.targets;
  }
  return isFull || waiting.length >= places ? chosen : [];
}

interface Request extends Waiting {
  place: Place;
  batch: PackedBatch;
  resolve: (sums: BatchSums) => void;
  reject: (error: unknown) => void;
}

/** What {@link SharedSession.create} is given. */
export interface SharedSessionOptions {
  model: Model;
  /** The shapes that the slots are for; as many as runs at once. */
  slots: readonly NativeAdapterSpec[];
  limits: JointLimits;
  recompute: Recompute;
}

export class SharedSession implements AsyncDisposable {
  readonly model: Model;
  readonly #session: TrainingSession;
  readonly #limits: JointLimits;
  readonly #places: (Place | undefined)[];
  #waiting: Request[] = [];
  #isComputing = false;
  #sharedUntil = performance.now();
  /** A failure that is no single run's. */
  #broken: { error: unknown } | undefined;

  private constructor(model: Model, session: TrainingSession, { slots, limits }: SharedSessionOptions) {
    this.model = model;
    this.#session = session;
    this.#limits = limits;
    this.#places = new Array<Place | undefined>(slots.length).fill(undefined);
  }

  static async create(options: SharedSessionOptions): Promise<SharedSession> {
    const { model, slots, limits, recompute } = options;
    const session = await TrainingSession.create({
      model,
      slots,
      microTokens: limits.tokens,
      maxTargets: limits.targets,
      recompute,
    });
    return new SharedSession(model, session, options);
  }

  /** A place for a run with this adapter; it is left by the place's `dispose()`. */
  async open(adapter: Adapter, seed: number | bigint): Promise<Place> {
    this.#shareTime();
    const slot = this.#places.indexOf(undefined);
    if (slot < 0) throw new MlitError('INTERNAL', 'a shared session: every slot is taken');
    const place = new Place(this, this.#session, slot);
    this.#places[slot] = place;
    try {
      await this.#session.setAdapter(slot, adapter, seed);
    } catch (error) {
      this.#places[slot] = undefined;
      throw error;
    }
    return place;
  }

  /** @internal */
  request(place: Place, kind: Waiting['kind'], batch: PackedBatch): Promise<BatchSums> {
    if (this.#broken) return Promise.reject(this.#broken.error);
    return new Promise((resolve, reject) => {
      const targets = batch.targets.reduce((count, target) => count + (target >= 0 ? 1 : 0), 0);
      this.#waiting.push({ place, kind, batch, tokens: batch.tokens.length, targets, resolve, reject });
      this.#go();
    });
  }

  /** @internal Gives up what a place waits for and what it has not been given yet. */
  forget(place: Place): void {
    const dropped = this.#waiting.filter((request) => request.place === place);
    this.#waiting = this.#waiting.filter((request) => request.place !== place);
    for (const { reject } of dropped) reject(new MlitError('CANCELLED', 'a shared session: cancelled'));
  }

  /** @internal */
  timeOf(place: Place): number {
    this.#shareTime();
    return place.share;
  }

  /** Time is that of all runs that have a place, in equal parts. */
  #shareTime(): void {
    const now = performance.now();
    const places = this.#places.filter((place) => place !== undefined);
    for (const place of places) place.share += (now - this.#sharedUntil) / places.length;
    this.#sharedUntil = now;
  }

  /** @internal */
  async leave(place: Place, slot: number): Promise<void> {
    this.forget(place);
    this.#shareTime();
    if (!this.#session.disposed) await this.#session.setAdapter(slot, undefined);
    this.#places[slot] = undefined;
    this.#go();
  }

  #go(): void {
    if (this.#isComputing || this.#waiting.length === 0) return;
    const places = this.#places.filter(Boolean).length;
    const chosen = new Set(chooseTogether(this.#waiting, places, this.#limits));
    if (chosen.size === 0) return;
    const requests = this.#waiting.filter((_, index) => chosen.has(index));
    this.#waiting = this.#waiting.filter((_, index) => !chosen.has(index));
    this.#isComputing = true;
    this.#compute(requests)
      .catch((error: unknown) => {
        this.#broken ??= { error };
        for (const { reject } of [...requests, ...this.#waiting]) reject(error);
        this.#waiting = [];
      })
      .finally(() => {
        this.#isComputing = false;
        this.#go();
      });
  }

  async #compute(requests: readonly Request[]): Promise<void> {
    const batch = layEndToEnd(requests.map(({ place, batch }) => ({ batch, adapter: place.slot })));
    const sums = await (requests[0]!.kind === 'train'
      ? this.#session.forwardBackward(batch)
      : this.#session.score(batch));
    let first = 0;
    for (const { place, tokens, resolve, reject } of requests) {
      const row = sums.notFinite?.[place.slot] ?? -1;
      if (row >= 0) reject(notFinite(row - first));
      else resolve(sumsOf(sums, place.slot, first, tokens));
      first += tokens;
    }
  }

  /** Frees its memory, once what is under way has ended. Idempotent. */
  dispose(): Promise<void> {
    return this.#session.dispose();
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** A run's own session, as far as the run can tell. */
export class Place implements RunSession {
  readonly slot: number;
  /** Milliseconds. */
  share = 0;
  readonly #shared: SharedSession;
  readonly #session: TrainingSession;

  constructor(shared: SharedSession, session: TrainingSession, slot: number) {
    this.#shared = shared;
    this.#session = session;
    this.slot = slot;
  }

  /** A clock that shows the run's share of the time, in milliseconds: it goes n times slower beside n − 1 others. */
  now(): number {
    return this.#shared.timeOf(this);
  }

  forwardBackward(batch: PackedBatch): Promise<BatchSums> {
    return this.#shared.request(this, 'train', batch);
  }

  score(batch: PackedBatch): Promise<BatchSums & { logprobs: Float32Array }> {
    return this.#shared.request(this, 'score', batch) as Promise<BatchSums & { logprobs: Float32Array }>;
  }

  optimStep(options: OptimStepOptions): Promise<{ gradNorm: number; step: number }> {
    return this.#session.optimStep({ ...options, adapter: this.slot });
  }

  /** What a run gives up is discarded already, with the loss or the gradient that was not finite. */
  async zeroGradients(): Promise<void> {}

  stepCount(): number {
    return this.#session.stepCount(this.slot);
  }

  saveState(path: string): Promise<void> {
    return this.#session.saveState(path, this.slot);
  }

  loadState(path: string): Promise<void> {
    return this.#session.loadState(path, this.slot);
  }

  /** What is being computed is of other runs too, and ends. */
  cancel(): void {
    this.#shared.forget(this);
  }

  dispose(): Promise<void> {
    return this.#shared.leave(this, this.slot);
  }
}

function layEndToEnd(parts: readonly { batch: PackedBatch; adapter: number }[]): PackedBatch {
  const tokens = parts.reduce((sum, { batch }) => sum + batch.tokens.length, 0);
  const documents = parts.reduce((sum, { batch }) => sum + batch.adapters.length, 0);
  const joint = {
    tokens: new Int32Array(tokens),
    positions: new Int32Array(tokens),
    cuSeqlens: new Int32Array(documents + 1),
    targets: new Int32Array(tokens),
    weights: new Float32Array(tokens),
    adapters: new Int32Array(documents),
    records: new Int32Array(documents),
  };
  let row = 0;
  let document = 0;
  for (const { batch, adapter } of parts) {
    for (const key of ['tokens', 'positions', 'targets', 'weights'] as const) joint[key].set(batch[key], row);
    joint.adapters.fill(adapter, document, document + batch.adapters.length);
    if (batch.records) joint.records.set(batch.records, document);
    for (const end of batch.cuSeqlens.subarray(1)) joint.cuSeqlens[++document] = row + end;
    row += batch.tokens.length;
  }
  return joint;
}

function sumsOf(sums: BatchSums, slot: number, first: number, tokens: number): BatchSums {
  const loss = sums.lossByAdapter[slot]!;
  const weight = sums.weightByAdapter[slot]!;
  return {
    loss,
    weight,
    lossByAdapter: Float64Array.of(loss, 0),
    weightByAdapter: Float64Array.of(weight, 0),
    ...(sums.logprobs && { logprobs: sums.logprobs.slice(first, first + tokens) }),
  };
}

function notFinite(row: number): MlitError {
  return new MlitError('NOT_FINITE', `the loss of row ${row} of the batch is not finite`, {
    fields: { row },
  });
}
