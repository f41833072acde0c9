// Arms as the file writes them: a name and a mixture in one line, or `base`.
import { parseMixtureSpec } from '../../data/mixture/spec';
import type { MixtureSpec } from '../../data/mixture/types';
import { MlitError } from '../../native/errors';
import type { ExperimentSpec } from '../spec';
import type { Arm } from '../types';

export interface CustomArm {
  id: string;
  mixture?: MixtureSpec;
}

/** @throws MlitError `EXPERIMENT_INVALID` where there are no arms; `MIXTURE_INVALID` for a line that is no mixture */
export function parseCustomArms(spec: ExperimentSpec): CustomArm[] {
  const entries = Object.entries(spec.arms ?? {});
  if (entries.length === 0) {
    throw new MlitError(
      'EXPERIMENT_INVALID',
      `${spec.name}: arms: protocol 'custom' needs them: name → mixture, as \`english: mono(en)\`, or \`base\``,
      { fields: { field: 'arms', expected: 'name → mixture' } },
    );
  }
  return entries.map(([id, text]) => {
    if (text.trim() === 'base') return { id };
    try {
      return { id, mixture: parseMixtureSpec(text, { n: spec.examples }) };
    } catch (cause) {
      if (!(cause instanceof MlitError)) throw cause;
      throw new MlitError(cause.code, `${spec.name}: arms: ${id}: ${cause.message}`, {
        fields: { ...cause.fields, field: `arms.${id}`, value: text },
        cause,
      });
    }
  });
}

/** Languages that the arms' mixtures name, in their order. */
export function customLanguages(arms: readonly CustomArm[]): string[] {
  return [...new Set(arms.flatMap(({ mixture }) => (mixture === undefined ? [] : languagesOf(mixture))))];
}

export function customArms(arms: readonly CustomArm[], evaluate: readonly string[]): Arm[] {
  return arms.map(({ id, mixture }) => ({
    id,
    label: mixture === undefined ? `${id} (untuned)` : id,
    ...(mixture !== undefined && { mixture }),
    at: { arm: id },
    evaluate,
  }));
}

export function languagesOf(mixture: MixtureSpec): readonly string[] {
  switch (mixture.kind) {
    case 'mono':
      return [mixture.language];
    case 'pinch':
      return [...new Set([mixture.hub, ...mixture.languages])];
    case 'uniform':
    case 'temperature':
      return mixture.languages;
    case 'prefix':
      return mixture.order.slice(0, mixture.k);
    case 'pair':
      return [mixture.a, mixture.b];
    case 'explicit':
      return Object.keys(mixture.counts);
    case 'weights':
      return Object.keys(mixture.weights);
  }
}
