// A language has one name here, its canonical BCP 47 code, so that `iw` and `he`, or `zh_CN` and `zh-CN`, are never two
// columns of one table. What else people write is recognised well enough to say which code was meant.
import { MlitError } from '../native/errors';
import { suggest } from './suggest';

/** Countries' codes that are often written where the language's is meant, and which no standard maps. */
const COUNTRY_FOR_LANGUAGE: Readonly<Record<string, string>> = {
  cz: 'cs',
  gr: 'el',
  jp: 'ja',
  cn: 'zh',
  kr: 'ko',
  ua: 'uk',
  dk: 'da',
  ee: 'et',
  il: 'he',
  se: 'sv',
  rs: 'sr',
  al: 'sq',
  in: 'id',
};

/** Bibliographic three-letter codes (ISO 639-2/B), which CLDR's aliases leave out in part. */
const BIBLIOGRAPHIC: Readonly<Record<string, string>> = {
  alb: 'sq',
  arm: 'hy',
  baq: 'eu',
  bur: 'my',
  chi: 'zh',
  cze: 'cs',
  dut: 'nl',
  fre: 'fr',
  geo: 'ka',
  ger: 'de',
  gre: 'el',
  ice: 'is',
  mac: 'mk',
  may: 'ms',
  per: 'fa',
  rum: 'ro',
  slo: 'sk',
  wel: 'cy',
};

const names = new Intl.DisplayNames(['en'], { type: 'language', fallback: 'none' });
const scripts = new Intl.DisplayNames(['en'], { type: 'script', fallback: 'none' });
const regions = new Intl.DisplayNames(['en'], { type: 'region', fallback: 'none' });

const known = new Map<string, string | undefined>();
let byName: Map<string, string> | undefined;

/** The English name of a canonical code, as `Swahili` of `sw`; the code itself where it has none. */
export function languageName(code: string): string {
  return nameOf(code) ?? code;
}

/** The canonical code that is written `code`, or that was probably meant by it; undefined where nothing is near. */
export function suggestLanguageCode(code: string): string | undefined {
  const word = code.trim().replaceAll('_', '-');
  const folded = word.toLowerCase();
  const direct = COUNTRY_FOR_LANGUAGE[folded] ?? BIBLIOGRAPHIC[folded] ?? canonical(word);
  if (direct !== undefined) return direct;
  byName ??= namesToCodes();
  const named = byName.get(folded);
  if (named !== undefined) return named;
  const primary = folded.split('-')[0] as string;
  if (primary !== folded) return suggestLanguageCode(primary);
  const near = folded.length > 3 ? suggest(folded, byName.keys()) : undefined;
  return near === undefined ? undefined : byName.get(near);
}

/** Longer than any code and any language's name: such a text is neither kept nor compared with all names. */
const LONGEST = 80;

/** Whether a text is a canonical BCP 47 code of a known language. */
export function isLanguageCode(code: string): boolean {
  return canonicalOf(code) === code;
}

/**
 * Passes a canonical BCP 47 code through. `und` (language not known) is one.
 *
 * @param where what the code stands in, for the message, as `mixture: hub` or `data.jsonl:3: lang`
 * @throws MlitError `DATA_INVALID` with the code that was probably meant
 */
export function checkLanguageCode(code: string, where = 'language'): string {
  const found = canonicalOf(code);
  if (found === code) return code;
  const meant = found ?? (code.length <= LONGEST ? suggestLanguageCode(code) : undefined);
  const hint = meant === undefined ? '' : `; did you mean '${meant}' (${languageName(meant)})?`;
  throw new MlitError(
    'DATA_INVALID',
    `${where}: '${code.slice(0, LONGEST)}' is no language code (canonical BCP 47 codes are expected, as en, sw or zh-Hant)${hint}`,
    { fields: { value: code.slice(0, LONGEST), ...(meant !== undefined && { suggestion: meant }) } },
  );
}

function canonicalOf(code: string): string | undefined {
  if (!known.has(code) && code.length <= LONGEST) known.set(code, canonical(code));
  return known.get(code);
}

function nameOf(code: string): string | undefined {
  try {
    return names.of(code);
  } catch {
    return undefined;
  }
}

/** The canonical form of a well-formed code whose language, script and region are known. */
function canonical(code: string): string | undefined {
  let form: string | undefined;
  try {
    [form] = Intl.getCanonicalLocales(code);
  } catch {
    return undefined;
  }
  if (form === undefined) return undefined;
  if (form === 'und') return form;
  const { language, script, region } = new Intl.Locale(form);
  // A language that CLDR has no name for may be given one of the codes for private use.
  if (nameOf(language) === undefined && !/^q[a-t][a-z]$/.test(language)) return undefined;
  if (script !== undefined && scripts.of(script) === undefined) return undefined;
  if (region !== undefined && regions.of(region) === undefined) return undefined;
  return form;
}

/** English and own names of every language that has a two- or three-letter code, lower-cased. */
function namesToCodes(): Map<string, string> {
  const map = new Map<string, string>();
  const letters = 'abcdefghijklmnopqrstuvwxyz';
  const add = (code: string): void => {
    if (canonical(code) !== code) return;
    const name = nameOf(code);
    if (name !== undefined && !map.has(name.toLowerCase())) map.set(name.toLowerCase(), code);
  };
  for (const a of letters) for (const b of letters) add(a + b);
  for (const code of [...map.values()]) {
    const own = new Intl.DisplayNames([code], { type: 'language', fallback: 'none' }).of(code);
    if (own !== undefined && !map.has(own.toLowerCase())) map.set(own.toLowerCase(), code);
  }
  for (const a of letters) for (const b of letters) for (const c of letters) add(a + b + c);
  return map;
}
