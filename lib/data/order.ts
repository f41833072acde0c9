// Which records make a step: a function of seed, epoch and batch size alone, so that a resumed run, another machine and
// another way of packing meet the same records in the same steps.
import { refuseUnknownOptions } from '../text/options';

/**
 * Four 32-bit words from a counter and a key: Philox 4×32 with 10 rounds (Salmon et al., "Parallel random numbers: as
 * easy as 1, 2, 3", SC 2011).
 */
export function philox4x32(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): number[] {
  let c0 = counter[0] >>> 0;
  let c1 = counter[1] >>> 0;
  let c2 = counter[2] >>> 0;
  let c3 = counter[3] >>> 0;
  let k0 = key[0] >>> 0;
  let k1 = key[1] >>> 0;
  for (let round = 0; round < 10; round += 1) {
    const high0 = multiplyHigh(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0) >>> 0;
    const high1 = multiplyHigh(0xcd9e8d57, c2);
    const low1 = Math.imul(0xcd9e8d57, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** Upper 32 bits of the 64-bit product of two unsigned 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const aHigh = a >>> 16;
  const aLow = a & 0xffff;
  const bHigh = b >>> 16;
  const bLow = b & 0xffff;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = (middle & 0xffff) + aLow * bHigh;
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) >>> 0;
}

/** Marks the draws of this file among all that use one seed. */
const PURPOSE_ORDER = 0x6f726472;

/**
 * The order of an epoch: record i gets the 53-bit key made of Philox(counter = (i, epoch, purpose, 0), key = seed), and
 * records are sorted by key, equal keys by index.
 *
 * @param seed whole number from 0 to 2^53 − 1
 * @param epoch from 0
 */
export function epochOrder(count: number, seed: number, epoch: number): Int32Array {
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new RangeError(`seed: expected a whole number from 0 to 2^53 − 1, got ${seed}`);
  const key: [number, number] = [seed >>> 0, Math.floor(seed / 2 ** 32)];
  const keys = new Float64Array(count);
  for (let i = 0; i < count; i += 1) {
    const [high, low] = philox4x32([i, epoch, PURPOSE_ORDER, 0], key) as [number, number];
    keys[i] = (high >>> 11) * 2 ** 32 + low;
  }
  return Int32Array.from({ length: count }, (_, i) => i).sort(
    (a, b) => (keys[a] as number) - (keys[b] as number) || a - b,
  );
}

/** Lengths of the examples and how they are grouped into steps. */
export interface StepOptions {
  /** Tokens of each record. */
  lengths: ArrayLike<number>;
  seed: number;
  /** False: the records' own order in every epoch. Default true. */
  shuffle?: boolean;
  /** Passes over the data, the last one in part where it is not whole. Default 1; ignored where `steps` is given. */
  epochs?: number;
  /** Steps in all, over as many epochs as that takes. */
  steps?: number | undefined;
  /** Records of a step. Default 16; ignored where `batchTokens` is given. */
  batchExamples?: number;
  /** Tokens of a step at most; a longer record makes a step of its own. */
  batchTokens?: number | undefined;
}

/**
 * The record indices of every step. A step never crosses the border of an epoch: the last one of an epoch may be smaller,
 * and is kept.
 */
export function planSteps(options: StepOptions): number[][] {
  refuseUnknownOptions('planSteps', options, {
    lengths: true,
    seed: true,
    shuffle: true,
    epochs: true,
    steps: true,
    batchExamples: true,
    batchTokens: true,
  });
  const count = options.lengths.length;
  const epochs = options.steps === undefined ? (options.epochs ?? 1) : Number.POSITIVE_INFINITY;
  const limit = options.steps ?? Number.POSITIVE_INFINITY;
  const steps: number[][] = [];
  if (count === 0) return steps;
  for (let epoch = 0; epoch < epochs && steps.length < limit; epoch += 1) {
    const order =
      options.shuffle === false
        ? Int32Array.from({ length: count }, (_, i) => i)
        : epochOrder(count, options.seed, epoch);
    const whole = [...cutEpoch(order, options)];
    const share = Math.min(1, epochs - epoch);
    const taken = Math.min(Math.ceil(whole.length * share), limit - steps.length);
    for (const step of whole.slice(0, taken)) steps.push(step);
  }
  return steps;
}

function* cutEpoch(order: Int32Array, options: StepOptions): Generator<number[]> {
  const { lengths, batchTokens, batchExamples = 16 } = options;
  const size = batchTokens ?? batchExamples;
  if (!Number.isInteger(size) || size < 1) {
    const option = batchTokens === undefined ? 'batchExamples' : 'batchTokens';
    throw new RangeError(`${option}: expected a whole number from 1, got ${size}`);
  }
  let step: number[] = [];
  let filled = 0;
  for (const record of order) {
    const cost = batchTokens === undefined ? 1 : (lengths[record] as number);
    if (step.length > 0 && filled + cost > size) {
      yield step;
      step = [];
      filled = 0;
    }
    step.push(record);
    filled += cost;
  }
  if (step.length > 0) yield step;
}
