// Two files of answers to one set of prompts brought together: answers that belong to each other, the languages they are in, and
// what any judge's points come to by language and over all.
import type { Example } from '../data/example';
import { MlitError } from '../native/errors';
import type { Identify } from '../text/identify';
import { gatePair, type LanguageState } from './gate';
import { measureAnswers } from './measures/measure';
import type { AnswerLine, MeasureLine } from './measures/types';
import { type Pair, type SideBySide, sideBySide } from './side-by-side';
import { PairedBootstrap } from './statistics/bootstrap';
import type { Estimate } from './statistics/estimate';

/** A side by side of the prompts of one language, and in which language each side answered. */
export interface ComparedLanguage extends SideBySide {
  /** Shares of answers in the language of the prompt, undecided ones left out; NaN where none is decided. */
  languageMatch: { a: Estimate; b: Estimate };
  /** Answers whose language no rule settles. */
  undecided: { a: number; b: number };
}

/** What two sets of answers come to. */
export interface ComparedLanguages {
  byLanguage: Record<string, ComparedLanguage>;
  all: ComparedLanguage;
}

/** Two answers to one prompt, measured. */
export interface JoinedAnswers {
  a: MeasureLine;
  b: MeasureLine;
  /** The two texts. */
  responses: { a: string; b: string };
}

/** Joined answers with what a judge made of them. */
export interface ComparedPair extends JoinedAnswers {
  pair: Pair;
}

interface Resampling {
  resamples?: number | undefined;
  seed?: number | undefined;
}

/**
 * Answers of both sides to the same prompts, in the order of the set, then by sample.
 *
 * @param evaluation the prompts, with their reference answers where there are any (read with `need: 'reference'`)
 * @throws MlitError `DATA_INVALID` for answers on one side only (unless `allowMissing`), twice, to records that the set does not
 * have; `DATA_EMPTY` where nothing is left to compare
 */
export function joinAnswers(
  a: readonly AnswerLine[],
  b: readonly AnswerLine[],
  evaluation: readonly Example[],
  options: { allowMissing?: boolean | undefined; identify?: Identify | undefined },
): { joined: JoinedAnswers[]; onlyA: number; onlyB: number } {
  const { allowMissing = false, identify } = options;
  const { shared, onlyA, onlyB } = match(a, b, allowMissing);
  const side = (answers: readonly AnswerLine[]) => {
    const own = answers.filter((answer) => shared.has(keyOf(answer)));
    const texts = new Map(own.map((answer) => [keyOf(answer), answer.response]));
    return { lines: measureAnswers(own, evaluation, { identify }).lines, texts };
  };
  const [ours, theirs] = [side(a), side(b)];
  const joined = ours.lines.map((line, at) => ({
    a: line,
    b: theirs.lines[at]!,
    responses: { a: ours.texts.get(keyOf(line))!, b: theirs.texts.get(keyOf(line))! },
  }));
  return { joined, onlyA: onlyA.length, onlyB: onlyB.length };
}

/** Points by language and in all, with the language gate where that is asked for. */
export function summariseLanguages(
  judged: readonly ComparedPair[],
  { gate = false, ...resampling }: Resampling & { gate?: boolean | undefined },
): ComparedLanguages {
  const pairs = gate
    ? judged.map((one) => ({ ...one, pair: gatePair(one.pair, stateOf(one.a), stateOf(one.b)) }))
    : judged;
  const languages = [...new Set(pairs.map(({ pair }) => pair.lang))].sort();
  const of = (lang: string) => pairs.filter(({ pair }) => pair.lang === lang);
  return {
    byLanguage: Object.fromEntries(languages.map((lang) => [lang, summarise(of(lang), resampling)])),
    all: summarise(pairs, resampling),
  };
}

function stateOf({ measures }: MeasureLine): LanguageState {
  if (measures.languageMatch === undefined) return 'undecided';
  return measures.languageMatch === 1 ? 'right' : 'wrong';
}

function summarise(joined: readonly ComparedPair[], { resamples, seed }: Resampling): ComparedLanguage {
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
