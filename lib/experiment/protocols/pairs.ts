// E5: the languages split at random into pairs, half the budget each, beside the two models tuned on one language of the pair.
import { seededOrder } from '../../data/mixture/random';
import { MlitError } from '../../native/errors';
import { languageName } from '../../text/language-codes';
import type { ExperimentSpec } from '../spec';
import type { Arm } from '../types';
import { findMonolingual, monolingualArm } from './shared-arms';

const PURPOSE_PAIRS = 0x70616972;

/** A function of the set of languages and the seed. The paper's own split is not known, but for English with Spanish (V). */
export function splitIntoPairs(languages: readonly string[], seed: number): readonly [string, string][] {
  const sorted = [...new Set(languages)].sort();
  const order = [...seededOrder(sorted.length, seed, PURPOSE_PAIRS)].map((at) => sorted[at]!);
  const pairs: [string, string][] = [];
  for (let i = 0; i + 1 < order.length; i += 2) {
    const [a, b] = [order[i]!, order[i + 1]!].sort() as [string, string];
    pairs.push([a, b]);
  }
  return pairs.sort((x, y) => (x[0] < y[0] ? -1 : 1));
}

/** @throws MlitError `EXPERIMENT_INVALID` for an odd number of languages */
export function pairArms(
  spec: ExperimentSpec,
  languages: readonly string[],
  evaluate: readonly string[],
): Arm[] {
  if (languages.length % 2 !== 0) {
    throw new MlitError(
      'EXPERIMENT_INVALID',
      `${spec.name}: languages: protocol 'pairs' splits them into pairs, and ${languages.length} is odd; leave one out`,
      { fields: { field: 'languages', expected: 'an even number', value: languages.length } },
    );
  }
  const arms = splitIntoPairs(languages, spec.seed).map(
    ([a, b]): Arm => ({
      id: `pair-${a}-${b}`,
      label: `${languageName(a)} + ${languageName(b)}`,
      mixture: { kind: 'pair', a, b, n: spec.examples },
      at: { a, b },
      evaluate,
    }),
  );
  for (const language of languages) {
    if (findMonolingual(arms, language, spec.examples) === undefined)
      arms.push(monolingualArm(language, spec, evaluate, 'parent'));
  }
  return arms;
}
