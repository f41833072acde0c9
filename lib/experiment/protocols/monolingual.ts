// E1, E6, E7: one model a language, each on the whole budget, evaluated in all of them.
import type { ExperimentSpec } from '../spec';
import type { Arm } from '../types';
import { monolingualArm } from './shared-arms';

export function monolingualArms(
  spec: ExperimentSpec,
  languages: readonly string[],
  evaluate: readonly string[],
): Arm[] {
  return languages.map((language) => monolingualArm(language, spec, evaluate));
}
