// Which way a text runs, by its language: a page in English shows answers in Arabic. Runs in browsers too.

/** ISO 15924 codes of the scripts that run from right to left. */
const RIGHT_TO_LEFT = new Set([
  'Adlm',
  'Arab',
  'Aran',
  'Hebr',
  'Mand',
  'Mend',
  'Nkoo',
  'Rohg',
  'Samr',
  'Syrc',
  'Thaa',
  'Yezi',
]);

/** What `dir` is set to. `auto`: as the text's own first letter runs. */
export type Direction = 'ltr' | 'rtl' | 'auto';

/** By the script that the language is usually written in; `auto` for `und` and what is no language code. */
export function directionOf(lang: string): Direction {
  const script = scriptOfLanguage(lang);
  if (script === undefined) return 'auto';
  return RIGHT_TO_LEFT.has(script) ? 'rtl' : 'ltr';
}

/** What an element that holds a text has to say of it. An unknown language is `und`, so that it is not taken for the page's. */
export function languageAttributes(lang: string): { lang: string; dir: Direction } {
  const dir = directionOf(lang);
  return { lang: dir === 'auto' ? 'und' : lang, dir };
}

function scriptOfLanguage(lang: string): string | undefined {
  try {
    const locale = new Intl.Locale(lang);
    // The likeliest language of all is English, which says nothing of a text.
    return /^und\b/i.test(lang) ? locale.script : locale.maximize().script;
  } catch {
    return undefined;
  }
}
