// From a recipe to whole numbers. The sum is exact, and what does not divide evenly goes to languages in an order that the
// seed and the set decide, so that two recipes for the same set are one allocation and share one model.
import { MlitError } from '../../native/errors';
import { checkLanguageCode } from '../../text/language-codes';
import { checkSeed, languageOrder } from './random';
import type { Allocation, MixtureSpec } from './types';

/**
 * How many examples of each language a recipe asks for: largest remainder, equal remainders in a seeded order of the set of
 * languages. Languages with none are left out; keys sorted.
 *
 * @param records records of each language, which `temperature` needs
 * @throws MlitError `MIXTURE_INVALID`; RangeError for a seed that is none
 */
export function allocate(spec: MixtureSpec, records?: Readonly<Record<string, number>>): Allocation {
  const seed = spec.seed ?? 0;
  checkSeed(seed);
  if (spec.kind === 'explicit') {
    for (const [language, count] of Object.entries(spec.counts)) {
      if (!Number.isInteger(count) || count < 0)
        throw invalid(`counts.${language}`, 'a whole number from 0', count);
    }
    return tidy(spec.counts);
  }
  if (!Number.isInteger(spec.n) || spec.n < 1) throw invalid('n', 'a whole number from 1', spec.n);
  return tidy(allocationOf(spec, seed, records));
}

type Budgeted = Exclude<MixtureSpec, { kind: 'explicit' }>;

function allocationOf(
  spec: Budgeted,
  seed: number,
  records: Readonly<Record<string, number>> | undefined,
): Record<string, number> {
  const { n } = spec;
  switch (spec.kind) {
    case 'mono':
      return { [spec.language]: n };
    case 'pinch':
      return pinch(spec, seed);
    case 'uniform':
      return largestRemainder(even(spec.languages), n, seed);
    case 'prefix': {
      if (!Number.isInteger(spec.k) || spec.k < 1 || spec.k > spec.order.length)
        throw invalid('k', `a whole number from 1 to ${spec.order.length}, the length of order`, spec.k);
      return largestRemainder(even(spec.order.slice(0, spec.k)), n, seed);
    }
    case 'pair':
      return largestRemainder(even([spec.a, spec.b]), n, seed);
    case 'weights':
      return largestRemainder(spec.weights, n, seed);
    case 'temperature':
      return largestRemainder(tempered(spec, records), n, seed);
  }
}

function pinch(spec: Extract<MixtureSpec, { kind: 'pinch' }>, seed: number): Record<string, number> {
  const { n, hub } = spec;
  const others = [...new Set(spec.languages)].filter((language) => language !== hub);
  if ('count' in spec) {
    if (!Number.isInteger(spec.count) || spec.count < 0 || spec.count > n)
      throw invalid('count', `a whole number from 0 to n, which is ${n}`, spec.count);
    if (others.length === 0 && spec.count > 0)
      throw invalid('languages', `languages other than the hub '${hub}'`, spec.languages.join('+'));
    return { ...largestRemainder(even(others), spec.count, seed), [hub]: n - spec.count };
  }
  if (!(spec.percent >= 0 && spec.percent <= 100)) throw invalid('percent', 'from 0 to 100', spec.percent);
  const all = others.length + 1;
  const weights = even(others);
  for (const language of others) weights[language] = spec.percent / all;
  weights[hub] = 100 - (spec.percent / all) * others.length;
  return largestRemainder(weights, n, seed);
}

function even(languages: readonly string[]): Record<string, number> {
  return Object.fromEntries(languages.map((language) => [language, 1]));
}

function tempered(
  spec: Extract<MixtureSpec, { kind: 'temperature' }>,
  records: Readonly<Record<string, number>> | undefined,
): Record<string, number> {
  if (!(spec.temperature > 0)) throw invalid('temperature', 'a number over 0', spec.temperature);
  if (records === undefined)
    throw new MlitError('MIXTURE_INVALID', 'mixture: temperature: the records of each language are needed');
  const none = spec.languages.filter((language) => !(records[language] ?? 0));
  if (none.length > 0) throw missingLanguages(none, Object.keys(records));
  return Object.fromEntries(
    spec.languages.map((language) => [language, (records[language] as number) ** (1 / spec.temperature)]),
  );
}

/** Whole numbers in proportion to weights (≥ 0), with sum n. A function of the set of (language, weight) and the seed. */
function largestRemainder(
  weights: Readonly<Record<string, number>>,
  n: number,
  seed: number,
): Record<string, number> {
  const languages = languageOrder(Object.keys(weights), seed);
  if (n === 0) return Object.fromEntries(languages.map((language) => [language, 0]));
  const values = languages.map((language) => weights[language] as number);
  const wrong = languages.find((_, i) => !(values[i]! >= 0 && Number.isFinite(values[i]!)));
  if (wrong !== undefined) throw invalid(`weights.${wrong}`, 'a number from 0', weights[wrong]);
  // Summed by size, so that the sum does not depend on the order either.
  const total = [...values].sort((a, b) => a - b).reduce((sum, value) => sum + value, 0);
  if (!(total > 0)) throw invalid('weights', 'at least one over 0', Object.values(weights).join(', '));
  const counts: number[] = [];
  const remainders: number[] = [];
  for (const value of values) {
    const quota = (value / total) * n;
    const whole = Math.floor(quota + TIE);
    counts.push(whole);
    remainders.push(Math.max(0, quota - whole));
  }
  let left = n - counts.reduce((sum, count) => sum + count, 0);
  // Equal within rounding is equal: ranked in steps of TIE, then in the languages' seeded order (their index here).
  const rank = remainders.map((remainder) => Math.round(remainder / TIE));
  const byRemainder = counts
    .map((_, i) => i)
    .filter((i) => values[i]! > 0)
    .sort((a, b) => rank[b]! - rank[a]! || a - b);
  for (let i = 0; left > 0; i += 1, left -= 1) counts[byRemainder[i % byRemainder.length]!]! += 1;
  return Object.fromEntries(languages.map((language, i) => [language, counts[i] as number]));
}

const TIE = 1e-7;

function tidy(counts: Readonly<Record<string, number>>): Allocation {
  const kept = Object.entries(counts).filter(([, count]) => count > 0);
  if (kept.length === 0) throw invalid('counts', 'at least one example', 0);
  for (const [language] of kept) checkLanguageCode(language, 'mixture');
  return Object.fromEntries(kept.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function invalid(field: string, expected: string, value: unknown): MlitError {
  return new MlitError('MIXTURE_INVALID', `mixture: ${field}: expected ${expected}, got ${value}`, {
    fields: { field, expected, value: String(value) },
  });
}

/** The error of languages that the data does not have at all. */
export function missingLanguages(missing: readonly string[], there: readonly string[]): MlitError {
  const list = [...there].sort();
  const has = list.length > 0 ? list.join(', ') : 'none';
  const many = missing.length > 1;
  return new MlitError(
    'MIXTURE_INVALID',
    `mixture: the data has no records in ${missing.join(', ')}; the language${list.length > 1 ? 's' : ''} of its records: ${has}${
      list.length === 1 && list[0] === 'und' ? ' (no record names its language in "lang")' : ''
    }. Leave ${many ? 'them' : 'it'} out of the mixture, or add data`,
    { fields: { languages: [...missing], available: list } },
  );
}
