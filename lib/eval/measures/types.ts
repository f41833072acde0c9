// What goes into the measures of answers and what comes out, as it stands in a store's files.
import type { AnswerLanguage, RuleCheck } from '../../text/answer-language';
import type { Identify } from '../../text/identify';
import type { InstructionCheck } from '../instruction-checks';

/** A line as `mlit sample` prints it; further fields are allowed and not read. */
export interface AnswerLine {
  /** The record's id in the evaluation set. */
  id: string;
  lang: string;
  parallel_id?: string;
  /** Number of the sample, from 0. */
  sample: number;
  response: string;
  /** The new token ids. */
  tokens: readonly number[];
  /** `length` where the limit of new tokens ended it. */
  finishReason: string;
}

/** What some measures need beside answers and references. */
export interface MeasureOptions {
  /** Language identification ({@link loadIdentifier}). Without it: no line-level measures, and short answers only by script or reference. */
  identify?: Identify | undefined;
  /** Languages that an answer may be in. Default: those of the evaluation set. */
  languages?: readonly string[] | undefined;
  /** Closed sets of labels by record id, for `labelAnswered`. Default: the records' own `labels`. */
  labels?: Readonly<Record<string, { labels: readonly string[]; correct: number }>> | undefined;
  /** Checks by record id, for `instructionPass`. Default: the records' own `checks`. */
  checks?: Readonly<Record<string, readonly InstructionCheck[]>> | undefined;
}

/** All measures that apply to one answer. */
export interface MeasureLine {
  id: string;
  sample: number;
  /** `parallel_id`, or the record's id where there is none: the unit of the bootstrap. */
  item: string;
  /** Language of the prompt. */
  lang: string;
  /** A language code, or `undecided`. */
  answerLang: string;
  answerLangBy: AnswerLanguage['by'];
  /** By {@link MEASURES}' names; a measure that does not apply is absent. */
  measures: Record<string, number>;
}

/** What has to be printed beside the measures of one language. */
export interface LanguageSummary {
  answers: number;
  /** Answers whose language is undecided. */
  undecided: number;
  /** Answers to which each measure applies: the n of its cell. */
  applies: Record<string, number>;
  /** Means of the language measures where the set's own references are the answers: what they can reach on this set. */
  onReferences: Record<string, { value: number; n: number }>;
}

/** What has to stand beside every figure that comes from the lines. */
export interface MeasureSummary {
  version: 1;
  answers: number;
  /** Records of the evaluation set. */
  records: number;
  /** Records with an answer to compare with. */
  references: number;
  languages: readonly string[];
  /** Identification's recall on the set's references, by language. */
  identification: Record<string, { recall: number; n: number }>;
  /** The answer-language rule on each item's own references, and on other items' references in the same language. */
  rule: { references: Record<string, RuleCheck>; shuffled: Record<string, RuleCheck> };
  /** By language of the prompt. */
  byLanguage: Record<string, LanguageSummary>;
  /** Sentences for people: weak recall, undecided answers, measures that apply to few. */
  notes: readonly string[];
}
