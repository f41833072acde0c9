// Translations often come as one file a language whose records share their ids. `fi=answers.fi.jsonl` says that a file is such
// a part of a parallel set: its records become translations of the items that their ids name.

import { stat } from 'node:fs/promises';
import { MlitError } from '../native/errors';
import { checkLanguageCode } from '../text/language-codes';
import { type Example, place } from './example';

/** One entry of `--data`. */
export interface DataFile {
  file: string;
  /** The language of a file given as `CODE=FILE`. */
  lang?: string;
}

/**
 * Takes `CODE=FILE` apart. What exists under the whole name is a file of that name.
 *
 * @throws MlitError `DATA_INVALID` for a code that is none
 */
export async function parseDataFile(name: string): Promise<DataFile> {
  const [, code, file] = /^([A-Za-z][\w-]*)=(.+)$/s.exec(name) ?? [];
  if (code === undefined || file === undefined) return { file: name };
  if ((await stat(name).catch(() => undefined)) !== undefined) return { file: name };
  return { file, lang: checkLanguageCode(code, `data: ${name}`) };
}

/**
 * A record of a file in one language as a translation: its `parallel_id`, or else its id, becomes the item, and
 * `<item>.<lang>` the id.
 *
 * @param named whether the record has an id of its own
 * @throws MlitError `DATA_INVALID` where the record names another language, or nothing to join by
 */
export function asTranslation(example: Example, lang: string, named: boolean): Example {
  if (example.lang !== 'und' && example.lang !== lang) {
    throw new MlitError(
      'DATA_INVALID',
      `${place(example.source)}: the record's lang is "${example.lang}", but its file was given as ${lang}=…`,
      { fields: { ...example.source, field: 'lang', value: example.lang, expected: lang } },
    );
  }
  if (example.parallelId === undefined && !named) {
    throw new MlitError(
      'DATA_INVALID',
      `${place(example.source)}: the record has no id; translations are joined to their originals by id (or parallel_id). If another field has it, use --field id=NAME`,
      { fields: { ...example.source, field: 'id' } },
    );
  }
  const item = example.parallelId ?? example.id;
  return { ...example, id: `${item}.${lang}`, lang, parallelId: item };
}

/** Which items of a parallel table have no record in which languages. */
export interface TableHoles {
  /** Items in all, and those that every language has. */
  items: number;
  complete: number;
  /** Sorted by language. */
  languages: Record<string, { records: number; missing: number; examples: string[] }>;
}

/** Looks at records with a `parallel_id` as a table of items × languages. `examples` are up to three missing items. */
export function tableHoles(examples: Iterable<Example>): TableHoles {
  const items = new Set<string>();
  const byLanguage = new Map<string, Set<string>>();
  for (const { parallelId, lang } of examples) {
    if (parallelId === undefined) continue;
    items.add(parallelId);
    const column = byLanguage.get(lang);
    if (column === undefined) byLanguage.set(lang, new Set([parallelId]));
    else column.add(parallelId);
  }
  const languages: TableHoles['languages'] = {};
  for (const [lang, column] of [...byLanguage].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const absent = [...items].filter((item) => !column.has(item));
    languages[lang] = { records: column.size, missing: absent.length, examples: absent.sort().slice(0, 3) };
  }
  const columns = [...byLanguage.values()];
  const complete = [...items].filter((item) => columns.every((column) => column.has(item))).length;
  return { items: items.size, complete, languages };
}

/** A line for people where there are holes, else undefined. */
export function describeHoles(holes: TableHoles): string | undefined {
  const missing = Object.entries(holes.languages).filter(([, { missing }]) => missing > 0);
  if (missing.length === 0) return undefined;
  const list = missing.map(([lang, { missing, examples }]) => {
    if (Object.keys(holes.languages).length > 3) return `${lang} lacks ${missing}`;
    const more = missing > examples.length ? ', …' : '';
    return `${lang} lacks ${missing} (${examples.join(', ')}${more})`;
  });
  return `the parallel table has holes: ${holes.complete} of ${holes.items} items are in every language; ${list.join('; ')}`;
}

/**
 * Joins sets in one language each by id.
 *
 * @param sets records by language, as read from files that share their ids
 * @throws MlitError `DATA_INVALID` where an id is twice in one language, or a record has none
 */
export function joinTranslations(sets: Readonly<Record<string, readonly Example[]>>): {
  examples: Example[];
  holes: TableHoles;
} {
  const examples: Example[] = [];
  const seen = new Map<string, Example>();
  for (const [code, records] of Object.entries(sets)) {
    const lang = checkLanguageCode(code, 'translations');
    for (const record of records) {
      const joined = asTranslation(record, lang, true);
      const before = seen.get(joined.id);
      if (before !== undefined) throw collision(joined, place(before.source));
      seen.set(joined.id, record);
      examples.push(joined);
    }
  }
  return { examples, holes: tableHoles(examples) };
}

/** Two records that would be one. */
export function collision({ id, source, parallelId, lang }: Example, before: string): MlitError {
  const what =
    id === `${parallelId}.${lang}`
      ? `the item "${parallelId}" is already there in ${lang}, at ${before} (id "${id}"); an item has one record a language`
      : `the id "${id}" was already used at ${before}; ids must be unique. Files that are translations of one another are given as CODE=FILE`;
  return new MlitError('DATA_INVALID', `${place(source)}: ${what}`, {
    fields: { ...source, field: 'id', value: id },
  });
}
