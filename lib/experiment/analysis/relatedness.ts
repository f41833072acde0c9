// What is known of languages beforehand and may explain how far tuning on one of them carries: script, family, and how many
// tokens the same answer takes.
import { LANGUAGE_SCRIPTS } from '../../text/scripts';
import type { Study } from './study';

/** Families of the languages in the paper's experiments, E6 included. The twelve's stand in the paper but for Hebrew's, which follows. */
const FAMILIES: Readonly<Record<string, string>> = {
  ar: 'Afro-Asiatic',
  he: 'Afro-Asiatic',
  zh: 'Sino-Tibetan',
  et: 'Uralic',
  fi: 'Uralic',
  sw: 'Niger-Congo',
  cs: 'Indo-European',
  en: 'Indo-European',
  hi: 'Indo-European',
  it: 'Indo-European',
  ru: 'Indo-European',
  es: 'Indo-European',
  sr: 'Indo-European',
  hr: 'Indo-European',
  sl: 'Indo-European',
  pl: 'Indo-European',
  sk: 'Indo-European',
};

const scriptOf = (lang: string): string => LANGUAGE_SCRIPTS[lang] ?? 'Latn';

/** Share of the other languages, in percent, that are written in the script of this one. */
export function sameScript(lang: string, others: readonly string[]): number {
  return percentOf(others, (other) => scriptOf(other) === scriptOf(lang));
}

/** Share of the other languages, in percent, that are of this one's family; undefined where one's family is not known here. */
export function sameFamily(lang: string, others: readonly string[]): number | undefined {
  if ([lang, ...others].some((code) => FAMILIES[code] === undefined)) return undefined;
  return percentOf(others, (other) => FAMILIES[other] === FAMILIES[lang]);
}

function percentOf(others: readonly string[], holds: (other: string) => boolean): number {
  return (100 * others.filter(holds).length) / Math.max(1, others.length);
}

/** Items that both languages need, for a ratio of their tokens to mean anything. */
const MIN_SHARED = 10;

/** Tokens of the references in this language for one token of the hub's, over the items that both have. */
export function relativeTokens(study: Study, lang: string, hub: string): number | undefined {
  const own = referenceTokens(study, lang);
  const theirs = referenceTokens(study, hub);
  let sum = 0;
  let base = 0;
  let shared = 0;
  for (const [item, tokens] of own) {
    const other = theirs.get(item);
    if (other === undefined) continue;
    sum += tokens;
    base += other;
    shared += 1;
  }
  return shared < MIN_SHARED || base === 0 ? undefined : sum / base;
}

/** By place of the item: the references are the same whichever model scored them. */
function referenceTokens(study: Study, lang: string): Map<number, number> {
  const tokens = new Map<number, number>();
  for (const { id } of study.arms) {
    for (const { at, results } of study.columns(id, lang).values()) {
      for (const [index, { measures }] of results.entries()) {
        if (measures.targetTokens !== undefined) tokens.set(at[index]!, measures.targetTokens);
      }
      if (tokens.size > 0) return tokens;
    }
  }
  return tokens;
}
