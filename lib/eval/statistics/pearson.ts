// Correlation of a handful of points, as transfer against a language's share of pretraining. With eleven languages a p-value
// by permutation needs no assumption that eleven points could not be tested for.

import { refuseUnknownOptions } from '../../text/options';
import { normalQuantile } from './normal';
import { drawBelow, randomWords } from './random';

/** A correlation with its permutation test. */
export interface Pearson {
  r: number;
  n: number;
  /** Two-sided, by permuting `y`. */
  p: number;
  /** `exact`: all n! permutations; `sampled`: (1 + as extreme) / (1 + drawn), Phipson and Smyth 2010. */
  permutations: 'exact' | 'sampled';
  /** Fisher's z interval, which assumes points of a bivariate normal; absent under 4 points. */
  fisher?: { low: number; high: number };
}

/** Permutations and level of {@link pearson}. */
export interface PearsonOptions {
  /** Permutations where n! are too many. Default 100,000. */
  permutations?: number;
  /** Default 0. */
  seed?: number;
  /** Of the Fisher interval. Default 0.95. */
  level?: number;
}

/** Points up to which all permutations are counted (8! = 40,320). */
const EXACT_UP_TO = 8;
/** Sums of one set of products in another order differ in their last places; such permutations count as equal. */
const ROUNDING = 1e-12;

/**
 * Pearson's r of paired values.
 *
 * @throws RangeError for unequal lengths, under three points, values that are not finite or do not vary
 */
export function pearson(x: ArrayLike<number>, y: ArrayLike<number>, options: PearsonOptions = {}): Pearson {
  refuseUnknownOptions('pearson', options, { permutations: true, seed: true, level: true });
  const { permutations = 100_000, seed = 0, level = 0.95 } = options;
  const a = standardised('x', x);
  const b = standardised('y', y);
  if (a.length !== b.length)
    throw new RangeError(`pearson: x has ${a.length} values and y has ${b.length}; expected pairs`);
  const n = a.length;
  const r = Math.min(1, Math.max(-1, dot(a, b)));
  const threshold = Math.abs(r) - ROUNDING;
  const exact = n <= EXACT_UP_TO;
  let extreme = 0;
  let all = 0;
  const count = (permuted: Float64Array): void => {
    all += 1;
    if (Math.abs(dot(a, permuted)) >= threshold) extreme += 1;
  };
  if (exact) eachPermutation(b, count);
  else {
    const words = randomWords(seed);
    extreme = 1;
    all = 1;
    for (let k = 0; k < permutations; k += 1) {
      shuffle(b, words);
      count(b);
    }
  }
  return {
    r,
    n,
    p: extreme / all,
    permutations: exact ? 'exact' : 'sampled',
    ...(n >= 4 && { fisher: fisherInterval(r, n, level) }),
  };
}

function fisherInterval(r: number, n: number, level: number): { low: number; high: number } {
  const reach = normalQuantile((1 + level) / 2) / Math.sqrt(n - 3);
  return { low: Math.tanh(Math.atanh(r) - reach), high: Math.tanh(Math.atanh(r) + reach) };
}

/** Centred and of length 1, so that r is a dot product. */
function standardised(name: string, values: ArrayLike<number>): Float64Array {
  const out = Float64Array.from(values);
  if (out.length < 3) throw new RangeError(`pearson: ${name} has ${out.length} values; expected at least 3`);
  if (!out.every(Number.isFinite)) throw new RangeError(`pearson: ${name} has a value that is not finite`);
  const mean = out.reduce((sum, value) => sum + value, 0) / out.length;
  for (let i = 0; i < out.length; i += 1) out[i] = (out[i] as number) - mean;
  const length = Math.sqrt(dot(out, out));
  if (!(length > Math.abs(mean) * 1e-13))
    throw new RangeError(`pearson: all values of ${name} are the same, so there is no correlation`);
  return out.map((value) => value / length);
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

function swap(values: Float64Array, i: number, j: number): void {
  const kept = values[i] as number;
  values[i] = values[j] as number;
  values[j] = kept;
}

function shuffle(values: Float64Array, words: () => number): void {
  for (let last = values.length - 1; last > 0; last -= 1) swap(values, last, drawBelow(words, last + 1));
}

/** Heap's algorithm, in place. */
function eachPermutation(values: Float64Array, visit: (permuted: Float64Array) => void): void {
  const state = new Int32Array(values.length);
  visit(values);
  for (let i = 1; i < values.length; ) {
    if ((state[i] as number) < i) {
      swap(values, i % 2 === 0 ? 0 : (state[i] as number), i);
      visit(values);
      state[i] = (state[i] as number) + 1;
      i = 1;
    } else {
      state[i] = 0;
      i += 1;
    }
  }
}
