// Examples as items × languages, whatever files they came from and in whatever order: an item is one thing said in one
// language or several. Data that is not parallel is the same table with a single entry in each row.
import { MlitError } from '../../native/errors';
import { checkLanguageCode } from '../../text/language-codes';
import { type Example, place } from '../example';
import { itemOf } from '../hold-out';

/** Items × languages: which record is the translation of which, and where there is none. */
export class ParallelTable {
  /** Sorted codes of all languages that occur. */
  readonly languages: readonly string[];
  /** Names of the items, sorted by UTF-16 code units; an item's number is its place here. */
  readonly items: readonly string[];
  /** All of them, as they were given. */
  readonly examples: readonly Example[];
  /** Row r holds the entries from #rows[r] to #rows[r + 1], sorted by language. */
  readonly #rows: Int32Array;
  readonly #entryExample: Int32Array;
  readonly #entryLanguage: Int32Array;
  readonly #records: readonly number[];

  private constructor(parts: {
    examples: readonly Example[];
    languages: readonly string[];
    items: readonly string[];
    rows: Int32Array;
    entryExample: Int32Array;
    entryLanguage: Int32Array;
    records: readonly number[];
  }) {
    this.examples = parts.examples;
    this.languages = parts.languages;
    this.items = parts.items;
    this.#rows = parts.rows;
    this.#entryExample = parts.entryExample;
    this.#entryLanguage = parts.entryLanguage;
    this.#records = parts.records;
  }

  /**
   * The same table for any order of the examples.
   *
   * @throws MlitError `DATA_INVALID` where a language's code is none (with the one meant), or an item has two examples in one
   * language; `DATA_EMPTY`
   */
  static from(examples: readonly Example[]): ParallelTable {
    if (examples.length === 0)
      throw new MlitError('DATA_EMPTY', 'mixture: there are no records to draw from');
    const languages = checkedLanguages(examples);
    const languageOf = new Map(languages.map((language, index) => [language, index]));

    const found = new Map<string, number>();
    const keyOf = new Int32Array(examples.length);
    for (let index = 0; index < examples.length; index += 1) {
      const key = itemOf(examples[index]!);
      let number = found.get(key);
      if (number === undefined) {
        number = found.size;
        found.set(key, number);
      }
      keyOf[index] = number;
    }
    const items = [...found.keys()].sort();
    const rank = new Int32Array(items.length);
    for (let index = 0; index < items.length; index += 1) rank[found.get(items[index]!)!] = index;

    // Two counting sorts: by language, then by item, which keeps the languages' order within each row.
    const byLanguage = countingSort(
      examples.length,
      languages.length,
      (index) => languageOf.get(examples[index]!.lang)!,
    );
    const byItem = countingSort(
      examples.length,
      items.length,
      (index) => rank[keyOf[byLanguage.order[index]!]!]!,
    );
    const entryExample = byItem.order.map((index) => byLanguage.order[index]!);
    const entryLanguage = entryExample.map((index) => languageOf.get(examples[index]!.lang)!);
    const records = languages.map((_, l) => byLanguage.starts[l + 1]! - byLanguage.starts[l]!);
    const rows = byItem.starts;
    refuseCollisions(examples, rows, entryExample, entryLanguage);
    return new ParallelTable({ examples, languages, items, rows, entryExample, entryLanguage, records });
  }

  /** Number of a language, −1 where the table has none of it. */
  languageIndex(language: string): number {
    return this.languages.indexOf(language);
  }

  /** Records in a language. */
  records(language: string): number {
    return this.#records[this.languageIndex(language)] ?? 0;
  }

  /** Records by language, sorted. */
  recordsByLanguage(): Record<string, number> {
    return Object.fromEntries(this.languages.map((language, index) => [language, this.#records[index]!]));
  }

  /** Items that are there in at least one of the languages. */
  itemsIn(languages: readonly string[]): number {
    const wanted = new Set(languages.map((language) => this.languageIndex(language)));
    let count = 0;
    for (let item = 0; item < this.items.length; item += 1) {
      for (let e = this.#rows[item]!; e < this.#rows[item + 1]!; e += 1) {
        if (!wanted.has(this.#entryLanguage[e]!)) continue;
        count += 1;
        break;
      }
    }
    return count;
  }

  /** Names of the first `limit` items that are not there in a language, for messages. */
  holes(language: string, limit: number): string[] {
    const names: string[] = [];
    for (let item = 0; item < this.items.length && names.length < limit; item += 1) {
      if (this.find(item, this.languageIndex(language)) < 0) names.push(this.items[item]!);
    }
    return names;
  }

  /** Calls `visit` with the number of each language that an item is there in, in the languages' order. */
  forEachLanguage(item: number, visit: (language: number) => void): void {
    for (let e = this.#rows[item]!; e < this.#rows[item + 1]!; e += 1) visit(this.#entryLanguage[e]!);
  }

  /** An example's number by item and language, −1 where there is a hole. */
  find(item: number, language: number): number {
    for (let e = this.#rows[item]!; e < this.#rows[item + 1]!; e += 1) {
      if (this.#entryLanguage[e] === language) return this.#entryExample[e]!;
    }
    return -1;
  }

  /** @throws Error where there is a hole: ask `find` first */
  example(item: number, language: number): Example {
    const index = this.find(item, language);
    if (index < 0) throw new Error(`item ${this.items[item]} is not there in ${this.languages[language]}`);
    return this.examples[index]!;
  }
}

function checkedLanguages(examples: readonly Example[]): string[] {
  const first = new Map<string, Example>();
  for (const example of examples) if (!first.has(example.lang)) first.set(example.lang, example);
  for (const [lang, example] of first) checkLanguageCode(lang, `${place(example.source)}: lang`);
  return [...first.keys()].sort();
}

function countingSort(
  count: number,
  buckets: number,
  bucketOf: (index: number) => number,
): { order: Int32Array; starts: Int32Array } {
  const starts = new Int32Array(buckets + 1);
  for (let i = 0; i < count; i += 1) starts[bucketOf(i) + 1]! += 1;
  for (let b = 0; b < buckets; b += 1) starts[b + 1]! += starts[b]!;
  const next = starts.slice();
  const order = new Int32Array(count);
  for (let i = 0; i < count; i += 1) {
    const bucket = bucketOf(i);
    order[next[bucket]!] = i;
    next[bucket]! += 1;
  }
  return { order, starts };
}

function refuseCollisions(
  examples: readonly Example[],
  rows: Int32Array,
  entryExample: Int32Array,
  entryLanguage: Int32Array,
): void {
  for (let row = 0; row + 1 < rows.length; row += 1) {
    for (let e = rows[row]! + 1; e < rows[row + 1]!; e += 1) {
      if (entryLanguage[e] !== entryLanguage[e - 1]) continue;
      const [a, b] = [examples[entryExample[e - 1]!]!, examples[entryExample[e]!]!];
      const name = itemOf(a);
      throw new MlitError(
        'DATA_INVALID',
        `${place(b.source)}: item '${name}' is there twice in ${b.lang}, first at ${place(a.source)}; an item has one record in each language: give the second a parallel_id of its own, or remove it`,
        { fields: { ...b.source, item: name, language: b.lang } },
      );
    }
  }
}
