// Models that never were: results with planted effects, so that an analysis can be asked for what is known.

import { expandProtocol } from '../../lib/experiment/protocols';
import { type ExperimentInput, type ExperimentSpec, resolveExperiment } from '../../lib/experiment/spec';
import type { Arm, ItemResult, ModelResult } from '../../lib/experiment/types';

export function simulatedSpec(input: Partial<ExperimentInput>): ExperimentSpec {
  return resolveExperiment({
    name: 'test',
    protocol: 'custom',
    model: 'm',
    data: 'train.jsonl',
    eval: 'eval.jsonl',
    ...input,
  });
}

/** Uniform numbers below 1 (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

export interface Truth {
  /** Expected nats per byte. */
  nats: number;
  /** Probability of an answer in the right language. */
  match: number;
  /** Expected chrF. */
  chrf: number;
}

/** Every arm's results by a rule; items are easy or hard in all languages and arms alike. */
export function simulateModels(
  spec: ExperimentSpec,
  truth: (arm: Arm, lang: string) => Truth,
  { items = 60, noise = 1, draw = 0 }: { items?: number; noise?: number; draw?: number } = {},
): ModelResult[] {
  const arms = expandProtocol(spec);
  const shared = randomNumbers(1000 + draw);
  const ease = Array.from({ length: items }, () => normal(shared));
  const lengths = Array.from({ length: items }, () => 20 + Math.floor(60 * shared()));
  return arms.flatMap((arm, place) => {
    const seeds = arm.mixture === undefined ? 1 : spec.seeds;
    return Array.from({ length: seeds }, (_, repetition): ModelResult => {
      const seed = spec.seed + repetition;
      const random = randomNumbers(7919 * (place + 1) + 104729 * seed + 15485863 * draw);
      const results = arm.evaluate.flatMap((lang) =>
        ease.map((own, at): ItemResult => {
          const { nats, match, chrf } = truth(arm, lang);
          const right = random() < match ? 1 : 0;
          const bytes = lengths[at]!;
          const closeness = chrf + noise * (8 * own + 6 * normal(random));
          return {
            item: `item-${String(at).padStart(4, '0')}`,
            lang,
            answerLang: right ? lang : 'en',
            measures: {
              nats: bytes * (nats + noise * 0.05 * (own + normal(random))),
              bytes,
              targetTokens: Math.ceil(bytes / 4),
              languageMatch: right,
              languageUndecided: 0,
              chrf: Math.min(100, Math.max(0, closeness)),
              rougeL: Math.min(100, Math.max(0, closeness - 5)),
              exactMatch: closeness > 95 ? 1 : 0,
              empty: 0,
              truncated: 0,
              repetition: 0,
              responseTokens: 12,
            },
          };
        }),
      );
      return { arm, seed, items: results, jobs: { train: `${arm.id}-${seed}` } };
    });
  });
}

export function provenanceOf(spec: ExperimentSpec) {
  return {
    model: spec.model,
    modelSha256: 'a',
    data: [],
    eval: [],
    seeds: [spec.seed],
    jobs: {},
    version: '0',
    machine: 'none',
    train: {},
    sample: {},
  };
}
