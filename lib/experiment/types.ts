// The words that protocols, jobs, analysis and reports share.
import type { MixtureSpec } from '../data/mixture/types';

/** One model of an experiment, for each seed. */
export interface Arm {
  /** Unique in the experiment and stable, as `base`, `mono-en`, `pinch-10`, `pair-en-es`, `order1-k3`. */
  id: string;
  /** For people: `English only`, `P = 10 %`. */
  label: string;
  /** What it is tuned on, without its seed; absent: the base model as it is. */
  mixture?: MixtureSpec;
  /** Coordinates in the protocol, for its analysis: `{percent: 10}`, `{order: 1, k: 3}`, `{language: 'it'}`. */
  at: Readonly<Record<string, string | number>>;
  /** Languages that it is evaluated in. */
  evaluate: readonly string[];
}

/** What one model did with one prompt: every number is a measure's value, absent where the measure does not apply. */
export interface ItemResult {
  /** `parallel_id`, or the record's id where there is none: the unit of the bootstrap. */
  item: string;
  /** Language of the prompt. */
  lang: string;
  /** By the names in lib/eval/measures/names.ts. */
  measures: Readonly<Record<string, number>>;
  /** The language of the answer; `undecided` where no rule settles it. */
  answerLang?: string;
  response?: string;
}

/** Everything known about one trained model. */
export interface ModelResult {
  arm: Arm;
  seed: number;
  items: readonly ItemResult[];
  /** Hashes of the jobs that made it: mix, train, sample, score, measure. */
  jobs: Readonly<Record<string, string>>;
}
