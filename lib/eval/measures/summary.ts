// What has to stand beside every figure made of measures, and the sentences for people about it.
import { MIN_RECALL } from '../../text/answer-language';
import { LANGUAGE_SCRIPTS } from '../../text/scripts';
import type { SetLanguages } from './languages';
import type { LanguageSummary, MeasureLine, MeasureSummary } from './types';

/** Share of undecided answers from which a sentence is said about it. */
const MANY_UNDECIDED = 0.1;
/** Share of answers under which a measure is said to apply to few. */
const FEW = 0.5;

interface Parts {
  records: readonly { lang: string; reference: string | undefined }[];
  context: { languages: SetLanguages };
  identification: MeasureSummary['identification'];
  rule: MeasureSummary['rule'];
}

export class Summary {
  readonly #parts: Parts;
  readonly #byLanguage: Record<string, LanguageSummary> = {};
  #answers = 0;
  readonly #answered = new Set<string>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  reference(lang: string, measures: Readonly<Record<string, number>>): void {
    add(this.#of(lang).onReferences, measures);
  }

  answer({ id, lang, measures }: MeasureLine): void {
    this.#answers += 1;
    this.#answered.add(id);
    const own = this.#of(lang);
    own.answers += 1;
    for (const name of Object.keys(measures)) own.applies[name] = (own.applies[name] ?? 0) + 1;
    own.undecided += measures.languageUndecided ?? 0;
  }

  finish(): MeasureSummary {
    const { records, context, identification, rule } = this.#parts;
    for (const own of Object.values(this.#byLanguage))
      for (const one of Object.values(own.onReferences)) one.value /= one.n;
    return {
      version: 1,
      answers: this.#answers,
      records: records.length,
      references: records.filter(({ reference }) => reference !== undefined).length,
      languages: context.languages.codes,
      identification,
      rule,
      byLanguage: this.#byLanguage,
      notes: this.#notes(),
    };
  }

  #of(lang: string): LanguageSummary {
    this.#byLanguage[lang] ??= { answers: 0, undecided: 0, applies: {}, onReferences: {} };
    return this.#byLanguage[lang];
  }

  #notes(): string[] {
    const { context, identification, records } = this.#parts;
    const { languages } = context;
    const notes: string[] = [];
    const own = Object.entries(this.#byLanguage).filter(([, { answers }]) => answers > 0);
    const list = (entries: string[]): string => entries.join(', ');
    const asked = records.filter(({ lang }) => (this.#byLanguage[lang]?.answers ?? 0) > 0).length;
    if (this.#answered.size < asked)
      notes.push(`${asked - this.#answered.size} records of the languages answered have no answer`);
    if (languages.identify === undefined)
      notes.push('no language identification: answers are told by script and by nearest reference only');
    const weak = Object.entries(identification)
      .filter(([lang, { recall }]) => recall < MIN_RECALL && !toldByScript(lang, languages))
      .map(([lang, { recall, n }]) => `${lang} ${percent(recall)} of ${n}`);
    if (weak.length > 0)
      notes.push(
        `language identification finds too few of the set's own references, and is not used for prompts in: ${list(weak)}`,
      );
    for (const pool of languages.pooled) notes.push(`${pool.join(' and ')} are one language to the measures`);
    const undecided = own
      .filter(([, { answers, undecided: count }]) => count > answers * MANY_UNDECIDED)
      .map(([lang, { answers, undecided: count }]) => `${lang} ${percent(count / answers)} of ${answers}`);
    if (undecided.length > 0)
      notes.push(
        `answers whose language is undecided are left out of the language match: ${list(undecided)}`,
      );
    const few = own
      .filter(([, { answers, applies }]) => (applies.lineLanguagePass ?? 0) < answers * FEW)
      .map(([lang, { answers, applies }]) => `${lang} ${applies.lineLanguagePass ?? 0} of ${answers}`);
    if (languages.identify !== undefined && few.length > 0)
      notes.push(`few answers have a line of five words or more, for line-level pass: ${list(few)}`);
    return notes;
  }
}

function add(sums: LanguageSummary['onReferences'], measures: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(measures)) {
    const sum = sums[name] ?? { value: 0, n: 0 };
    sum.value += value;
    sum.n += 1;
    sums[name] = sum;
  }
}

/** Whether a language of the set is alone in it with its script, which is not Latin. */
function toldByScript(lang: string, languages: SetLanguages): boolean {
  const own = LANGUAGE_SCRIPTS[languages.rule(lang)];
  if (own === undefined) return false;
  return languages.rules.filter((code) => LANGUAGE_SCRIPTS[code] === own).length === 1;
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}
