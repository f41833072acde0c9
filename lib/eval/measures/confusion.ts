// Language confusion inside an answer, line by line and word by word, after the Language Confusion Benchmark (Marchisio et
// al., EMNLP 2024). Its English dictionary is not used: any lower-case Latin word counts, words are Unicode's, and a line in
// a script that only one language of the set has is not left to an identifier that calls Chinese Japanese.
import { MIN_PROBABILITY } from '../../text/answer-language';
import type { Identify } from '../../text/identify';
import { dominantScript, LANGUAGE_SCRIPTS } from '../../text/scripts';
import { words } from '../../text/segment';

/** Words from which a line is identified. */
const MIN_LINE_WORDS = 5;
/** Share of words in another script than most from which an answer counts as mixed. */
const MIN_SWITCH_SHARE = 0.1;

export interface ConfusionOptions {
  /** Language of the prompt, as the rules know it. */
  lang: string;
  identify?: Identify | undefined;
  /** Languages of the set, as the rules know them: where one of them alone has a line's script, that is the line's language. Default: `lang`. */
  languages?: readonly string[];
}

/** Measures of one answer; absent where they do not apply. */
export interface Confusion {
  lineLanguagePass?: 0 | 1;
  wordLanguagePass?: 0 | 1;
  latinWordRate?: number;
  codeSwitch?: 0 | 1;
}

const LETTER = /\p{L}/u;
/** What the benchmark takes out of a line before it is identified. */
const PUNCTUATION = /[!-/:-@[-`{-~،]/g;
const LATIN_WORD = /^\p{Ll}{4,}$/u;

export function confusionOf(text: string, options: ConfusionOptions): Confusion {
  const { lang } = options;
  const found = words(text, lang).filter((word) => LETTER.test(word));
  const scripts = found.map((word) => scriptOfWord(word));
  const confusion: Confusion = {};
  const labels = lineLabels(text, options);
  if (labels.length > 0) confusion.lineLanguagePass = labels.every((label) => label === lang) ? 1 : 0;
  if ((LANGUAGE_SCRIPTS[lang] ?? 'Latn') !== 'Latn' && found.length > 0) {
    const latin = found.filter((_, at) => scripts[at] === 'Latn');
    confusion.latinWordRate = latin.length / found.length;
    if (confusion.lineLanguagePass === 1)
      confusion.wordLanguagePass = latin.some((word) => LATIN_WORD.test(word)) ? 0 : 1;
  }
  if (found.length >= 2) confusion.codeSwitch = mixesScripts(scripts) || mixesLines(labels) ? 1 : 0;
  return confusion;
}

/**
 * The language of each line of at least {@link MIN_LINE_WORDS} words; undefined where no label is likely enough. Without
 * identification, none at all where a line might be in the prompt's language.
 */
function lineLabels(text: string, { lang, identify, languages }: ConfusionOptions): (string | undefined)[] {
  const labels: (string | undefined)[] = [];
  for (const line of text.split(/\r\n|[\n\r\u2028\u2029]/u)) {
    if (words(line, lang).filter((word) => LETTER.test(word)).length < MIN_LINE_WORDS) continue;
    const script = dominantScript(line);
    const sharing = (languages ?? [lang]).filter((code) => LANGUAGE_SCRIPTS[code] === script);
    if (script !== undefined && script !== 'Latn' && sharing.length === 1) labels.push(sharing[0]);
    else if (identify === undefined) {
      if (script === (LANGUAGE_SCRIPTS[lang] ?? 'Latn')) return [];
      labels.push(undefined);
    } else {
      const [best] = identify(line.replace(PUNCTUATION, '').replaceAll('—', ' '), 1);
      labels.push(best !== undefined && best.probability > MIN_PROBABILITY ? best.lang : undefined);
    }
  }
  return labels;
}

function scriptOfWord(word: string): string {
  const script = dominantScript(word) ?? 'Zyyy';
  return script === 'Kana' ? 'Hani' : script;
}

function mixesScripts(scripts: readonly string[]): boolean {
  const counts = new Map<string, number>();
  for (const script of scripts) counts.set(script, (counts.get(script) ?? 0) + 1);
  const most = Math.max(...counts.values());
  return (scripts.length - most) / scripts.length >= MIN_SWITCH_SHARE;
}

function mixesLines(labels: readonly (string | undefined)[]): boolean {
  return new Set(labels.filter((label) => label !== undefined)).size > 1;
}
