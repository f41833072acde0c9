// What a data set is made of, before anything is trained on it: the sizes that decide what a run sees, and what is wrong with
// it. Everything is counted by language, because that is where sets differ.

import { setImmediate } from 'node:timers/promises';
import type { ChatTemplate } from '../model/template';
import type { Tokenizer } from '../model/tokenizer';
import { identificationRecall, languageOfAnswer, MIN_LETTERS, UNDECIDED } from '../text/answer-language';
import type { Identify } from '../text/identify';
import { refuseUnknownOptions } from '../text/options';
import { letterCount } from '../text/scripts';
import { words } from '../text/segment';
import { MIN_NEAR, normalizeText, promptOf, responseOf } from './duplicates';
import type { Example } from './example';
import { findLeaks, itemOf, type Leak, type LeakKind } from './hold-out';
import { type TableHoles, tableHoles } from './join';

/** What {@link dataReport} looks at. Lengths are counted where there is a tokenizer, languages checked where there is an identifier. */
export interface DataReportOptions {
  train: readonly Example[];
  /** Looked at as well, and compared with `train`. */
  evaluation?: readonly Example[] | undefined;
  /** Without it nothing is counted in tokens. */
  tokenizer?: Tokenizer | undefined;
  /** For what ends a response; without it the end-of-turn tokens are not counted. */
  template?: ChatTemplate | undefined;
  /** Without it the languages of responses are not looked at. */
  identify?: Identify | undefined;
  /** Similarity from which prompts across the split are near-duplicates; 0: none are looked for. Default 0.8. */
  near?: number | undefined;
  /**
   * Characters of a language that are turned into tokens; of more, records at even distances stand for all, and tokens are
   * then an estimate. Default 250,000.
   */
  maxCharacters?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** Tokens of a text in each record: no template, no BOS. */
export interface Lengths {
  min: number;
  median: number;
  /** 95 % of the texts are at most so long (nearest rank). */
  p95: number;
  max: number;
}

/** Counts and lengths of the records of one language. */
export interface LanguageData {
  records: number;
  /** Records without a response, and with an empty one (of several turns: with any that is empty). */
  withoutResponse: number;
  emptyResponses: number;
  /** Records whose normalised prompt and response an earlier one of the language has; and prompt only. */
  duplicates: number;
  repeatedPrompts: number;
  characters: number;
  tokens?: {
    /** Records that were turned into tokens; all, or those that stand for all. */
    measured: number;
    prompt: Lengths;
    /** Absent where no record has a response. */
    response?: Lengths;
    /** Targets of all records (each response and what ends its turn), extrapolated where not all were measured. */
    supervised: number;
    estimated: boolean;
    /** Tokens of prompts and responses over their words (Intl.Segmenter), on about 60,000 characters. */
    perWord: number;
    controlTokenRecords: number;
    controlTokens: number;
  };
  language?: {
    /** Responses looked at: at most 500, at even distances. */
    checked: number;
    right: number;
    wrong: number;
    /** By no rule: in a script of several languages and under 20 letters, or of no likely language. */
    undecided: number;
    /** What the wrong ones are in. */
    as: Record<string, number>;
    /** The first five wrong ones. */
    ids: string[];
    /**
     * Identification's own recall: the share of texts of 20 letters or more whose label it finds. One of responses that is
     * low while that of prompts is high means wrong labels; both low, that it does not know the language well.
     */
    recall: { responses: Recall; prompts: Recall };
  };
}

/** How often an identifier finds the label of texts whose language is known. */
export interface Recall {
  recall: number;
  n: number;
}

/** One set, by language. */
export interface SetReport {
  records: number;
  items: number;
  /** Of records with a `parallel_id`. */
  table: TableHoles;
  /** Sorted by language. */
  languages: Record<string, LanguageData>;
}

/** What a set of records is made of and what is wrong with it; plain JSON. */
export interface DataReport {
  version: 1;
  train: SetReport;
  evaluation?: SetReport;
  leaks?: {
    /** Evaluation records by kind and language; `id` and `parallel_id` are errors, the others warnings. */
    counts: Partial<Record<LeakKind, Record<string, number>>>;
    /** The first ten of each kind. */
    examples: Leak[];
  };
}

const MAX_CHARACTERS = 250_000;
const WORD_CHARACTERS = 60_000;
const CHECKED_RESPONSES = 500;
/** Characters of a response that its language is told by. */
const IDENTIFIED = 400;
const LEAK_EXAMPLES = 10;

/**
 * Looks at a data set; between languages others have their turn.
 *
 * @throws the signal's reason; RangeError
 */
export async function dataReport(options: DataReportOptions): Promise<DataReport> {
  refuseUnknownOptions('dataReport', options, {
    train: true,
    evaluation: true,
    tokenizer: true,
    template: true,
    identify: true,
    near: true,
    maxCharacters: true,
    signal: true,
  });
  const { train, evaluation } = options;
  const report: DataReport = { version: 1, train: await setReport(train, options) };
  if (evaluation === undefined) return report;
  report.evaluation = await setReport(evaluation, options);
  await setImmediate();
  options.signal?.throwIfAborted();
  report.leaks = countLeaks(findLeaks(train, evaluation, { near: options.near ?? MIN_NEAR }));
  return report;
}

function countLeaks(leaks: readonly Leak[]): NonNullable<DataReport['leaks']> {
  const counts: NonNullable<DataReport['leaks']>['counts'] = {};
  const shown: Partial<Record<LeakKind, number>> = {};
  const examples: Leak[] = [];
  for (const leak of leaks) {
    const ofKind = counts[leak.kind] ?? {};
    counts[leak.kind] = ofKind;
    ofKind[leak.lang] = (ofKind[leak.lang] ?? 0) + 1;
    shown[leak.kind] = (shown[leak.kind] ?? 0) + 1;
    if (shown[leak.kind]! <= LEAK_EXAMPLES) examples.push(leak);
  }
  return { counts, examples };
}

async function setReport(examples: readonly Example[], options: DataReportOptions): Promise<SetReport> {
  const byLanguage = new Map<string, Example[]>();
  for (const example of examples) {
    const list = byLanguage.get(example.lang);
    if (list === undefined) byLanguage.set(example.lang, [example]);
    else list.push(example);
  }
  const labels = [...byLanguage.keys()].filter((lang) => lang !== 'und');
  const languages: SetReport['languages'] = {};
  for (const [lang, records] of [...byLanguage].sort(([a], [b]) => (a < b ? -1 : 1))) {
    await setImmediate();
    options.signal?.throwIfAborted();
    languages[lang] = languageData(lang, records, labels, options);
  }
  return {
    records: examples.length,
    items: new Set(examples.map(itemOf)).size,
    table: tableHoles(examples),
    languages,
  };
}

/** A record's two texts; a record of plain text has no prompt. */
interface Texts {
  example: Example;
  prompt: string;
  response: string;
}

function languageData(
  lang: string,
  records: readonly Example[],
  labels: readonly string[],
  options: DataReportOptions,
): LanguageData {
  const all = records.map((example): Texts => {
    if (example.turns.length === 0) return { example, prompt: '', response: example.text ?? '' };
    return { example, prompt: promptOf(example), response: responseOf(example) };
  });
  const answered = all.filter(({ example }) => hasResponse(example));
  const data: LanguageData = {
    records: all.length,
    withoutResponse: all.length - answered.length,
    emptyResponses: answered.filter(hasEmptyResponse).length,
    ...countDuplicates(all),
    characters: all.reduce((sum, { prompt, response }) => sum + prompt.length + response.length, 0),
  };
  if (options.tokenizer !== undefined)
    data.tokens = countTokens(all, data.characters, options.tokenizer, options);
  if (options.identify !== undefined && lang !== 'und')
    data.language = checkLanguage(lang, answered, labels, options.identify);
  return data;
}

function hasResponse({ turns }: Example): boolean {
  return turns.length === 0 || turns.some(({ role }) => role === 'assistant');
}

function hasEmptyResponse({ example: { turns }, response }: Texts): boolean {
  if (turns.length === 0) return response.trim() === '';
  return turns.some(({ role, content }) => role === 'assistant' && content.trim() === '');
}

function countDuplicates(all: readonly Texts[]): Pick<LanguageData, 'duplicates' | 'repeatedPrompts'> {
  const pairs = new Set<string>();
  const prompts = new Set<string>();
  let [duplicates, repeatedPrompts] = [0, 0];
  for (const texts of all) {
    const prompt = normalizeText(texts.prompt);
    const pair = `${prompt}\0${normalizeText(texts.response)}`;
    if (pairs.has(pair)) duplicates += 1;
    else if (prompt !== '' && prompts.has(prompt)) repeatedPrompts += 1;
    pairs.add(pair);
    prompts.add(prompt);
  }
  return { duplicates, repeatedPrompts };
}

/** Every n-th record, so that about `limit` of `total` remain. */
function atEvenDistances<T>(list: readonly T[], total: number, limit: number): readonly T[] {
  const step = Math.max(1, Math.ceil(total / limit));
  return step === 1 ? list : list.filter((_, at) => at % step === 0);
}

function countTokens(
  all: readonly Texts[],
  characters: number,
  tokenizer: Tokenizer,
  { template, maxCharacters = MAX_CHARACTERS }: DataReportOptions,
): NonNullable<LanguageData['tokens']> {
  const measured = atEvenDistances(all, characters, maxCharacters);
  const end = template?.end.ids.length ?? 0;
  const count = (text: string): number => tokenizer.encode(text, { addBos: false }).length;
  const prompts: number[] = [];
  const responses: number[] = [];
  let [supervised, tokens, wordCount, wordCharacters] = [0, 0, 0, 0];
  for (const { example, prompt, response } of measured) {
    const ofPrompt = count(prompt);
    prompts.push(ofPrompt);
    let ofResponse = 0;
    if (hasResponse(example)) {
      const turns = example.turns.filter(({ role }) => role === 'assistant');
      ofResponse =
        turns.length === 0 ? count(response) : turns.reduce((sum, turn) => sum + count(turn.content), 0);
      responses.push(ofResponse);
      supervised += ofResponse + end * turns.length;
    }
    if (wordCharacters < WORD_CHARACTERS) {
      wordCharacters += prompt.length + response.length;
      tokens += ofPrompt + ofResponse;
      wordCount += words(prompt, example.lang).length + words(response, example.lang).length;
    }
  }
  let [controlTokenRecords, controlTokens] = [0, 0];
  for (const { prompt, response } of all) {
    const spelled = [prompt, response].filter((text) => tokenizer.spellsControl(text));
    if (spelled.length > 0) controlTokenRecords += 1;
    for (const text of spelled)
      for (const id of tokenizer.encode(text, { addBos: false }))
        if (tokenizer.isControl(id)) controlTokens += 1;
  }
  return {
    measured: measured.length,
    prompt: lengthsOf(prompts),
    ...(responses.length > 0 && { response: lengthsOf(responses) }),
    supervised: Math.round((supervised * all.length) / Math.max(measured.length, 1)),
    estimated: measured.length < all.length,
    perWord: wordCount === 0 ? 0 : tokens / wordCount,
    controlTokenRecords,
    controlTokens,
  };
}

function lengthsOf(lengths: readonly number[]): Lengths {
  const sorted = Float64Array.from(lengths).sort();
  const rank = (share: number): number => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  return { min: rank(0), median: rank(0.5), p95: rank(0.95), max: rank(1) };
}

function checkLanguage(
  lang: string,
  answered: readonly Texts[],
  labels: readonly string[],
  identify: Identify,
): NonNullable<LanguageData['language']> {
  const [label, ...others] = [lang, 'en', ...labels].map(primary) as [string, ...string[]];
  const checked = atEvenDistances(answered, answered.length, CHECKED_RESPONSES).filter(
    ({ response }) => response.trim() !== '',
  );
  const known = new Map<string, ReturnType<Identify>>();
  const once: Identify = (text) => {
    const found = known.get(text) ?? identify(text, 1);
    known.set(text, found);
    return found;
  };
  const found = { checked: checked.length, right: 0, wrong: 0, undecided: 0 };
  const as: Record<string, number> = {};
  const ids: string[] = [];
  for (const { example, response } of checked) {
    const languages = [...new Set([label, ...others])];
    const decided = languageOfAnswer(response.slice(0, IDENTIFIED), { identify: once, languages }).lang;
    if (decided === UNDECIDED) found.undecided += 1;
    else if (primary(decided) === label) found.right += 1;
    else {
      found.wrong += 1;
      as[decided] = (as[decided] ?? 0) + 1;
      if (ids.length < 5) ids.push(example.id);
    }
  }
  const recallOf = (texts: readonly string[]): Recall => {
    const long = texts
      .map((text) => text.slice(0, IDENTIFIED))
      .filter((text) => letterCount(text) >= MIN_LETTERS);
    return (
      identificationRecall(
        long.map((text) => ({ lang: label, text })),
        once,
      )[label] ?? { recall: 0, n: 0 }
    );
  };
  const recall = {
    responses: recallOf(checked.map(({ response }) => response)),
    prompts: recallOf(checked.map(({ prompt }) => prompt)),
  };
  return { ...found, as, ids, recall };
}

const primary = (lang: string): string => lang.split('-')[0] as string;
