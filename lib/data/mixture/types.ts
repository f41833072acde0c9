// What a mixture is: how many examples of each language, drawn from a table of items × languages under one budget.
import type { Example } from '../example';

/**
 * `disjoint`: each item appears in exactly one language, so that content stays and only the language varies.
 * `overlap`: items may repeat across languages. `nested`: disjoint, and a larger share of other languages contains the smaller.
 */
export type MixturePolicy = 'disjoint' | 'overlap' | 'nested';

interface Common {
  /** Examples in all. */
  n: number;
  /** Default `disjoint`. */
  policy?: MixturePolicy;
  /** Seed of the draw, apart from training's. Default 0. */
  seed?: number;
}

/** The generators of the algebra; each is a function from a budget to an {@link Allocation}. */
export type MixtureSpec =
  | ({ kind: 'mono'; language: string } & Common)
  /** `count`: examples not in the hub's language in all. `percent`: over all languages, the hub's share included. */
  | ({ kind: 'pinch'; count: number; languages: readonly string[]; hub: string } & Common)
  | ({ kind: 'pinch'; percent: number; languages: readonly string[]; hub: string } & Common)
  | ({ kind: 'uniform'; languages: readonly string[] } & Common)
  /** The first `k` of an order of languages share the budget. */
  | ({ kind: 'prefix'; order: readonly string[]; k: number } & Common)
  | ({ kind: 'pair'; a: string; b: string } & Common)
  /** Counts as they stand; n is their sum. `hub`: as in a pinch, for `nested` and `overlap`; default the largest part's language. */
  | ({ kind: 'explicit'; counts: Readonly<Record<string, number>>; hub?: string } & Omit<Common, 'n'>)
  | ({ kind: 'weights'; weights: Readonly<Record<string, number>> } & Common)
  /** Shares ∝ (the language's records)^(1/T): T = 1 as the data, T → ∞ uniform. */
  | ({ kind: 'temperature'; temperature: number; languages: readonly string[] } & Common);

type Unsized<T> = T extends { n: number } ? Omit<T, 'n'> & { n?: number | undefined } : T;

/** A recipe as it may be given: without `n` it is as large as the data's items in its languages. */
export type MixtureInput = Unsized<MixtureSpec>;

/** Examples by language; languages with none are left out; keys sorted. */
export type Allocation = Readonly<Record<string, number>>;

/** Examples that a recipe has drawn, with the account of it. */
export interface Mixture {
  /** In the order of the draw; a function of table, allocation, policy and seed, not of the order of input files. */
  examples: Example[];
  allocation: Allocation;
  manifest: MixtureManifest;
}

/** How a mixture was made: enough to draw it again from the same data. Plain JSON. */
export interface MixtureManifest {
  version: 1;
  /** The recipe in its one-line form, defaults written out. */
  spec: string;
  policy: MixturePolicy;
  seed: number;
  n: number;
  /** SHA-256 over the sorted `id`s of the examples. */
  idsHash: string;
  /** By language; token counts only where a model was given. */
  languages: Record<
    string,
    {
      examples: number;
      /** UTF-8 bytes of the responses. */
      responseBytes: number;
      supervisedTokens?: number;
      tokens?: number;
      sources: string[];
      translationSystems: string[];
      /** One item, rendered by the template, so that a person sees what the model will see. */
      rendered?: string;
    }
  >;
}
