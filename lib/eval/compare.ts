// Two files of answers to one set of prompts, compared by a program that measures each against the reference.
import type { Example } from '../data/example';
import type { Identify } from '../text/identify';
import { refuseUnknownOptions } from '../text/options';
import {
  type ComparedLanguages,
  type ComparedPair,
  type JoinedAnswers,
  joinAnswers,
  summariseLanguages,
} from './answer-pairs';
import type { AnswerLine } from './measures/types';
import { type ProgramMeasure, scoreVerdicts } from './side-by-side';

/** Programs that judge, and the measure that each compares. */
export const PROGRAM_JUDGES = {
  exact: { measure: 'exact', reads: 'exactMatch', label: 'exact match' },
  chrf: { measure: 'chrf', reads: 'chrf', label: 'chrF' },
  'rouge-l': { measure: 'rougeL', reads: 'rougeL', label: 'ROUGE-L' },
} as const satisfies Record<string, { measure: ProgramMeasure; reads: string; label: string }>;

/** Name of a program that judges two answers. */
export type ProgramJudge = keyof typeof PROGRAM_JUDGES;

/** By what two sets of answers are compared. */
export interface CompareOptions {
  judge: ProgramJudge;
  /** The prompts with their reference answers, read with `need: 'reference'`. */
  references: readonly Example[];
  /** Count answers that are on one side only instead of refusing them. Default false. */
  allowMissing?: boolean;
  /** An answer in the wrong language loses to one in the right language. Default false. */
  gate?: boolean;
  /** Without it, languages in Latin script are told apart by references alone. */
  identify?: Identify | undefined;
  /** Default 10,000. */
  resamples?: number;
  /** Default 0. */
  seed?: number;
}

/** Two sets of answers side by side, by language and over all. */
export interface Comparison extends ComparedLanguages {
  judge: ProgramJudge;
  gate: boolean;
  /** Answers on one side only: (id, sample) pairs. */
  onlyA: number;
  onlyB: number;
}

/**
 * S(A, B) by a program against references.
 *
 * @throws MlitError `DATA_INVALID` for answers on one side only (unless `allowMissing`), twice, to records that the references do
 * not have; `DATA_EMPTY` where nothing is left to compare
 */
export function compareAnswers(
  a: readonly AnswerLine[],
  b: readonly AnswerLine[],
  options: CompareOptions,
): Comparison {
  refuseUnknownOptions('compareAnswers', options, {
    judge: true,
    references: true,
    allowMissing: true,
    gate: true,
    identify: true,
    resamples: true,
    seed: true,
  });
  const { judge, references, gate = false } = options;
  const { joined, onlyA, onlyB } = joinAnswers(a, b, references, options);
  const compared = summariseLanguages(judgeLines(joined, judge), options);
  return { judge, gate, ...compared, onlyA, onlyB };
}

function judgeLines(joined: readonly JoinedAnswers[], judge: ProgramJudge): ComparedPair[] {
  const { measure, reads } = PROGRAM_JUDGES[judge];
  // The record's id, not the item: two records of one language may be wordings of one item.
  const scores = (side: 'a' | 'b') =>
    joined.map(({ [side]: { id, lang, sample, measures } }) => ({
      item: id,
      lang,
      sample,
      value: measures[reads],
    }));
  return scoreVerdicts(scores('a'), scores('b'), { measure }).map((judged, at) => {
    const one = joined[at]!;
    const isSame = one.responses.a === one.responses.b;
    return { ...one, pair: { ...judged, item: one.a.item, ...(isSame && { points: 0.5 }) } };
  });
}
