// Two files of answers to one set of prompts, compared by a program: joined, measured, turned into verdicts, gated where that is
// asked for, and summed up by language and in all.
import type { Example } from '../data/example';
import { MlitError } from '../native/errors';
import type { Identify } from '../text/identify';
import { refuseUnknownOptions } from '../text/options';
import { gatePair, type LanguageState } from './gate';
import { measureAnswers } from './measures/measure';
import type { AnswerLine, MeasureLine } from './measures/types';
import { type Pair, type ProgramMeasure, type SideBySide, scoreVerdicts, sideBySide } from './side-by-side';
import { PairedBootstrap } from './statistics/bootstrap';
import type { Estimate } from './statistics/estimate';

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

/** A side by side of the prompts of one language, and in which language each side answered. */
export interface ComparedLanguage extends SideBySide {
  /** Shares of answers in the language of the prompt, undecided ones left out; NaN where none is decided. */
  languageMatch: { a: Estimate; b: Estimate };
  /** Answers whose language no rule settles. */
  undecided: { a: number; b: number };
}

/** Two sets of answers side by side, by language and over all. */
export interface Comparison {
  judge: ProgramJudge;
  gate: boolean;
  byLanguage: Record<string, ComparedLanguage>;
  all: ComparedLanguage;
  /** Answers on one side only: (id, sample) pairs. */
  onlyA: number;
  onlyB: number;
}

interface Joined {
  pair: Pair;
  a: MeasureLine;
  b: MeasureLine;
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
  const { judge, references, gate = false, identify } = options;
  const { shared, onlyA, onlyB } = match(a, b, options.allowMissing ?? false);
  const measured = (answers: readonly AnswerLine[]): MeasureLine[] =>
    measureAnswers(
      answers.filter((answer) => shared.has(keyOf(answer))),
      references,
      { identify },
    ).lines;
  const joined = judgeLines(measured(a), measured(b), judge, sameTexts(a, b), gate);
  const languages = [...new Set(joined.map(({ pair }) => pair.lang))].sort();
  return {
    judge,
    gate,
    byLanguage: Object.fromEntries(
      languages.map((lang) => [
        lang,
        summarise(
          joined.filter(({ pair }) => pair.lang === lang),
          options,
        ),
      ]),
    ),
    all: summarise(joined, options),
    onlyA: onlyA.length,
    onlyB: onlyB.length,
  };
}

function judgeLines(
  a: readonly MeasureLine[],
  b: readonly MeasureLine[],
  judge: ProgramJudge,
  same: ReadonlySet<string>,
  gate: boolean,
): Joined[] {
  const { measure, reads } = PROGRAM_JUDGES[judge];
  // The record's id, not the item: two records of one language may be wordings of one item.
  const scores = (lines: readonly MeasureLine[]) =>
    lines.map(({ id, lang, sample, measures }) => ({ item: id, lang, sample, value: measures[reads] }));
  const pairs = scoreVerdicts(scores(a), scores(b), { measure });
  // Both sides come in the order of the references, then by sample.
  return pairs.map((judged, at) => {
    const [ours, theirs] = [a[at]!, b[at]!];
    const pair: Pair = { ...judged, item: ours.item, ...(same.has(keyOf(ours)) && { points: 0.5 }) };
    return {
      pair: gate ? gatePair(pair, stateOf(ours), stateOf(theirs)) : pair,
      a: ours,
      b: theirs,
    };
  });
}

function stateOf({ measures }: MeasureLine): LanguageState {
  if (measures.languageMatch === undefined) return 'undecided';
  return measures.languageMatch === 1 ? 'right' : 'wrong';
}

function summarise(joined: readonly Joined[], { resamples, seed }: CompareOptions): ComparedLanguage {
  const options = { ...(resamples !== undefined && { resamples }), ...(seed !== undefined && { seed }) };
  const items = [...new Set(joined.map(({ pair }) => pair.item))];
  const place = new Map(items.map((item, at) => [item, at]));
  const cell = (side: 'a' | 'b') => {
    const values = new Float64Array(items.length);
    const weights = new Float64Array(items.length);
    for (const one of joined) {
      const state = stateOf(one[side]);
      if (state === 'undecided') continue;
      const at = place.get(one.pair.item)!;
      values[at]! += state === 'right' ? 1 : 0;
      weights[at]! += 1;
    }
    return { values, weights, range: [0, 1] as const };
  };
  const bootstrap = new PairedBootstrap([cell('a'), cell('b')], options);
  const undecided = (side: 'a' | 'b'): number =>
    joined.filter((one) => stateOf(one[side]) === 'undecided').length;
  return {
    ...sideBySide(
      joined.map(({ pair }) => pair),
      options,
    ),
    languageMatch: { a: bootstrap.estimate(0), b: bootstrap.estimate(1) },
    undecided: { a: undecided('a'), b: undecided('b') },
  };
}

function keyOf({ id, sample }: { id: string; sample: number }): string {
  return JSON.stringify([id, sample]);
}

function sameTexts(a: readonly AnswerLine[], b: readonly AnswerLine[]): Set<string> {
  const ours = new Map(a.map((answer) => [keyOf(answer), answer.response]));
  return new Set(b.filter((answer) => ours.get(keyOf(answer)) === answer.response).map(keyOf));
}

function match(
  a: readonly AnswerLine[],
  b: readonly AnswerLine[],
  allowMissing: boolean,
): { shared: Set<string>; onlyA: AnswerLine[]; onlyB: AnswerLine[] } {
  const ours = new Set(a.map(keyOf));
  const theirs = new Set(b.map(keyOf));
  const onlyA = a.filter((answer) => !theirs.has(keyOf(answer)));
  const onlyB = b.filter((answer) => !ours.has(keyOf(answer)));
  if (!allowMissing && onlyA.length + onlyB.length > 0) {
    const parts = [
      ...(onlyA.length > 0 ? [`${onlyA.length} of A have no answer in B (${naming(onlyA)})`] : []),
      ...(onlyB.length > 0 ? [`${onlyB.length} of B have no answer in A (${naming(onlyB)})`] : []),
    ];
    throw new MlitError(
      'DATA_INVALID',
      `answers are joined by id and sample: ${parts.join(', and ')}; sample both over the same prompts, or count them with --allow-missing`,
      { fields: { onlyA: onlyA.length, onlyB: onlyB.length } },
    );
  }
  const shared = new Set([...ours].filter((key) => theirs.has(key)));
  if (shared.size === 0)
    throw new MlitError('DATA_EMPTY', 'A and B share no id and sample, so there is nothing to compare');
  return { shared, onlyA, onlyB };
}

function naming(answers: readonly AnswerLine[]): string {
  const names = answers
    .slice(0, 3)
    .map(({ id, sample }) => (sample === 0 ? `"${id}"` : `"${id}" sample ${sample}`));
  return answers.length > 3 ? `${names.join(', ')}, …` : names.join(', ');
}
