// Which item is seen in which language. Items are permuted once by the seed; every policy is a way of dealing them out, and
// every one is a function of table, allocation, policy, seed and hub alone.
import { MlitError } from '../../native/errors';
import { refuseUnknownOptions } from '../../text/options';
import type { Example } from '../example';
import { missingLanguages } from './allocate';
import { assignDisjoint } from './assign';
import { checkSeed, codeHash, languageOrder, PURPOSE, seededOrder } from './random';
import type { ParallelTable } from './table';
import type { Allocation, MixturePolicy } from './types';

/** What {@link drawMixture} needs beside the table. */
export interface DrawOptions {
  allocation: Allocation;
  /** Default `disjoint`. */
  policy?: MixturePolicy | undefined;
  /** Default 0. */
  seed?: number | undefined;
  /**
   * The language that the other languages' part takes its items from; `nested` and `overlap` need to know it. Default: the
   * language with the most examples, the first by code among equals.
   */
  hub?: string | undefined;
}

/** The hub of a draw: undefined where it makes no difference (`disjoint`, or a single language). */
export function hubOf(allocation: Allocation, policy: MixturePolicy, hub?: string): string | undefined {
  const languages = Object.keys(allocation).sort();
  if (policy === 'disjoint' || languages.length < 2) return undefined;
  if (hub !== undefined) return hub;
  return languages.reduce((most, language) => (allocation[language]! > allocation[most]! ? language : most));
}

/** Language numbers of the table dealt to its item numbers, pair by pair. */
export interface Dealt {
  items: number[];
  languages: number[];
}

/**
 * Draws the examples of an allocation. They come in a second seeded order of the items, the same for all allocations: where
 * two mixtures have the same items (as in a parallel table), the same item stands at the same place in both.
 *
 * @throws MlitError `MIXTURE_INVALID` where a language, or some together, have too few items, with how many are missing
 */
export function drawMixture(table: ParallelTable, options: DrawOptions): Example[] {
  refuseUnknownOptions('drawMixture', options, { allocation: true, policy: true, seed: true, hub: true });
  return arrange(table, dealMixture(table, options), options.seed ?? 0);
}

/** The drawing alone: which items in which language. */
export function dealMixture(table: ParallelTable, options: DrawOptions): Dealt {
  const { allocation, policy = 'disjoint', seed = 0 } = options;
  checkSeed(seed);
  const languages = languageOrder(
    Object.keys(allocation).filter((language) => allocation[language]! > 0),
    seed,
  );
  refuseShortages(table, allocation, languages);
  const hub = hubOf(allocation, policy, options.hub);
  const order = seededOrder(table.items.length, seed, PURPOSE.select);
  return policy === 'overlap'
    ? dealOverlap(table, order, allocation, languages, hub, seed)
    : policy === 'nested' && hub !== undefined
      ? dealNested(table, order, allocation, languages, hub)
      : dealDisjoint(table, order, allocation, languages);
}

function refuseShortages(table: ParallelTable, allocation: Allocation, languages: readonly string[]): void {
  const none = languages.filter((language) => table.records(language) === 0).sort();
  if (none.length > 0) throw missingLanguages(none, table.languages);
  const short = languages.filter((language) => table.records(language) < allocation[language]!).sort();
  if (short.length === 0) return;
  const parts = short.map((language) => {
    const [asked, there] = [allocation[language]!, table.records(language)];
    return `${language}: ${asked} asked, ${there} there, ${asked - there} missing`;
  });
  const first = short[0]!;
  const holes = table.holes(first, 3).map((name) => `'${name}'`);
  const example = holes.length > 0 ? ` (items without ${first}: ${holes.join(', ')}…)` : '';
  throw new MlitError(
    'MIXTURE_INVALID',
    `mixture: too few items. ${parts.join('; ')}${example}. Lower n or these languages' share, or add data`,
    {
      fields: {
        languages: short,
        missing: short.map((language) => allocation[language]! - table.records(language)),
      },
    },
  );
}

function dealDisjoint(
  table: ParallelTable,
  order: Int32Array,
  allocation: Allocation,
  languages: readonly string[],
): Dealt {
  const slots = languages.map((language) => ({
    language: table.languageIndex(language),
    quota: allocation[language]!,
  }));
  const { items, slotOf, short } = assignDisjoint(table, order, slots);
  if (short.length > 0) throw jointShortage(table, short, languages, allocation);
  return { items, languages: items.map((item) => slots[slotOf[item]!]!.language) };
}

/** Hall's theorem in words: languages that share too few items between them. */
function jointShortage(
  table: ParallelTable,
  short: readonly number[],
  languages: readonly string[],
  allocation: Allocation,
): MlitError {
  const names = short.map((slot) => languages[slot]!).sort();
  const asked = names.reduce((sum, language) => sum + allocation[language]!, 0);
  const there = table.itemsIn(names);
  return new MlitError(
    'MIXTURE_INVALID',
    `mixture: too few items for ${names.join(', ')} together: ${asked} asked, ${there} there, ${asked - there} missing (an item is used in one language only). Lower n, or take policy=overlap, which may use an item in several languages, or add data`,
    { fields: { languages: names, missing: asked - there, asked, available: there } },
  );
}

/**
 * The other languages are dealt items in turn, each the first free one that it has, one a round while its count lasts; the
 * hub gets what comes next. Growing counts that stay in proportion only lengthen the sequence, so the part that was there
 * before stays.
 */
function dealNested(
  table: ParallelTable,
  order: Int32Array,
  allocation: Allocation,
  languages: readonly string[],
  hub: string,
): Dealt {
  const taken = new Uint8Array(table.items.length);
  const dealt: Dealt = { items: [], languages: [] };
  const next = new Map<string, number>();
  const deal = (language: string): void => {
    const index = table.languageIndex(language);
    let at = next.get(language) ?? 0;
    while (at < order.length && (taken[order[at]!] === 1 || table.find(order[at]!, index) < 0)) at += 1;
    if (at === order.length) throw notNested(table, order, allocation, languages, language);
    taken[order[at]!] = 1;
    dealt.items.push(order[at]!);
    dealt.languages.push(index);
    next.set(language, at + 1);
  };
  let others = languages.filter((language) => language !== hub);
  for (let round = 0; others.length > 0; round += 1) {
    others = others.filter((language) => allocation[language]! > round);
    for (const language of others) deal(language);
  }
  for (let left = allocation[hub] ?? 0; left > 0; left -= 1) deal(hub);
  return dealt;
}

function notNested(
  table: ParallelTable,
  order: Int32Array,
  allocation: Allocation,
  languages: readonly string[],
  language: string,
): MlitError {
  dealDisjoint(table, order, allocation, languages); // throws where the items can't do at all
  return new MlitError(
    'MIXTURE_INVALID',
    `mixture: with policy=nested no free item is left for ${language}: other languages had to be dealt the items that it has, and moving them would break the nesting. Take policy=disjoint, which moves them, or lower n`,
    { fields: { languages: [language] } },
  );
}

/** The hub takes the first items that it has; every other language draws from its own, in an order of its own. */
function dealOverlap(
  table: ParallelTable,
  order: Int32Array,
  allocation: Allocation,
  languages: readonly string[],
  hub: string | undefined,
  seed: number,
): Dealt {
  const dealt: Dealt = { items: [], languages: [] };
  for (const language of languages) {
    const common = hub === undefined || language === hub;
    const own = common ? order : seededOrder(table.items.length, seed, PURPOSE.overlap, codeHash(language));
    const index = table.languageIndex(language);
    let left = allocation[language]!;
    for (let at = 0; left > 0; at += 1) {
      if (table.find(own[at]!, index) < 0) continue;
      dealt.items.push(own[at]!);
      dealt.languages.push(index);
      left -= 1;
    }
  }
  return dealt;
}

export function arrange(table: ParallelTable, { items, languages }: Dealt, seed: number): Example[] {
  const order = seededOrder(table.items.length, seed, PURPOSE.arrange);
  const position = new Int32Array(order.length);
  for (let at = 0; at < order.length; at += 1) position[order[at]!] = at;
  const width = table.languages.length;
  const keys = new Float64Array(items.length);
  for (let i = 0; i < items.length; i += 1) keys[i] = position[items[i]!]! * width + languages[i]!;
  keys.sort();
  const examples: Example[] = [];
  for (let i = 0; i < keys.length; i += 1) {
    const language = keys[i]! % width;
    examples.push(table.example(order[(keys[i]! - language) / width]!, language));
  }
  return examples;
}

/**
 * What was dealt by language, then by item: the order in which a million examples are read fastest, and in which their ids
 * are often sorted already.
 */
export function inTableOrder(table: ParallelTable, { items, languages }: Dealt): Example[] {
  const width = table.items.length;
  const keys = new Float64Array(items.length);
  for (let i = 0; i < items.length; i += 1) keys[i] = languages[i]! * width + items[i]!;
  keys.sort();
  const examples: Example[] = [];
  for (let i = 0; i < keys.length; i += 1) {
    const item = keys[i]! % width;
    examples.push(table.example(item, (keys[i]! - item) / width));
  }
  return examples;
}
