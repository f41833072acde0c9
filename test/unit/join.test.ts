// One file a language, records that share their ids: a parallel set; and what is wrong with such files is said in numbers.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { Example } from '../../lib/data/example';
import { describeHoles, joinTranslations, parseDataFile, tableHoles } from '../../lib/data/join';
import { readExamples } from '../../lib/data/read';

const folder = mkdtempSync(join(tmpdir(), 'join-'));
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string, ...records: object[]): string {
  const file = join(folder, name);
  writeFileSync(file, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  return file;
}

const answer = (id: string | undefined, more: object = {}) => ({
  ...(id !== undefined && { id }),
  instruction: `question ${id}`,
  response: 'answer',
  ...more,
});

function record(id: string, lang = 'und', parallelId?: string): Example {
  return {
    id,
    lang,
    turns: [{ role: 'user', content: id }],
    ...(parallelId !== undefined && { parallelId }),
    source: { file: `${lang}.jsonl`, line: 1 },
  };
}

describe('CODE=FILE', () => {
  it('joins records by id: the item is the id, the record is named by item and language', async () => {
    const en = write('en.jsonl', answer('1'), answer('2'));
    const fi = write('fi.jsonl', answer('2', { lang: 'fi' }), answer('1'));
    const examples = await readExamples([`en=${en}`, `fi=${fi}`]);
    expect(examples.map(({ id, lang, parallelId }) => [id, lang, parallelId])).toEqual([
      ['1.en', 'en', '1'],
      ['2.en', 'en', '2'],
      ['2.fi', 'fi', '2'],
      ['1.fi', 'fi', '1'],
    ]);
    expect(examples[2]!.source).toEqual({ file: fi, line: 1 });
  });

  it('prefers the item that a record names itself', async () => {
    const file = write('own.jsonl', answer('a-sw', { parallel_id: 'a' }));
    expect(await readExamples([`sw=${file}`])).toMatchObject([{ id: 'a.sw', parallelId: 'a' }]);
  });

  it('tells the holes of the table, by language and with examples', async () => {
    const en = write('en4.jsonl', ...['1', '2', '3', '4', '5'].map((id) => answer(id)));
    const fi = write('fi1.jsonl', answer('1'));
    const notes: string[] = [];
    await readExamples([`en=${en}`, `fi=${fi}`], { onNote: (note) => notes.push(note) });
    expect(notes.at(-1)).toBe(
      'the parallel table has holes: 1 of 5 items are in every language; fi lacks 4 (2, 3, 4, …)',
    );
  });

  it('refuses another language inside, records without ids, and one item twice', async () => {
    const other = write('other.jsonl', answer('1', { lang: 'et' }));
    await expect(readExamples([`fi=${other}`])).rejects.toThrow(
      /:1: the record's lang is "et".*given as fi=/,
    );
    const unnamed = write('unnamed.jsonl', answer(undefined));
    await expect(readExamples([`fi=${unnamed}`])).rejects.toThrow(/:1: the record has no id.*joined.*by id/);
    const twice = write('twice.jsonl', answer('1'), answer('1'));
    await expect(readExamples([`fi=${twice}`])).rejects.toThrow(
      /twice\.jsonl:2: the item "1" is already there in fi, at .*twice\.jsonl:1/,
    );
  });

  it('says how to give translations where ids collide', async () => {
    const en = write('a.jsonl', answer('1'));
    const fi = write('b.jsonl', answer('1'));
    await expect(readExamples([en, fi])).rejects.toThrow(/the id "1" was already used.*CODE=FILE/);
  });

  it('refuses codes that are none and suggests the right one', async () => {
    const file = write('cz.jsonl', answer('1'));
    await expect(readExamples([`cz=${file}`])).rejects.toThrow(/'cz' is no language code.*'cs'/);
  });

  it('takes a file whose name has a = in it for itself', async () => {
    const file = write('lang=fi.jsonl', answer('1'));
    expect(await parseDataFile(file)).toEqual({ file });
    expect(await parseDataFile('hf:owner/name')).toEqual({ file: 'hf:owner/name' });
    expect(await parseDataFile('zh-Hant=x.jsonl')).toEqual({ file: 'x.jsonl', lang: 'zh-Hant' });
  });
});

describe('language codes of records', () => {
  it('must be canonical, and the place is told', async () => {
    const file = write('codes.jsonl', answer('1', { lang: 'en' }), answer('2', { lang: 'swahili' }));
    await expect(readExamples([file])).rejects.toThrow(/codes\.jsonl:2: lang: 'swahili'.*did you mean 'sw'/);
    const field = write('field.jsonl', answer('1', { language: 'iw' }));
    await expect(readExamples([field], { field: { lang: 'language' } })).rejects.toThrow(
      /:1: language: 'iw'.*'he'/,
    );
  });
});

describe('joinTranslations', () => {
  it('joins sets that were read apart', () => {
    const { examples, holes } = joinTranslations({ en: [record('1'), record('2')], fi: [record('1')] });
    expect(examples.map(({ id }) => id)).toEqual(['1.en', '2.en', '1.fi']);
    expect(holes).toEqual({
      items: 2,
      complete: 1,
      languages: {
        en: { records: 2, missing: 0, examples: [] },
        fi: { records: 1, missing: 1, examples: ['2'] },
      },
    });
  });

  it('refuses one item twice and codes that are none', () => {
    expect(() => joinTranslations({ fi: [record('1'), record('1')] })).toThrow(/"1" is already there in fi/);
    expect(() => joinTranslations({ xx1: [record('1')] })).toThrow(/xx1/);
  });

  it('counts what is there and what is missing', () => {
    const column = fc.uniqueArray(fc.integer({ min: 0, max: 9 }), { maxLength: 10 });
    fc.assert(
      fc.property(column, column, column, (en, fi, sw) => {
        const sets = { en, fi, sw };
        const { examples, holes } = joinTranslations(
          Object.fromEntries(
            Object.entries(sets).map(([lang, ids]) => [lang, ids.map((id) => record(`${id}`))]),
          ),
        );
        expect(examples).toHaveLength(en.length + fi.length + sw.length);
        expect(holes.items).toBe(new Set([...en, ...fi, ...sw]).size);
        for (const [lang, { records, missing }] of Object.entries(holes.languages)) {
          expect(records).toBe(sets[lang as 'en'].length);
          expect(records + missing).toBe(holes.items);
        }
        const present = Object.values(sets).filter((ids) => ids.length > 0);
        const whole = (present[0] ?? []).filter((id) => present.every((ids) => ids.includes(id)));
        expect(holes.complete).toBe(whole.length);
      }),
    );
  });

  it('has nothing to say of a whole table, or of records that are in none', () => {
    const whole = [record('a', 'en', 'p'), record('b', 'fi', 'p')];
    expect(describeHoles(tableHoles(whole))).toBeUndefined();
    expect(tableHoles([record('a', 'en')])).toEqual({ items: 0, complete: 0, languages: {} });
  });
});
