// The quickstart's data set: enough of it, parallel, in all twelve languages, and nothing held out that training
// could have seen in another guise.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  buildData,
  emojiKey,
  groupItems,
  type Item,
  LANGUAGES,
  normalize,
  type Part,
  type QuickstartRecord,
  readItems,
  splitItems,
} from '../../examples/quickstart/data.mjs';
import { WORDINGS } from '../../examples/quickstart/wordings.mjs';

const parts: Part[] = ['train', 'dev', 'test'];
let folder: string;
let built: ReturnType<typeof buildData>;
let records: Record<Part, QuickstartRecord[]>;
let symbols: Map<string, string>;

const read = (path: string): QuickstartRecord[] =>
  readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as QuickstartRecord);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mlit-quickstart-'));
  built = buildData(folder);
  symbols = new Map(readItems().map(({ id, symbol }) => [id, symbol]));
  records = { train: read(built.train), dev: read(built.dev), test: read(built.test) };
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const item = (id: string, key: string, names: Partial<Record<string, string>>): Item => ({
  id,
  kind: 'emoji',
  symbol: id,
  key,
  names: Object.fromEntries(LANGUAGES.map((lang) => [lang, names[lang] ?? `${id} ${lang}`])),
});

describe('the records', () => {
  it('are over 1,600 parallel items, each once in each of twelve languages', () => {
    const all = parts.flatMap((part) => records[part]);
    const languagesOf = new Map<string, string[]>();
    for (const { parallel_id: id, lang } of all) languagesOf.set(id, [...(languagesOf.get(id) ?? []), lang]);
    expect(languagesOf.size).toBeGreaterThan(1_600);
    expect(LANGUAGES).toHaveLength(12);
    for (const languages of languagesOf.values()) expect(languages).toEqual(LANGUAGES);
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
  });

  it('have both kinds in every part, and the counts that are told', () => {
    for (const part of parts) {
      const ids = new Set(records[part].map((record) => record.parallel_id));
      expect(ids.size).toBe(built.items[part]);
      for (const kind of ['emoji-', 'flag-']) {
        expect([...ids].filter((id) => id.startsWith(kind)).length).toBeGreaterThan(5);
      }
    }
    expect(built.items.test).toBeGreaterThanOrEqual(100);
  });

  it('ask for the very thing, and answer in the language', () => {
    const lookup = new Map(parts.flatMap((part) => records[part]).map((record) => [record.id, record]));
    expect(lookup.get('emoji-1f408.en')?.response).toBe('cat');
    expect(lookup.get('emoji-1f408.sw')?.response).toBe('paka');
    expect(lookup.get('flag-EE.fi')?.response).toBe('Viro');
    expect(lookup.get('emoji-1f408.he')?.instruction).toContain('🐈');
    expect(lookup.get('flag-EE.zh')?.instruction).toContain('🇪🇪');
    const odd = [...lookup.values()].filter(
      ({ instruction, response }) =>
        instruction.includes('{}') || response === '' || response.trim() !== response,
    );
    expect(odd).toEqual([]);
  });

  it('are the same bytes when made again', () => {
    const again = buildData(join(folder, 'again'));
    for (const part of parts) expect(readFileSync(again[part]).equals(readFileSync(built[part]))).toBe(true);
    expect(buildData(folder)).toEqual(built);
  });
});

describe('what is held out', () => {
  it('is held out in all languages', () => {
    const trained = new Set(records.train.map((record) => record.parallel_id));
    for (const part of ['dev', 'test'] as const) {
      for (const record of records[part]) expect(trained.has(record.parallel_id)).toBe(false);
    }
  });

  it('shares no answer with the rest in any language', () => {
    const answers = (part: Part) =>
      new Set(records[part].map((record) => `${record.lang} ${normalize(record.response)}`));
    const [train, dev, test] = parts.map(answers) as [Set<string>, Set<string>, Set<string>];
    expect([...test].filter((answer) => train.has(answer) || dev.has(answer))).toEqual([]);
    expect([...dev].filter((answer) => train.has(answer))).toEqual([]);
  });

  it('has no variant of its emoji in the rest', () => {
    const split = splitItems(readItems());
    const keys = (part: Part) => new Set(split[part].map((entry) => entry.key));
    const rest = new Set([...keys('train'), ...keys('dev')]);
    expect([...keys('test')].filter((key) => rest.has(key))).toEqual([]);
  });
});

describe('grouping', () => {
  it('takes skin tones, sexes and presentations for one emoji', () => {
    expect(emojiKey('👍🏽')).toBe('👍');
    expect(emojiKey('🏃‍♀️')).toBe(emojiKey('🏃‍♂'));
    expect(emojiKey('👩‍🍳')).toBe(emojiKey('🧑🏿‍🍳'));
    expect(emojiKey('❤️')).toBe(emojiKey('❤'));
    expect(emojiKey('🐈')).not.toBe(emojiKey('🐕'));
  });

  it('joins items over an equal answer in one language, and over chains', () => {
    const items = [
      item('a', 'a', { en: 'Cat!' }),
      item('b', 'b', { en: 'cat', fi: 'kissa' }),
      item('c', 'c', { fi: 'Kissa' }),
      item('d', 'd', { sw: 'cat' }),
    ];
    const groups = groupItems(items).map((group) => group.map(({ id }) => id));
    expect(groups).toEqual([['a', 'b', 'c'], ['d']]);
  });

  it('joins territories that fly one flag', () => {
    const groups = groupItems(readItems());
    const groupOf = (id: string) => groups.find((group) => group.some((entry) => entry.id === id));
    expect(groupOf('flag-NO')).toBe(groupOf('flag-SJ'));
    expect(groupOf('flag-NO')).not.toBe(groupOf('flag-SE'));
  });
});

describe('the wordings', () => {
  it.each(LANGUAGES.flatMap((lang) => [[lang, 'emoji'] as const, [lang, 'flag'] as const]))(
    '%s %s: at least three for training and another for the test, all different',
    (lang, kind) => {
      const { train, test } = WORDINGS[lang]?.[kind] ?? { train: [], test: [] };
      expect(train.length).toBeGreaterThanOrEqual(3);
      expect(test.length).toBeGreaterThanOrEqual(1);
      expect(new Set([...train, ...test]).size).toBe(train.length + test.length);
      for (const wording of [...train, ...test]) expect(wording.split('{}')).toHaveLength(2);
    },
  );

  it('of the test are never put in training', () => {
    const shapes = (part: Part) => new Set(records[part].map((record) => frame(record)));
    const test = shapes('test');
    expect([...shapes('train'), ...shapes('dev')].filter((shape) => test.has(shape))).toEqual([]);
    expect(shapes('train').size).toBe(12 * 2 * 3);
  });
});

/** A question without the thing that it asks about. */
function frame({ lang, instruction, parallel_id: id }: QuickstartRecord): string {
  return `${lang} ${instruction.replace(symbols.get(id) ?? 'no such item', '')}`;
}
