// The languages of one evaluation set as its rules know them: `zh-Hans` is `zh` to an identifier, `nb` is `no`, and Serbian,
// Croatian and Bosnian are told apart by script or not at all.
import type { Identify } from '../../text/identify';
import { dominantScript } from '../../text/scripts';

/** What lid.176 calls languages that have another primary subtag. */
const LABELS: Readonly<Record<string, string>> = { nb: 'no', fil: 'tl', iw: 'he', in: 'id', ji: 'yi' };
/** One language to an identifier in Latin script; `sr` stands for its Cyrillic part and `hr` for its Latin part. */
const SERBO_CROATIAN: ReadonlySet<string> = new Set(['sr', 'hr', 'bs', 'sh']);

export interface SetLanguages {
  /** Codes as the set has them. */
  readonly codes: readonly string[];
  /** The rules' codes of all of them, each once. */
  readonly rules: readonly string[];
  /** The code that the rules use for a language of the set. */
  rule(lang: string): string;
  /** A code of the rules as the set writes it; `expected` where both are one language to the rules. */
  shown(rule: string, expected: string): string;
  /** Identification whose labels are the rules' codes. */
  readonly identify: Identify | undefined;
  /** Languages of the set that the rules can't tell apart, if any. */
  readonly pooled: readonly (readonly string[])[];
}

/** @param references texts known to be in a language of the set, which tell the script that it writes Serbian in */
export function setLanguages(
  codes: readonly string[],
  references: Iterable<{ lang: string; text: string }>,
  identify: Identify | undefined,
): SetLanguages {
  const pool = codes.some((code) => SERBO_CROATIAN.has(primary(code)));
  const latinSerbian = pool && writesSerbianInLatin(codes, references);
  const rule = (lang: string): string => {
    const code = primary(lang);
    if (!pool || !SERBO_CROATIAN.has(code)) return LABELS[code] ?? code;
    return code === 'sr' && !latinSerbian ? 'sr' : 'hr';
  };
  const groups = new Map<string, string[]>();
  for (const code of codes) groups.set(rule(code), [...(groups.get(rule(code)) ?? []), code]);
  return {
    codes,
    rules: [...groups.keys()],
    rule,
    shown: (code, expected) => (rule(expected) === code ? expected : (groups.get(code)?.[0] ?? code)),
    identify:
      identify === undefined || !pool
        ? identify
        : (text, top) => {
            const inScript = dominantScript(text) === 'Cyrl' ? 'sr' : 'hr';
            return identify(text, top).map((guess) =>
              SERBO_CROATIAN.has(guess.lang) ? { ...guess, lang: inScript } : guess,
            );
          },
    pooled: [...groups.values()].filter((group) => group.length > 1),
  };
}

/** The language alone: without script, region and variants. */
function primary(code: string): string {
  return code.split(/[-_]/u)[0]!.toLowerCase();
}

function writesSerbianInLatin(
  codes: readonly string[],
  references: Iterable<{ lang: string; text: string }>,
): boolean {
  let latin = 0;
  let cyrillic = 0;
  for (const { lang, text } of references) {
    if (primary(lang) !== 'sr') continue;
    const script = dominantScript(text);
    if (script === 'Latn') latin += 1;
    if (script === 'Cyrl') cyrillic += 1;
  }
  if (latin + cyrillic > 0) return latin > cyrillic;
  return codes.some((code) => primary(code) === 'sr' && /-latn\b/iu.test(code));
}
