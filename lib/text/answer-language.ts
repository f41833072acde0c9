// The language of an answer, by the strongest evidence there is: its script, identification where the text is long enough
// for it, the nearest of the item's references where it is short. What none of them settles is "undecided", never a guess.

import { chrf } from './chrf';
import type { Identify } from './identify';
import { refuseUnknownOptions } from './options';
import { dominantScript, LANGUAGE_SCRIPTS, letterCount } from './scripts';
import { foldWords } from './segment';

export const UNDECIDED = 'undecided';

/** The languages of the paper; what an answer may be in when nothing else is said. */
export const DEFAULT_LANGUAGES: readonly string[] = [
  'ar',
  'zh',
  'cs',
  'en',
  'et',
  'fi',
  'he',
  'hi',
  'it',
  'ru',
  'es',
  'sw',
];

/** Letters from which identification is trusted. */
export const MIN_LETTERS = 20;
/** Recall on the set's own references from which identification is trusted. */
export const MIN_RECALL = 0.9;
/** Probability from which a label is accepted. */
export const MIN_PROBABILITY = 0.3;
/** chrF (0 to 1) to the nearest reference, and its lead over the second, from which the nearest is taken. */
const MIN_SIMILARITY = 0.3;
const MIN_MARGIN = 0.1;

/** What helps to tell an answer’s language. */
export interface AnswerLanguageOptions {
  /** The same item's reference answers by language, for short answers of a parallel set. */
  references?: Readonly<Record<string, string>> | undefined;
  identify?: Identify | undefined;
  /** Identification's recall on this set's references, by language ({@link identificationRecall}). A language that is not in it is trusted. */
  recall?: Readonly<Record<string, number>>;
  /** The language that was asked for: identification is not used where its recall on that language is low. */
  expected?: string;
  /** Languages that an answer may be in. Default: the twelve of the paper. */
  languages?: readonly string[];
}

/** The language of an answer, and by what it was told. */
export interface AnswerLanguage {
  /** A language code, or `undecided`. */
  lang: string;
  by: 'script' | 'identification' | 'reference' | 'nothing';
}

const NOTHING: AnswerLanguage = { lang: UNDECIDED, by: 'nothing' };

/** Decides what language an answer is in. */
export function languageOfAnswer(text: string, options: AnswerLanguageOptions = {}): AnswerLanguage {
  refuseUnknownOptions('languageOfAnswer', options, {
    references: true,
    identify: true,
    recall: true,
    expected: true,
    languages: true,
  });
  const languages = options.languages ?? DEFAULT_LANGUAGES;
  const script = dominantScript(text);
  if (script === undefined) return NOTHING;
  const sharing = languages.filter((lang) => scriptOfLanguage(lang) === script);
  if (sharing.length === 1 && script !== 'Latn') return { lang: sharing[0] as string, by: 'script' };
  if (sharing.length === 0 && script !== 'Latn') {
    const owner = Object.keys(LANGUAGE_SCRIPTS).find((lang) => LANGUAGE_SCRIPTS[lang] === script);
    return { lang: owner as string, by: 'script' };
  }
  return byIdentification(text, options) ?? byReference(text, script, options) ?? NOTHING;
}

function byIdentification(text: string, options: AnswerLanguageOptions): AnswerLanguage | undefined {
  if (options.identify === undefined || letterCount(text) < MIN_LETTERS) return undefined;
  const [best] = options.identify(text, 1);
  if (best === undefined || best.probability < MIN_PROBABILITY) return undefined;
  const trusted = (lang: string | undefined): boolean =>
    lang === undefined || (options.recall?.[lang] ?? 1) >= MIN_RECALL;
  if (!trusted(best.lang) || !trusted(options.expected)) return undefined;
  return { lang: best.lang, by: 'identification' };
}

function byReference(
  text: string,
  script: string,
  options: AnswerLanguageOptions,
): AnswerLanguage | undefined {
  const answer = foldWords(text);
  if (options.references === undefined || answer === '') return undefined;
  const byText = new Map<string, string[]>();
  for (const [lang, reference] of Object.entries(options.references)) {
    if (dominantScript(reference) !== script) continue;
    const folded = foldWords(reference);
    byText.set(folded, [...(byText.get(folded) ?? []), lang]);
  }
  if ((byText.get(answer)?.length ?? 0) > 1) return undefined;
  let best: { lang: string; similarity: number } | undefined;
  let second = 0;
  for (const [reference, langs] of byText) {
    const similarity = chrf(answer, reference) / 100;
    // A name that languages share tells none of them, but what is as near to it as to another is not the other's.
    if (langs.length > 1) second = Math.max(second, similarity);
    else if (best === undefined || similarity > best.similarity) {
      second = Math.max(second, best?.similarity ?? 0);
      best = { lang: langs[0] as string, similarity };
    } else if (similarity > second) {
      second = similarity;
    }
  }
  if (best === undefined || best.similarity < MIN_SIMILARITY || best.similarity - second < MIN_MARGIN)
    return undefined;
  return { lang: best.lang, by: 'reference' };
}

/**
 * Whether most of a text is in a script that the language is not written in: then it is not in that language, also where no
 * rule settles which other one it is in. "I saw this flag" in answer to a question in Hindi is not Hindi.
 */
export function inAnotherScript(text: string, lang: string): boolean {
  const script = dominantScript(text);
  return script !== undefined && script !== scriptOfLanguage(lang);
}

function scriptOfLanguage(lang: string): string {
  return LANGUAGE_SCRIPTS[lang] ?? 'Latn';
}

/** Share of texts whose language identification finds, by language: what to print beside its figures. */
export function identificationRecall(
  texts: Iterable<{ lang: string; text: string }>,
  identify: Identify,
): Record<string, { recall: number; n: number }> {
  const counts: Record<string, { recall: number; n: number }> = {};
  for (const { lang, text } of texts) {
    counts[lang] ??= { recall: 0, n: 0 };
    const count = counts[lang];
    count.n += 1;
    if (identify(text, 1)[0]?.lang === lang) count.recall += 1;
  }
  for (const count of Object.values(counts)) count.recall /= count.n;
  return counts;
}

/** How often the rule is right on texts whose language is known. */
export interface RuleCheck {
  n: number;
  /** Shares of the answers, summing to 1. */
  right: number;
  wrong: number;
  undecided: number;
}

/**
 * How the rule itself does on a parallel set, by language: on each item's own reference, and on another item's reference in
 * the same language (a wrong answer in the right language). To be printed beside every figure that the rule gives.
 *
 * @param items reference answers by language, one record an item
 */
export function checkAnswerLanguageRule(
  items: readonly Readonly<Record<string, string>>[],
  options: Omit<AnswerLanguageOptions, 'references' | 'expected'>,
): { references: Record<string, RuleCheck>; shuffled: Record<string, RuleCheck> } {
  refuseUnknownOptions('checkAnswerLanguageRule', options, { identify: true, recall: true, languages: true });
  const references: Record<string, RuleCheck> = {};
  const shuffled: Record<string, RuleCheck> = {};
  for (const [index, item] of items.entries()) {
    const other = items[(index + 1) % items.length] as Readonly<Record<string, string>>;
    for (const [lang, reference] of Object.entries(item)) {
      tally(
        references,
        lang,
        languageOfAnswer(reference, { ...options, references: item, expected: lang }).lang,
      );
      const wrongAnswer = other[lang];
      if (wrongAnswer === undefined || items.length < 2) continue;
      tally(
        shuffled,
        lang,
        languageOfAnswer(wrongAnswer, { ...options, references: item, expected: lang }).lang,
      );
    }
  }
  for (const check of [...Object.values(references), ...Object.values(shuffled)]) {
    check.right /= check.n;
    check.wrong /= check.n;
    check.undecided /= check.n;
  }
  return { references, shuffled };
}

function tally(checks: Record<string, RuleCheck>, expected: string, decided: string): void {
  checks[expected] ??= { n: 0, right: 0, wrong: 0, undecided: 0 };
  const check = checks[expected];
  check.n += 1;
  if (decided === UNDECIDED) check.undecided += 1;
  else if (decided === expected) check.right += 1;
  else check.wrong += 1;
}
