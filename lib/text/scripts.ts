// Which writing system a text is in, by Unicode's Script property. Where a script belongs to one language only, this tells
// the language of even one word.

/** ISO 15924 codes of the scripts that are told apart. */
const SCRIPT_PATTERNS: readonly (readonly [string, RegExp])[] = [
  ['Latn', /\p{Script=Latin}/u],
  ['Cyrl', /\p{Script=Cyrillic}/u],
  ['Arab', /\p{Script=Arabic}/u],
  ['Hebr', /\p{Script=Hebrew}/u],
  ['Deva', /\p{Script=Devanagari}/u],
  ['Hani', /\p{Script=Han}/u],
  ['Kana', /[\p{Script=Hiragana}\p{Script=Katakana}]/u],
  ['Hang', /\p{Script=Hangul}/u],
  ['Grek', /\p{Script=Greek}/u],
  ['Thai', /\p{Script=Thai}/u],
  ['Beng', /\p{Script=Bengali}/u],
  ['Taml', /\p{Script=Tamil}/u],
  ['Telu', /\p{Script=Telugu}/u],
  ['Guru', /\p{Script=Gurmukhi}/u],
  ['Gujr', /\p{Script=Gujarati}/u],
  ['Knda', /\p{Script=Kannada}/u],
  ['Mlym', /\p{Script=Malayalam}/u],
  ['Sinh', /\p{Script=Sinhala}/u],
  ['Ethi', /\p{Script=Ethiopic}/u],
  ['Armn', /\p{Script=Armenian}/u],
  ['Geor', /\p{Script=Georgian}/u],
  ['Khmr', /\p{Script=Khmer}/u],
  ['Laoo', /\p{Script=Lao}/u],
  ['Mymr', /\p{Script=Myanmar}/u],
];

/** The script that each language is written in; languages that are not here are taken to be written in Latin. */
export const LANGUAGE_SCRIPTS: Readonly<Record<string, string>> = {
  ar: 'Arab',
  fa: 'Arab',
  ur: 'Arab',
  he: 'Hebr',
  yi: 'Hebr',
  hi: 'Deva',
  mr: 'Deva',
  ne: 'Deva',
  ru: 'Cyrl',
  uk: 'Cyrl',
  bg: 'Cyrl',
  sr: 'Cyrl',
  mk: 'Cyrl',
  kk: 'Cyrl',
  mn: 'Cyrl',
  zh: 'Hani',
  ja: 'Kana',
  ko: 'Hang',
  el: 'Grek',
  th: 'Thai',
  bn: 'Beng',
  ta: 'Taml',
  te: 'Telu',
  pa: 'Guru',
  gu: 'Gujr',
  kn: 'Knda',
  ml: 'Mlym',
  si: 'Sinh',
  am: 'Ethi',
  hy: 'Armn',
  ka: 'Geor',
  km: 'Khmr',
  lo: 'Laoo',
  my: 'Mymr',
};

const LETTER = /\p{L}/u;
const known = new Map<string, string | null>();

/** Script of a letter; undefined for what is no letter (digits, marks, emoji, punctuation) or of another script. */
export function scriptOf(char: string): string | undefined {
  let script = known.get(char);
  if (script === undefined) {
    script = LETTER.test(char)
      ? (SCRIPT_PATTERNS.find(([, pattern]) => pattern.test(char))?.[0] ?? null)
      : null;
    known.set(char, script);
  }
  return script ?? undefined;
}

/** Letters of a text by script. */
export function scriptCounts(text: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const char of text) {
    const script = scriptOf(char);
    if (script !== undefined) counts.set(script, (counts.get(script) ?? 0) + 1);
  }
  return counts;
}

/** Scripts whose one character says about as much as two or more letters of others. */
const DENSE = new Set(['Hani', 'Kana', 'Hang']);

/**
 * The script of more than half of a text's letters, where a character of a dense script (Han, kana, Hangul) counts twice.
 * Japanese mixes Han with kana: a text with kana in a fifth of its letters or more is `Kana`.
 */
export function dominantScript(text: string): string | undefined {
  const counts = scriptCounts(text);
  let letters = 0;
  for (const [script, count] of counts) {
    const weighted = DENSE.has(script) ? count * 2 : count;
    counts.set(script, weighted);
    letters += weighted;
  }
  const kana = counts.get('Kana') ?? 0;
  const han = counts.get('Hani') ?? 0;
  if (kana > 0 && kana * 5 >= letters && (kana + han) * 2 > letters) return 'Kana';
  for (const [script, count] of counts) if (count * 2 > letters) return script;
  return undefined;
}

/** Letters of a text (Unicode category L), of any script. */
export function letterCount(text: string): number {
  let count = 0;
  for (const char of text) if (LETTER.test(char)) count += 1;
  return count;
}
