// Arms as the file writes them: a name and a mixture in one line, or `base`.
import { languagesOf, parseMixtureSpec } from '../../data/mixture/spec';
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
      `${spec.name}: arms: protocol 'custom' needs them: name → mixture, as \`english: mono:language=en\`, or \`base\``,
      { fields: { field: 'arms', expected: 'name → mixture' } },
    );
  }
  return entries.map(([id, text]) => {
    if (text.trim() === 'base') return { id };
    if (/\bseed\s*=/.test(text)) {
      throw new MlitError(
        'EXPERIMENT_INVALID',
        `${spec.name}: arms: ${id}: '${text}' names a seed; mixtures take the experiment's ('seed', and 'seeds' of them), so that arms are paired`,
        { fields: { field: `arms.${id}`, value: text } },
      );
    }
    try {
      const { seed: _, policy, ...rest } = parseMixtureSpec(text, { n: spec.examples });
      // What the line leaves open is the experiment's to say.
      return { id, mixture: (/\bpolicy\s*=/.test(text) ? { ...rest, policy } : rest) as MixtureSpec };
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
