// The languages that the paper's experiments are about, as defaults. Marks say how well each list is known: V = stands in the
// paper's body, D = follows from it by arithmetic, U = not verified.
import { MlitError } from '../../native/errors';
import { DEFAULT_LANGUAGES } from '../../text/answer-language';
import { checkLanguageCode } from '../../text/language-codes';
import type { ExperimentSpec } from '../spec';

/** E1, E2, E5: the twelve. V. */
export const PAPER_LANGUAGES = DEFAULT_LANGUAGES;

/** E3 and E4: English and the five tuned on. V. */
export const PINCH_LANGUAGES: readonly string[] = ['en', 'ar', 'fi', 'it', 'ru', 'sw'];

/** E3 and E4: the six that are only evaluated. V, and D as the twelve less the six. */
export const UNSEEN_LANGUAGES: readonly string[] = ['cs', 'et', 'he', 'hi', 'es', 'zh'];

/** E6: Slavic languages in two scripts. V. */
export const SIMILARITY_LANGUAGES: readonly string[] = ['ru', 'sr', 'hr', 'sl', 'pl', 'sk', 'cs'];

/** Examples of every mixture: 1,000 of LIMA and 3,640 of OpenAssistant. V. */
export const PAPER_EXAMPLES = 4640;

/** The languages an experiment tunes on, in the file's order, doubles removed. */
export function tunedLanguages(spec: ExperimentSpec): readonly string[] {
  if (spec.languages !== undefined) return checked(spec.languages, `${spec.name}: languages`);
  if (spec.protocol === 'languages') return PINCH_LANGUAGES;
  if (spec.protocol === 'similarity') return SIMILARITY_LANGUAGES;
  return PAPER_LANGUAGES;
}

/**
 * The languages every arm is evaluated in: what the file says; else, for `pinch`, `languages` and `custom`, all that the
 * evaluation set has (`available`), where that is known; else those of the protocol and the hub.
 */
export function evaluatedLanguages(
  spec: ExperimentSpec,
  tuned: readonly string[],
  available?: readonly string[],
): readonly string[] {
  if (spec.evalLanguages !== undefined) return checked(spec.evalLanguages, `${spec.name}: evalLanguages`);
  switch (spec.protocol) {
    case 'pinch':
    case 'languages':
    case 'custom':
      if (available !== undefined && available.length > 0) return available;
      if (spec.protocol === 'languages' && spec.languages === undefined) return PAPER_LANGUAGES;
      return [...new Set([...tuned, ...(spec.protocol === 'pinch' ? [spec.hub] : [])])];
    default:
      return tuned;
  }
}

/** @throws MlitError `EXPERIMENT_INVALID` where there are fewer than `least` */
export function atLeast(spec: ExperimentSpec, languages: readonly string[], least: number): void {
  if (languages.length >= least) return;
  throw new MlitError(
    'EXPERIMENT_INVALID',
    `${spec.name}: languages: protocol '${spec.protocol}' needs at least ${least}, got ${languages.length} (${languages.join(', ')})`,
    { fields: { field: 'languages', expected: `at least ${least}`, value: languages.length } },
  );
}

function checked(codes: readonly string[], where: string): readonly string[] {
  return [...new Set(codes.map((code) => checkLanguageCode(code, where)))];
}
