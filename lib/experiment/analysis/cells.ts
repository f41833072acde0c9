// One measure of all models in all languages as cells over the same items, so that every number, mean and difference that is
// read from them gets its interval from the same draws of items, jointly over languages and paired by seed.
import { type Cell, PairedBootstrap } from '../../eval/statistics/bootstrap';
import type { Estimate } from '../../eval/statistics/estimate';

/** Mean over seeds; `seeds`: each seed's own value, where there are several. */
export type SeededEstimate = Estimate & { seeds?: readonly number[] };

export interface Term {
  arm: string;
  lang: string;
  weight: number;
}

/** Seed of a model that stands for all repetitions: the base as it is. */
export const EVERY_SEED = -1;

export interface CellOptions {
  resamples: number;
  /** What values are multiplied by when shown. */
  scale?: number;
  /**
   * Largest value an item can have, the smallest being 0, where items are won or lost: a cell that is all 0 or all this much has
   * Wilson's interval, for the bootstrap sees no spread in it.
   */
  most?: number | undefined;
}

export class CellTable {
  readonly #options: CellOptions;
  readonly #cells: Cell[] = [];
  /** Arm and language → seed → place of the cell. */
  readonly #places = new Map<string, Map<number, number>>();
  #bootstrap: PairedBootstrap | undefined;

  constructor(options: CellOptions) {
    this.#options = options;
  }

  /** A cell without any item is none. */
  add(arm: string, lang: string, seed: number, cell: Cell & { weights: Float64Array }): void {
    if (!cell.weights.some((weight) => weight > 0)) return;
    const key = keyOf(arm, lang);
    if (!this.#places.has(key)) this.#places.set(key, new Map());
    this.#places.get(key)!.set(seed, this.#cells.length);
    const { most } = this.#options;
    this.#cells.push(most === undefined ? cell : { ...cell, range: [0, most] });
  }

  get empty(): boolean {
    return this.#cells.length === 0;
  }

  has(arm: string, lang: string): boolean {
    return this.#places.has(keyOf(arm, lang));
  }

  /** Seeds that have a cell. */
  seeds(arm: string, lang: string): number {
    return this.#places.get(keyOf(arm, lang))?.size ?? 0;
  }

  value(arm: string, lang: string): SeededEstimate | null {
    return this.combine([{ arm, lang, weight: 1 }]);
  }

  /** Mean over the languages that the arm has a cell in; null where it has none. */
  mean(arm: string, languages: readonly string[]): SeededEstimate | null {
    return this.combine(this.#meanTerms(arm, languages, 1));
  }

  /** `arm` less `other`, in one language. */
  difference(arm: string, other: string, lang: string): SeededEstimate | null {
    return this.combine([
      { arm, lang, weight: 1 },
      { arm: other, lang, weight: -1 },
    ]);
  }

  /** The mean of `arm` less that of `other`, over the languages that both have. */
  meanDifference(arm: string, other: string, languages: readonly string[]): SeededEstimate | null {
    const shared = languages.filter((lang) => this.has(arm, lang) && this.has(other, lang));
    return this.combine([...this.#meanTerms(arm, shared, 1), ...this.#meanTerms(other, shared, -1)]);
  }

  /**
   * Σ weight × cell, each seed by itself and averaged over the seeds in which all terms have a cell; null where there is none.
   */
  combine(terms: readonly Term[]): SeededEstimate | null {
    if (terms.length === 0) return null;
    const places = terms.map(({ arm, lang }) => this.#places.get(keyOf(arm, lang)));
    if (places.some((place) => place === undefined)) return null;
    const seeds = sharedSeeds(places as Map<number, number>[]);
    if (seeds.length === 0) return null;
    const ofSeed = (seed: number, share: number): { cell: number; weight: number }[] =>
      terms.map(({ weight }, at) => ({
        cell: places[at]!.get(seed) ?? places[at]!.get(EVERY_SEED)!,
        weight: weight * share,
      }));
    const { resamples, scale = 1 } = this.#options;
    this.#bootstrap ??= new PairedBootstrap(this.#cells, { resamples });
    const used = merged(seeds.flatMap((seed) => ofSeed(seed, 1 / seeds.length)));
    const { value, low, high, n } = this.#bootstrap.combine(used);
    const bounds =
      low === undefined || high === undefined || n < 2 ? {} : { low: low * scale, high: high * scale };
    if (seeds.length === 1) return { value: value * scale, ...bounds, n };
    const { values } = this.#bootstrap;
    const points = seeds.map(
      (seed) => scale * ofSeed(seed, 1).reduce((sum, { cell, weight }) => sum + weight * values[cell]!, 0),
    );
    return { value: value * scale, ...bounds, n, seeds: points };
  }

  #meanTerms(arm: string, languages: readonly string[], sign: 1 | -1): Term[] {
    const there = languages.filter((lang) => this.has(arm, lang));
    return there.map((lang) => ({ arm, lang, weight: sign / there.length }));
  }
}

/** Ascending; the base alone is one seed. */
function sharedSeeds(places: readonly ReadonlyMap<number, number>[]): number[] {
  const seeded = places.filter((place) => !place.has(EVERY_SEED));
  if (seeded.length === 0) return [EVERY_SEED];
  return [...seeded[0]!.keys()]
    .filter((seed) => seeded.every((place) => place.has(seed)))
    .sort((a, b) => a - b);
}

/** One term a cell: what a cell is subtracted from itself by is nothing. */
function merged(terms: readonly { cell: number; weight: number }[]): { cell: number; weight: number }[] {
  const weights = new Map<number, number>();
  for (const { cell, weight } of terms) weights.set(cell, (weights.get(cell) ?? 0) + weight);
  return [...weights].map(([cell, weight]) => ({ cell, weight }));
}

function keyOf(arm: string, lang: string): string {
  return `${arm} ${lang}`;
}
