// Types of measure.mjs, for the tests.

import type {
  checkAnswerLanguageRule,
  identificationRecall,
  languageOfAnswer,
} from '../../lib/text/answer-language';
import type { Identify } from '../../lib/text/identify';
import type { QuickstartRecord } from './data.mjs';
export interface LanguageShares {
  share: number;
  undecided: number;
  ruleRight: number;
  ruleWrong: number;
  ruleShuffled: number;
}
export interface Measured {
  loss: Record<string, number>;
  answers: Map<string, string>;
  language: Record<string, LanguageShares>;
}
export interface TextTools {
  identify: Identify;
  checkAnswerLanguageRule: typeof checkAnswerLanguageRule;
  identificationRecall: typeof identificationRecall;
  languageOfAnswer: typeof languageOfAnswer;
}
export function readJsonl(path: string): QuickstartRecord[];
export function pickMixture(
  records: readonly QuickstartRecord[],
  languages: readonly string[],
  count: number,
): QuickstartRecord[];
export function lossPerByte(records: readonly QuickstartRecord[], scoreLines: string): Record<string, number>;
export function answersInLanguage(
  records: readonly QuickstartRecord[],
  answers: ReadonlyMap<string, string>,
  languages: readonly string[],
  text: TextTools,
): Record<string, LanguageShares>;
export function report(
  records: readonly QuickstartRecord[],
  before: Measured,
  after: Measured,
  languages: readonly string[],
): string;
