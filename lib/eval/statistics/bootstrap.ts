// Intervals of scores that were all measured on the same items. Items are drawn anew once and every cell sees the same draw,
// so that a difference of two cells, or a mean over languages, gets the interval that belongs to it.

import { refuseUnknownOptions } from '../../text/options';
import type { Estimate } from './estimate';
import { normalCdf, tQuantile } from './normal';
import { wilson } from './proportions';
import { drawBelow, randomWords } from './random';

/**
 * One score on every item. Its value is Σ values / Σ weights over the items that are there: a mean where the weights are 1, a
 * ratio of sums else (nats as values and bytes as weights give nats a byte).
 */
export interface Cell {
  /** One value an item, in the order that all cells share. NaN: this item is left out of this cell. */
  values: ArrayLike<number>;
  /** Default 1 each; 0: left out. */
  weights?: ArrayLike<number> | undefined;
  /**
   * Least and largest possible value of an item of weight 1. Where every item has the one or the other, resamples all agree,
   * and the interval is Wilson's of a proportion instead of a point.
   */
  range?: readonly [least: number, most: number] | undefined;
}

/** Resampling of items. */
export interface BootstrapOptions {
  /** Default 10,000. */
  resamples?: number;
  /** Whole number from 0. Default 0. */
  seed?: number;
  /** Share of intervals that hold the true value. Default 0.95. */
  level?: number;
}

/** A function of all cells' values: a difference, a mean over languages, a count of cells over 50. */
export type Contrast = (values: Float64Array) => number;

/** Resamples counted before they are multiplied with all cells: four rows of counts stay in the nearest cache. */
const BLOCK = 4;

/**
 * Bootstrap over items, jointly over cells (Efron and Tibshirani 1993), with percentile intervals widened for small samples. It
 * is conditional on everything but the items: these models, these seeds, these judges.
 */
export class PairedBootstrap {
  readonly resamples: number;
  readonly seed: number;
  readonly level: number;
  /** Items that are in at least one cell. */
  readonly items: number;

  readonly #columns: number;
  /** [cell][item], 0 where an item is left out. */
  readonly #sums: Float64Array[];
  readonly #weights: Float64Array[];
  readonly #ranges: readonly Cell['range'][];
  /** The cells' values. */
  readonly #values: Float64Array;
  /** [resample][cell] */
  readonly #drawn: Float64Array;

  /** @throws RangeError where cells differ in their number of items, or a weight is negative or not finite */
  constructor(cells: readonly Cell[], options: BootstrapOptions = {}) {
    refuseUnknownOptions('PairedBootstrap', options, { resamples: true, seed: true, level: true });
    const { resamples = 10_000, seed = 0, level = 0.95 } = options;
    if (!Number.isInteger(resamples) || resamples < 1)
      throw new RangeError(`resamples: expected a whole number from 1, got ${resamples}`);
    if (!(level > 0 && level < 1))
      throw new RangeError(`level: expected a number between 0 and 1, got ${level}`);
    this.resamples = resamples;
    this.seed = seed;
    this.level = level;
    this.#columns = cells.length;
    this.#ranges = cells.map((cell) => cell.range);
    const { sums, weights, items } = compact(cells);
    this.#sums = sums;
    this.#weights = weights;
    this.items = items;
    this.#values = Float64Array.from(sums, (sum, cell) => total(sum) / total(weights[cell] as Float64Array));
    this.#drawn = draw(sums, weights, items, resamples, seed);
  }

  /** The cells' values, in their order. NaN where a cell has no item. */
  get values(): Float64Array {
    return this.#values.slice();
  }

  /** One cell's value and interval; no interval under two items. */
  estimate(cell: number): Estimate {
    this.#check(cell);
    const value = this.#values[cell] as number;
    const { n, effective } = this.#informing([cell]);
    const constant = this.#atBound(cell, value, n);
    if (constant !== undefined) return constant;
    const distribution = new Float64Array(this.resamples);
    for (let b = 0; b < this.resamples; b += 1)
      distribution[b] = this.#drawn[b * this.#columns + cell] as number;
    return this.#interval(value, distribution, n, effective);
  }

  /**
   * A function of the cells' values and its interval, over the same resamples. Its `n` counts the items that are in at least
   * one of the cells that the function reads. The array it gets is reused: do not keep it.
   */
  contrast(f: Contrast): Estimate {
    const values = this.#values.slice();
    const value = f(values);
    const { n, effective } = this.#informing(this.#cellsRead(f, value));
    const distribution = new Float64Array(this.resamples);
    for (let b = 0; b < this.resamples; b += 1) {
      values.set(this.#drawn.subarray(b * this.#columns, (b + 1) * this.#columns));
      distribution[b] = f(values);
    }
    return this.#interval(value, distribution, n, effective);
  }

  /**
   * Σ weight × cell over the terms: a difference, a mean over languages. What `contrast` gives for the same sum, at the cost
   * of the terms alone. Its `n` counts the items that are in at least one of their cells. Cells of which every item is at one
   * end of their `range` add the reach of their Wilson intervals.
   */
  combine(terms: readonly { readonly cell: number; readonly weight: number }[]): Estimate {
    for (const { cell } of terms) this.#check(cell);
    const value = terms.reduce((sum, { cell, weight }) => sum + weight * (this.#values[cell] as number), 0);
    const { n, effective } = this.#informing(terms.map(({ cell }) => cell));
    const distribution = new Float64Array(this.resamples);
    for (let b = 0; b < this.resamples; b += 1) {
      let drawn = 0;
      for (const { cell, weight } of terms)
        drawn += weight * (this.#drawn[b * this.#columns + cell] as number);
      distribution[b] = drawn;
    }
    return this.#widened(terms, this.#interval(value, distribution, n, effective));
  }

  /**
   * Newcombe's way of putting intervals of proportions together (1998), for the cells at an end of their range: their Wilson
   * intervals beside what the bootstrap sees of the others.
   */
  #widened(
    terms: readonly { readonly cell: number; readonly weight: number }[],
    estimate: Estimate,
  ): Estimate {
    const { value, low, high, n } = estimate;
    if (low === undefined || high === undefined) return estimate;
    const plus = { down: 0, up: 0 };
    const minus = { down: 0, up: 0 };
    for (const { cell, weight } of terms) {
      const own = this.#atBound(cell, this.#values[cell] as number, this.#informing([cell]).n);
      if (own === undefined) continue;
      const reach = { down: own.value - (own.low as number), up: (own.high as number) - own.value };
      // Languages of one item go together: their reaches are added, as if they always did.
      const side = weight > 0 ? plus : minus;
      side.down += Math.abs(weight) * (weight > 0 ? reach.down : reach.up);
      side.up += Math.abs(weight) * (weight > 0 ? reach.up : reach.down);
    }
    if (plus.down + plus.up + minus.down + minus.up === 0) return estimate;
    return {
      value,
      low: value - Math.hypot(value - low, plus.down, minus.down),
      high: value + Math.hypot(high - value, plus.up, minus.up),
      n,
    };
  }

  #check(cell: number): void {
    if (!Number.isInteger(cell) || cell < 0 || cell >= this.#columns)
      throw new RangeError(`cell: expected a whole number from 0 to ${this.#columns - 1}, got ${cell}`);
  }

  /** Cells whose absence changes the function's value. */
  #cellsRead(f: Contrast, value: number): number[] {
    const all = Array.from({ length: this.#columns }, (_, cell) => cell);
    const read = all.filter((cell) => {
      const values = this.#values.slice();
      values[cell] = Number.NaN;
      return !Object.is(f(values), value);
    });
    return read.length === 0 ? all : read;
  }

  /** Items that are in one of the cells at least, and how many of equal weight would weigh as much (Kish 1965). */
  #informing(cells: readonly number[]): { n: number; effective: number } {
    const shares = new Float64Array(this.items);
    for (const cell of cells) {
      const weights = this.#weights[cell] as Float64Array;
      const sum = total(weights);
      if (sum === 0) continue;
      for (let i = 0; i < this.items; i += 1)
        shares[i] = (shares[i] as number) + (weights[i] as number) / sum;
    }
    let n = 0;
    let squares = 0;
    for (const share of shares) {
      if (share > 0) n += 1;
      squares += share * share;
    }
    return { n, effective: squares === 0 ? 0 : total(shares) ** 2 / squares };
  }

  #atBound(cell: number, value: number, n: number): Estimate | undefined {
    const range = this.#ranges[cell];
    if (range === undefined || n === 0) return undefined;
    const [least, most] = range;
    if (value !== least && value !== most) return undefined;
    const sums = this.#sums[cell] as Float64Array;
    const weights = this.#weights[cell] as Float64Array;
    for (let i = 0; i < this.items; i += 1) if (sums[i] !== value * (weights[i] as number)) return undefined;
    const share = wilson(value === least ? 0 : n, n, { level: this.level });
    const scaled = (bound: number): number => least + (most - least) * bound;
    return { value, low: scaled(share.low as number), high: scaled(share.high as number), n };
  }

  #interval(value: number, distribution: Float64Array, n: number, effective: number): Estimate {
    if (n < 2 || !Number.isFinite(value)) return { value, n };
    const sorted = distribution.filter((drawn) => Number.isFinite(drawn)).sort();
    if (sorted.length < this.resamples / 2) return { value, n };
    const share = tailShare(effective, this.level);
    return { value, low: quantile(sorted, share), high: quantile(sorted, 1 - share), n };
  }
}

/**
 * Share of resamples beyond either end of an interval. The bootstrap's variance has n where the sample's has n − 1, and its tails
 * are the normal's where n items have Student's: so the percentiles are taken further out (Hesterberg 2015).
 */
export function tailShare(n: number, level: number): number {
  const rest = Math.max(n - 1, 1);
  return normalCdf(tQuantile((1 - level) / 2, rest) * Math.sqrt((rest + 1) / rest));
}

/** Linear between neighbours (NumPy's default). `share` from 0 to 1. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const position = Math.min(Math.max(share, 0), 1) * (sorted.length - 1);
  const below = Math.floor(position);
  const low = sorted[below] as number;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] as number;
  return low + (high - low) * (position - below);
}

function total(values: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i += 1) sum += values[i] as number;
  return sum;
}

/** Checks cells and drops the items that are in none of them. */
function compact(cells: readonly Cell[]): { sums: Float64Array[]; weights: Float64Array[]; items: number } {
  const count = cells[0]?.values.length ?? 0;
  const present = new Uint8Array(count);
  const weights = cells.map((cell, index) => {
    if (cell.values.length !== count)
      throw new RangeError(
        `cell ${index}: has ${cell.values.length} items where cell 0 has ${count}; cells share their items, leave one out by NaN`,
      );
    if (cell.weights !== undefined && cell.weights.length !== count)
      throw new RangeError(`cell ${index}: has ${cell.weights.length} weights for ${count} items`);
    return Float64Array.from({ length: count }, (_, i) => {
      const weight = cell.weights === undefined ? 1 : (cell.weights[i] as number);
      if (!(weight >= 0 && weight < Number.POSITIVE_INFINITY))
        throw new RangeError(`cell ${index}, item ${i}: weight ${weight}; expected a finite number from 0`);
      if (Number.isNaN(cell.values[i] as number) || weight === 0) return 0;
      present[i] = 1;
      return weight;
    });
  });
  const kept = Array.from(present.keys()).filter((i) => present[i] === 1);
  return {
    weights: weights.map((row) => Float64Array.from(kept, (i) => row[i] as number)),
    sums: weights.map((row, cell) =>
      Float64Array.from(kept, (i) => {
        const weight = row[i] as number;
        return weight === 0 ? 0 : ((cells[cell] as Cell).values[i] as number);
      }),
    ),
    items: kept.length,
  };
}

/** The cells' values on every resample, [resample][cell]. Equal rows of weights are summed once. */
function draw(
  sums: readonly Float64Array[],
  weights: readonly Float64Array[],
  items: number,
  resamples: number,
  seed: number,
): Float64Array {
  const columns = sums.length;
  const { rows, rowOf } = distinct(weights);
  const drawn = new Float64Array(resamples * columns);
  const words = randomWords(seed);
  const counts = Array.from({ length: BLOCK }, () => new Float64Array(items));
  const tops = new Float64Array(BLOCK * columns);
  const bottoms = new Float64Array(BLOCK * rows.length);
  for (let start = 0; start < resamples; start += BLOCK) {
    for (const row of counts) {
      row.fill(0);
      for (let i = 0; i < items; i += 1) {
        const item = drawBelow(words, items);
        row[item] = (row[item] as number) + 1;
      }
    }
    multiply(counts, sums, items, tops);
    multiply(counts, rows, items, bottoms);
    const here = Math.min(BLOCK, resamples - start);
    for (let k = 0; k < here; k += 1)
      for (let cell = 0; cell < columns; cell += 1)
        drawn[(start + k) * columns + cell] =
          (tops[k * columns + cell] as number) /
          (bottoms[k * rows.length + (rowOf[cell] as number)] as number);
  }
  return drawn;
}

/** counts [4][items] × rows [row][items]ᵀ → out [4][row], two rows at a time. */
function multiply(
  counts: readonly Float64Array[],
  rows: readonly Float64Array[],
  items: number,
  out: Float64Array,
): void {
  const [c0, c1, c2, c3] = counts as [Float64Array, Float64Array, Float64Array, Float64Array];
  const width = rows.length;
  for (let r = 0; r < width; r += 2) {
    const v = rows[r] as Float64Array;
    const w = rows[Math.min(r + 1, width - 1)] as Float64Array;
    let v0 = 0;
    let v1 = 0;
    let v2 = 0;
    let v3 = 0;
    let w0 = 0;
    let w1 = 0;
    let w2 = 0;
    let w3 = 0;
    for (let i = 0; i < items; i += 1) {
      const x = v[i] as number;
      const y = w[i] as number;
      const d0 = c0[i] as number;
      const d1 = c1[i] as number;
      const d2 = c2[i] as number;
      const d3 = c3[i] as number;
      v0 += d0 * x;
      w0 += d0 * y;
      v1 += d1 * x;
      w1 += d1 * y;
      v2 += d2 * x;
      w2 += d2 * y;
      v3 += d3 * x;
      w3 += d3 * y;
    }
    out[r] = v0;
    out[width + r] = v1;
    out[2 * width + r] = v2;
    out[3 * width + r] = v3;
    if (r + 1 < width) {
      out[r + 1] = w0;
      out[width + r + 1] = w1;
      out[2 * width + r + 1] = w2;
      out[3 * width + r + 1] = w3;
    }
  }
}

/** Rows that differ, and which of them each row is. */
function distinct(rows: readonly Float64Array[]): { rows: Float64Array[]; rowOf: Int32Array } {
  const different: Float64Array[] = [];
  const rowOf = Int32Array.from(rows, (row) => {
    const known = different.findIndex((other) => other.every((value, i) => value === row[i]));
    if (known >= 0) return known;
    different.push(row);
    return different.length - 1;
  });
  return { rows: different, rowOf };
}
