// What the page's packed blocks hold, for those who write them (answer-packer.ts) and for the browser that reads them.
import type { Direction } from '../../page/direction';

/** Ids of the blocks. */
export const BLOCKS = {
  meta: 'answers-meta',
  answers: 'answers-index',
  prompts: 'prompts-index',
  verdicts: 'verdicts-index',
  answerTexts: (chunk: number): string => `answers-${chunk}`,
  promptTexts: (chunk: number): string => `prompts-${chunk}`,
} as const;

/** A model as the page's filters name it. */
export interface PageModel {
  arm: string;
  label: string;
  /** null: the untuned model. */
  seed: number | null;
  /** Hash of the sampling job. */
  job: string;
}

export interface PageLanguage {
  code: string;
  name: string;
  dir: Direction;
  /** Of prompts in it. */
  prompts: number;
}

/** Verdicts of one judge on two models, a column over prompts each. */
export interface PageVerdicts {
  judge: string;
  protocol: string;
  /** Places of the models. */
  a: number;
  b: number;
  /** Answers of the judge that were in no form. */
  invalid: number;
}

/** The block `meta`. */
export interface AnswersMeta {
  answers: number;
  models: readonly PageModel[];
  /** Of prompts. */
  languages: readonly PageLanguage[];
  /** Codes of the answers' languages; the first is empty. */
  answerLanguages: readonly { code: string; name: string; dir: Direction }[];
  /** Numbers of the first answer and of the first prompt of each chunk, and behind the last the number of all. */
  answerStarts: readonly number[];
  promptStarts: readonly number[];
  /** What the numbers behind an answer's text are. */
  measures: readonly { label: string; unit: string }[];
  /** What the template puts before and after every prompt, taken off from each. */
  frame: { before: string; after: string };
  verdicts: readonly PageVerdicts[];
}

/** An answer in a chunk: its text and its measures as they are shown, in the order of `measures`. */
export type PackedAnswer = readonly [text: string, ...measures: (string | null)[]];

/** A prompt in a chunk. `key` is what a link names it by. */
export interface PackedPrompt {
  key: string;
  id: string;
  item: string;
  text: string;
  /** What the evaluation set wants for an answer, in the prompt's language; absent where there is none. */
  reference?: string;
}

/** A judge's word on a pair, in a column over prompts. */
export const PAIR_VERDICTS = ['none', 'A', 'tie', 'B', 'invalid'] as const;
