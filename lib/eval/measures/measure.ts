// Answers in, one line of numbers an answer out.
import type { Example } from '../../data/example';
import type { AnswerLine, MeasureLine, MeasureOptions, MeasureSummary } from './types';

/**
 * Measures answers against their evaluation set.
 *
 * @throws MlitError `DATA_INVALID` for an answer whose record the set does not have, or has in another language
 */
export declare function measureAnswers(
  answers: readonly AnswerLine[],
  evaluation: readonly Example[],
  options?: MeasureOptions,
): { lines: MeasureLine[]; summary: MeasureSummary };
