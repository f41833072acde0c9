// From what a file asks to the models it needs. An arm is one model for each seed; its id is stable, so that results of two
// runs of one file line up.
import { checkLanguageCode } from '../../text/language-codes';
import type { ExperimentSpec } from '../spec';
import type { Arm } from '../types';
import { customArms, customLanguages, parseCustomArms } from './custom';
import { atLeast, evaluatedLanguages, tunedLanguages } from './languages';
import { monolingualArms } from './monolingual';
import { orderArms } from './orders';
import { pairArms } from './pairs';
import { pinchArms } from './pinch';
import { withReferences } from './shared-arms';

export {
  PAPER_EXAMPLES,
  PAPER_LANGUAGES,
  PINCH_LANGUAGES,
  SIMILARITY_LANGUAGES,
  UNSEEN_LANGUAGES,
} from './languages';
export { defaultTicks } from './pinch';
export { findMonolingual } from './shared-arms';

/**
 * The models of an experiment: the base first, the protocol's own, then those that answers are compared with, where
 * they are not among the others.
 *
 * @param available languages that the evaluation set has: what `pinch`, `languages` and `custom` evaluate by default
 * @throws MlitError `EXPERIMENT_INVALID`, `MIXTURE_INVALID`, or `DATA_INVALID` for what is no language code
 */
export function expandProtocol(spec: ExperimentSpec, available?: readonly string[]): Arm[] {
  checkLanguageCode(spec.hub, `${spec.name}: hub`);
  if (spec.protocol === 'custom') {
    const parsed = parseCustomArms(spec);
    const tuned = spec.languages === undefined ? customLanguages(parsed) : tunedLanguages(spec);
    const evaluate = evaluatedLanguages(spec, tuned.length > 0 ? tuned : [spec.hub], available);
    return withReferences(spec, customArms(parsed, evaluate), evaluate);
  }
  const tuned = tunedLanguages(spec);
  const evaluate = evaluatedLanguages(spec, tuned, available);
  return withReferences(spec, ownArms(spec, tuned, evaluate), evaluate);
}

function ownArms(spec: ExperimentSpec, tuned: readonly string[], evaluate: readonly string[]): Arm[] {
  switch (spec.protocol) {
    case 'pinch':
      return pinchArms(spec, tuned, evaluate);
    case 'languages':
      return orderArms(spec, tuned, evaluate);
    case 'pairs':
      atLeast(spec, tuned, 2);
      return pairArms(spec, tuned, evaluate);
    default:
      return monolingualArms(spec, tuned, evaluate);
  }
}
