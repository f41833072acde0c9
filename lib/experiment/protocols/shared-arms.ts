// Arms that more than one protocol needs: the base as it is, and the models that answers are compared with.
import type { MixtureSpec } from '../../data/mixture/types';
import { languageName } from '../../text/language-codes';
import type { ExperimentSpec } from '../spec';
import type { Arm } from '../types';

const BASE_ARM = 'base';

function baseArm(evaluate: readonly string[]): Arm {
  return { id: BASE_ARM, label: 'untuned', at: {}, evaluate };
}

/** Tuned on one language alone, with the whole budget. */
export function monolingualArm(
  language: string,
  spec: ExperimentSpec,
  evaluate: readonly string[],
  role?: 'reference' | 'parent',
): Arm {
  return {
    id: `mono-${language}`,
    label: `${languageName(language)} only`,
    mixture: { kind: 'mono', language, n: spec.examples },
    at: { language, ...(role !== undefined && { role }) },
    evaluate,
  };
}

/** The one language that a mixture has, where it has one and `n` examples of it. */
function soleLanguage(mixture: MixtureSpec | undefined, n: number): string | undefined {
  if (mixture === undefined) return undefined;
  if (mixture.kind === 'explicit') {
    const used = Object.entries(mixture.counts).filter(([, count]) => count > 0);
    return used.length === 1 && used[0]![1] === n ? used[0]![0] : undefined;
  }
  if (mixture.n !== n) return undefined;
  switch (mixture.kind) {
    case 'mono':
      return mixture.language;
    case 'pinch':
      if ('count' in mixture ? mixture.count === 0 : mixture.percent === 0) return mixture.hub;
      return mixture.languages.every((language) => language === mixture.hub) ? mixture.hub : undefined;
    case 'uniform':
    case 'temperature':
      return mixture.languages.length === 1 ? mixture.languages[0] : undefined;
    case 'prefix':
      return mixture.k === 1 ? mixture.order[0] : undefined;
    case 'pair':
      return mixture.a === mixture.b ? mixture.a : undefined;
    case 'weights': {
      const used = Object.entries(mixture.weights).filter(([, weight]) => weight > 0);
      return used.length === 1 ? used[0]![0] : undefined;
    }
  }
}

/** The arm that is tuned on the language alone with the whole budget, whatever it is called. */
export function findMonolingual(arms: readonly Arm[], language: string, n: number): Arm | undefined {
  return arms.find((arm) => soleLanguage(arm.mixture, n) === language);
}

/** The protocol's arms with the base before them and, after them, those that `against` needs and that are not there. */
export function withReferences(
  spec: ExperimentSpec,
  own: readonly Arm[],
  evaluate: readonly string[],
): Arm[] {
  const arms = [...own];
  if (spec.base && !arms.some((arm) => arm.mixture === undefined)) arms.unshift(baseArm(evaluate));
  const needed = spec.against === 'monolingual' ? evaluate : spec.against === 'hub' ? [spec.hub] : [];
  for (const language of needed) {
    if (findMonolingual(arms, language, spec.examples) === undefined)
      arms.push(monolingualArm(language, spec, evaluate, 'reference'));
  }
  return arms;
}
