// The models of an experiment as an analysis asks for them: by arm, language and seed, each measure laid out over the same
// items once.
import { type MeasureName, measureDefinition, measureTerms } from '../../eval/measures/names';
import type { MeasureSummary } from '../../eval/measures/types';
import { findMonolingual } from '../protocols/shared-arms';
import type { ExperimentSpec } from '../spec';
import type { Arm, ItemResult, ModelResult } from '../types';
import { CellTable, EVERY_SEED } from './cells';
import { type JudgedModels, type JudgedScore, judgedScores } from './judge-scores';

/** Draws for every interval. */
const RESAMPLES = 2000;

export interface StudyOptions {
  summaries?: readonly MeasureSummary[];
  /** Default: nobody. */
  judged?: JudgedModels | undefined;
  /** Default 2,000. */
  resamples?: number;
}

/** One model's results in one language, by item. */
export interface Column {
  /** Place of each result's item in {@link Study.items}. */
  at: Int32Array;
  results: readonly ItemResult[];
}

export class Study {
  readonly spec: ExperimentSpec;
  /** Those with a finished model, in the protocol's order. */
  readonly arms: readonly Arm[];
  /** Ascending. */
  readonly seeds: readonly number[];
  /** Languages of the prompts, in the protocol's order. */
  readonly languages: readonly string[];
  /** Sorted. */
  readonly items: readonly string[];
  readonly summaries: readonly MeasureSummary[];
  readonly resamples: number;
  readonly judged: JudgedModels;
  #judgedScores: readonly JudgedScore[] | undefined;
  readonly #columns = new Map<string, Map<number, Column>>();
  readonly #tables = new Map<MeasureName, CellTable>();

  constructor(spec: ExperimentSpec, models: readonly ModelResult[], options: StudyOptions = {}) {
    this.spec = spec;
    this.summaries = options.summaries ?? [];
    this.resamples = options.resamples ?? RESAMPLES;
    this.judged = options.judged ?? { judgements: [], all: [] };
    this.arms = [...new Map(models.map(({ arm }) => [arm.id, arm])).values()];
    this.seeds = [...new Set(models.map(({ seed }) => seed))].sort((a, b) => a - b);
    const languages = new Set<string>();
    const items = new Set<string>();
    for (const { items: results } of models) {
      for (const { item, lang } of results) {
        items.add(item);
        languages.add(lang);
      }
    }
    this.items = [...items].sort();
    const named = [...new Set(this.arms.flatMap((arm) => arm.evaluate))];
    this.languages = [
      ...named.filter((lang) => languages.has(lang)),
      ...[...languages].filter((lang) => !named.includes(lang)).sort(),
    ];
    this.#layOut(models);
  }

  #layOut(models: readonly ModelResult[]): void {
    const placeOf = new Map(this.items.map((item, at) => [item, at]));
    for (const { arm, seed, items } of models) {
      const byLanguage = new Map<string, ItemResult[]>();
      for (const result of items) {
        const known = byLanguage.get(result.lang);
        if (known === undefined) byLanguage.set(result.lang, [result]);
        else known.push(result);
      }
      for (const [lang, results] of byLanguage) {
        const key = `${arm.id} ${lang}`;
        if (!this.#columns.has(key)) this.#columns.set(key, new Map());
        const at = Int32Array.from(results, ({ item }) => placeOf.get(item)!);
        this.#columns.get(key)!.set(arm.mixture === undefined ? EVERY_SEED : seed, { at, results });
      }
    }
  }

  /** By seed; the base's under {@link EVERY_SEED}. */
  columns(arm: string, lang: string): ReadonlyMap<number, Column> {
    return this.#columns.get(`${arm} ${lang}`) ?? new Map();
  }

  measure(name: MeasureName): CellTable {
    const known = this.#tables.get(name);
    if (known !== undefined) return known;
    const { scale, unit, most } = measureDefinition(name);
    const table = new CellTable({
      resamples: this.resamples,
      scale,
      ...(unit === '%' && { most }),
    });
    for (const { id } of this.arms) {
      for (const lang of this.languages) {
        for (const [seed, { at, results }] of this.columns(id, lang)) {
          const values = new Float64Array(this.items.length);
          const weights = new Float64Array(this.items.length);
          for (const [index, { measures }] of results.entries()) {
            const terms = measureTerms(name, measures);
            if (terms === undefined) continue;
            values[at[index]!]! += terms.numerator;
            weights[at[index]!]! += terms.denominator;
          }
          table.add(id, lang, seed, { values, weights });
        }
      }
    }
    this.#tables.set(name, table);
    return table;
  }

  /** What the experiment's judges said, one a judge. */
  get judgedScores(): readonly JudgedScore[] {
    this.#judgedScores ??= judgedScores(this);
    return this.#judgedScores;
  }

  /** The arm tuned on this language alone with the whole budget. */
  monolingual(lang: string): Arm | undefined {
    return findMonolingual(this.arms, lang, this.spec.examples);
  }

  get hub(): Arm | undefined {
    return this.monolingual(this.spec.hub);
  }

  get base(): Arm | undefined {
    return this.arms.find((arm) => arm.mixture === undefined);
  }

  /** What differences are taken to: the hub's own model, else the base, else the first. */
  get reference(): Arm | undefined {
    return this.hub ?? this.base ?? this.arms[0];
  }
}
