// Items are held out in all languages and with their twins, and what training has seen of an evaluation is found.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Example } from '../../lib/data/example';
import { findLeaks, groupItems, itemOf, refuseLeaks, splitHoldOut } from '../../lib/data/hold-out';

function record(id: string, lang: string, prompt: string, response: string, parallelId?: string): Example {
  return {
    id,
    lang,
    turns: [
      { role: 'user', content: prompt },
      { role: 'assistant', content: response },
    ],
    ...(parallelId !== undefined && { parallelId }),
    source: { file: 'set.jsonl', line: 1 },
  };
}

const emoji = [
  record('a.en', 'en', 'Name this: 👩🏽‍🚀', 'astronaut', 'a'),
  record('a.fi', 'fi', 'Mikä tämä on: 👩🏽‍🚀', 'astronautti', 'a'),
  record('b.en', 'en', 'Name this: 🧑‍🚀', 'spaceman', 'b'),
  record('c.en', 'en', 'Name this: 🇫🇮', 'Finland', 'c'),
  record('d.en', 'en', 'Which country is it?', 'finland!', 'd'),
  record('e.fi', 'fi', 'Mikä maa se on?', 'Finland', 'e'),
];

describe('groups', () => {
  it('joins items by equal prompts in one language', () => {
    expect(groupItems(emoji)).toEqual([['a', 'b'], ['c'], ['d'], ['e']]);
  });

  it('joins by equal answers only where that is asked, and never across languages', () => {
    expect(groupItems(emoji, { by: 'response' })).toEqual([['a'], ['b'], ['c', 'd'], ['e']]);
    expect(groupItems(emoji, { by: 'both' })).toEqual([['a', 'b'], ['c', 'd'], ['e']]);
  });

  it('joins by emoji where that is asked, whatever the wording and the language', () => {
    const worded = [
      record('1', 'en', 'Name this: 👩🏽‍🚀', 'x'),
      record('2', 'en', 'What do you see? 👨‍🚀', 'y'),
      record('3', 'fi', 'Mikä tämä on? 🧑‍🚀', 'z'),
      record('4', 'fi', 'Mikä tämä on? 🏴󠁧󠁢󠁥󠁮󠁧󠁿', 'z'),
      record('5', 'fi', 'Mikä se on? 🏴󠁧󠁢󠁳󠁣󠁴󠁿', 'z'),
      record('6', 'en', 'No emoji', 'x'),
      record('7', 'en', 'None here', 'x'),
    ];
    expect(groupItems(worded)).toHaveLength(7);
    expect(groupItems(worded, { emoji: true })).toEqual([['1', '2', '3'], ['4'], ['5'], ['6'], ['7']]);
  });

  it('keeps questions with a common answer apart', () => {
    const yes = ['Is water wet?', 'Is fire hot?'].map((prompt, i) => record(`q${i}`, 'en', prompt, 'Yes'));
    expect(groupItems(yes)).toEqual([['q0'], ['q1']]);
  });

  it('joins items over a chain of languages', () => {
    const chain = [
      record('1', 'en', 'same', 'x', 'a'),
      record('2', 'en', 'same', 'x', 'b'),
      record('3', 'fi', 'sama', 'x', 'b'),
      record('4', 'fi', 'sama', 'x', 'c'),
    ];
    expect(groupItems(chain)).toEqual([['a', 'b', 'c']]);
  });

  it('does not join items by an empty text', () => {
    const empty = [record('1', 'en', 'p', ''), record('2', 'en', 'q', '')];
    expect(groupItems(empty, { by: 'both' })).toEqual([['1'], ['2']]);
  });

  it('joins near prompts where that is asked, all of them and not only the nearest', () => {
    const long = 'explain to me in simple words why the sky is blue during the day';
    const near = [
      record('1', 'en', long, 'x'),
      record('2', 'en', `${long} please`, 'y'),
      record('3', 'en', `well ${long}`, 'z'),
      record('4', 'en', 'why is the grass green', 'z'),
      record('5', 'en', `${long}!`, 'z'),
    ];
    expect(groupItems(near)).toEqual([['1', '5'], ['2'], ['3'], ['4']]);
    expect(groupItems(near, { near: 0.8 })).toEqual([['1', '2', '3', '5'], ['4']]);
    expect(groupItems(near, { near: 0.8, by: 'response' })).toEqual([['1', '2', '3', '4', '5']]);
  });
});

/** Tables of 2 to 20 items in up to 3 languages, with prompts that collide now and then. */
const tables = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 15 }), fc.subarray(['en', 'fi', 'sw'], { minLength: 1 })), {
    minLength: 2,
    maxLength: 20,
  })
  .map((items) =>
    items.flatMap(([prompt, langs], i) =>
      langs.map((lang) => record(`${i}.${lang}`, lang, `prompt ${prompt}`, `answer ${i}`, `item${i}`)),
    ),
  );

describe('splitHoldOut', () => {
  it('holds out the number asked for, in all languages, twins together, and leaks nothing', () => {
    fc.assert(
      fc.property(tables, fc.integer({ min: 0, max: 1000 }), fc.nat(5), (examples, seed, wanted) => {
        const groups = groupItems(examples);
        const largest = Math.max(...groups.map((group) => group.length));
        const all = new Set(examples.map(itemOf)).size;
        fc.pre(
          largest === 1
            ? wanted < all
            : wanted === 0 || groups.filter((g) => g.length === 1).length >= wanted,
        );
        fc.pre(wanted < all);
        const { train, heldOut } = splitHoldOut(examples, { items: wanted, seed });
        expect(new Set(heldOut.map(itemOf)).size).toBe(wanted);
        expect([...train, ...heldOut].map(({ id }) => id).sort()).toEqual(
          examples.map(({ id }) => id).sort(),
        );
        expect(findLeaks(train, heldOut, { near: 0 })).toEqual([]);
      }),
    );
  });

  it('does not depend on the order of records', () => {
    fc.assert(
      fc.property(tables, fc.integer({ min: 0, max: 99 }), (examples, seed) => {
        fc.pre(groupItems(examples).filter((group) => group.length === 1).length > 1);
        const ids = (list: Example[]) =>
          splitHoldOut(list, { items: 1, seed })
            .heldOut.map(({ id }) => id)
            .sort();
        expect(ids([...examples].reverse())).toEqual(ids(examples));
      }),
    );
  });

  it('keeps the order of records, and chooses others with another seed', () => {
    const many = Array.from({ length: 50 }, (_, i) => record(`r${i}`, 'en', `question ${i}`, 'x'));
    const first = splitHoldOut(many, { items: 10 }).heldOut.map(({ id }) => id);
    const numbers = first.map((id) => Number(id.slice(1)));
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    expect(splitHoldOut(many, { items: 10, seed: 1 }).heldOut.map(({ id }) => id)).not.toEqual(first);
  });

  it('says which number of items whole groups make up', () => {
    const pairs = ['a', 'a', 'b', 'b', 'c', 'c'].map((prompt, i) => record(`${i}`, 'en', prompt, 'x'));
    expect(splitHoldOut(pairs, { items: 2 }).heldOut).toHaveLength(2);
    expect(() => splitHoldOut(pairs, { items: 3 })).toThrow(/3 items can't be made up.*hold out 2/);
  });

  it('refuses to hold out everything, and numbers that are none', () => {
    expect(() => splitHoldOut(emoji, { items: 5 })).toThrow(/5 are to be held out, but there are 5/);
    expect(() => splitHoldOut(emoji, { items: -1 })).toThrow(RangeError);
    expect(() => splitHoldOut(emoji, { items: 1.5 })).toThrow(RangeError);
  });
});

describe('leaks', () => {
  const long = 'explain to me in simple words why the sky is blue during the day';
  const train = [
    record('1', 'en', 'one', 'x', 'p1'),
    record('1fi', 'fi', 'yksi', 'x', 'p1'),
    record('2', 'en', 'What is two?', 'x', 'p2'),
    record('3', 'en', long, 'x', 'p3'),
  ];

  it('names the surest kind for each record of the evaluation', () => {
    const evaluation = [
      record('1', 'en', 'one', 'x', 'p1'),
      record('e1', 'fi', 'toinen', 'x', 'p1'),
      record('e2', 'sw', 'mbili', 'x', 'p2'),
      record('e3', 'en', 'what is TWO', 'x', 'e3'),
      record('e4', 'en', `${long} please`, 'x', 'e4'),
      record('e5', 'fi', 'what is two', 'x', 'e5'),
      record('p1', 'en', 'new', 'x'),
    ];
    const leaks = findLeaks(train, evaluation);
    expect(leaks).toEqual([
      { kind: 'id', train: '1', evaluation: '1', lang: 'en' },
      { kind: 'parallel_id', train: '1fi', evaluation: 'e1', lang: 'fi' },
      { kind: 'parallel_id', train: '2', evaluation: 'e2', lang: 'sw' },
      { kind: 'prompt', train: '2', evaluation: 'e3', lang: 'en' },
      { kind: 'near-duplicate', train: '3', evaluation: 'e4', lang: 'en', similarity: expect.any(Number) },
      { kind: 'parallel_id', train: '1', evaluation: 'p1', lang: 'en' },
    ]);
    expect(findLeaks(train, evaluation, { near: 0 }).map(({ kind }) => kind)).not.toContain('near-duplicate');
  });

  it('does not take records without ids for the same because their files have one name', () => {
    const at = (file: string, line: number, prompt: string): Example => ({
      ...record(`set:${line}`, 'en', prompt, 'x'),
      source: { file, line },
    });
    expect(findLeaks([at('a/set.jsonl', 1, 'one')], [at('b/set.jsonl', 1, 'two')])).toEqual([]);
    expect(findLeaks([at('a/set.jsonl', 1, 'one')], [at('a/set.jsonl', 1, 'one')])).toMatchObject([
      { kind: 'id' },
    ]);
  });

  it('finds the same leaks whatever the order, and compares no texts where it need not', () => {
    const evaluation = [
      record('e1', 'fi', 'toinen', 'x', 'p1'),
      record('e3', 'en', 'what is TWO', 'x', 'e3'),
    ];
    const kinds = (list: Example[]) =>
      findLeaks(list, evaluation).map(({ kind, train: id }) => `${kind} ${id}`);
    expect(kinds(train)).toEqual(['parallel_id 1fi', 'prompt 2']);
    expect(kinds([...train].reverse())).toEqual(kinds(train));
    expect(findLeaks(train, evaluation, { texts: false }).map(({ kind }) => kind)).toEqual(['parallel_id']);
  });

  it('takes no id for another’s because it reads like it with a language', () => {
    expect(findLeaks([record('a', 'en', 'x', 'y', 'p')], [record('a en', 'fi', 'z', 'y', 'p en')])).toEqual(
      [],
    );
  });

  it('does not take empty prompts for the same', () => {
    expect(findLeaks([record('1', 'en', '', 'x')], [record('2', 'en', '', 'x')])).toEqual([]);
  });

  it('refuses shared records and items with their numbers, not equal texts', () => {
    expect(() => refuseLeaks(train, [record('e3', 'en', 'what is TWO', 'x', 'e3')])).not.toThrow();
    expect(() =>
      refuseLeaks(train, [record('e1', 'fi', 'toinen', 'x', 'p1'), record('new', 'fi', 'uusi', 'x', 'new')]),
    ).toThrow(
      /1 of 2 records are trained on \(fi 1\).*"e1", which shares the item \(parallel_id\) with "1fi"/,
    );
    expect(() => refuseLeaks(train, [record('1', 'en', 'other', 'x')])).toThrow(/shares the id with "1"/);
  });
});
