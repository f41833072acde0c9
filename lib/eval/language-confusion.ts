// Which language comes back when which is asked: counts by prompt and answer, and the pass rates that say whether it comes
// back whole. Made of measured lines alone, so that any set of stored answers can be looked at again.
import { UNDECIDED } from '../text/answer-language';
import type { MeasureLine } from './measures/types';

/** A share with the number of answers that it is of; `null` where there is none. */
export interface Rate {
  value: number | null;
  n: number;
}

/** Answers to the prompts of one language. */
export interface LanguageConfusionRow {
  /** Answers to prompts in this language. */
  n: number;
  /** Answers by their language; sums to n. */
  answers: Record<string, number>;
  /** Answers that can be told by language and are in the prompt's. */
  languageMatch: Rate;
  /** Answers all of whose lines are in the prompt's language, of those with a line long enough. */
  lineLanguagePass: Rate;
  /** Answers without a lower-case Latin word, of those that pass by line; only in languages of other scripts. */
  wordLanguagePass: Rate;
  codeSwitch: Rate;
}

/** In which languages prompts of each language are answered. */
export interface LanguageConfusion {
  /** Languages of prompts, sorted: the matrix's rows. */
  prompts: readonly string[];
  /** Languages of answers: those of the prompts, then others by their number of answers, `undecided` last. */
  answers: readonly string[];
  rows: Readonly<Record<string, LanguageConfusionRow>>;
}

const RATES = ['languageMatch', 'lineLanguagePass', 'wordLanguagePass', 'codeSwitch'] as const;

/** Counts prompt language × answer language. Each sample of a prompt counts. */
export function languageConfusion(
  lines: Iterable<Pick<MeasureLine, 'lang' | 'answerLang' | 'measures'>>,
): LanguageConfusion {
  const rows: Record<string, LanguageConfusionRow> = {};
  const others = new Map<string, number>();
  for (const { lang, answerLang, measures } of lines) {
    rows[lang] ??= emptyRow();
    const row = rows[lang];
    row.n += 1;
    row.answers[answerLang] = (row.answers[answerLang] ?? 0) + 1;
    others.set(answerLang, (others.get(answerLang) ?? 0) + 1);
    for (const name of RATES) {
      const value = measures[name];
      if (value === undefined) continue;
      row[name].n += 1;
      row[name].value = (row[name].value ?? 0) + value;
    }
  }
  for (const row of Object.values(rows))
    for (const name of RATES) if (row[name].value !== null) row[name].value /= row[name].n;
  const prompts = Object.keys(rows).sort();
  const more = [...others]
    .filter(([lang]) => rows[lang] === undefined && lang !== UNDECIDED)
    .sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
    .map(([lang]) => lang);
  return { prompts, answers: [...prompts, ...more, UNDECIDED], rows };
}

function emptyRow(): LanguageConfusionRow {
  const none = (): Rate => ({ value: null, n: 0 });
  return {
    n: 0,
    answers: {},
    languageMatch: none(),
    lineLanguagePass: none(),
    wordLanguagePass: none(),
    codeSwitch: none(),
  };
}
