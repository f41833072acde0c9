// Which texts count as one, and that the search for near-duplicates finds what comparing every pair finds.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  findNearDuplicates,
  MIN_NEAR,
  nearPairs,
  normalizeText,
  promptOf,
  responseOf,
  SHINGLE,
} from '../../lib/data/duplicates';

describe('normalizeText', () => {
  it.each([
    ['What is  the capital?', 'what is the CAPITAL'],
    ['Ｆｕｌｌ width！', 'full width'],
    ['co\u00ADope\u200Brate', 'cooperate'],
    ['«Привет», мир.', 'привет мир'],
    ['चाय।', 'चाय'],
    ['👍🏽', '👍'],
    ['👩🏿‍🚀', '👨‍🚀'],
    ['🏃🏻‍♀️', '🏃'],
    ['❤️', '❤'],
    ['👧', '👦'],
  ])('takes %j and %j for one', (a, b) => {
    expect(normalizeText(a)).toBe(normalizeText(b));
  });

  it.each([
    ['2 + 3', '2 = 3'],
    ['😀', '😁'],
    ['🇫🇮', '🇪🇪'],
    ['🏴󠁧󠁢󠁥󠁮󠁧󠁿', '🏴󠁧󠁢󠁳󠁣󠁴󠁿'],
    ['?', '!'],
    ['5 €', '5 $'],
    ['resume', 'résumé'],
  ])('keeps %j and %j apart', (a, b) => {
    expect(normalizeText(a)).not.toBe(normalizeText(b));
  });

  it('is a projection: a normalised text stays as it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const once = normalizeText(text);
        expect(normalizeText(once)).toBe(once);
      }),
    );
  });
});

describe('what is asked and answered', () => {
  const source = { file: 'x.jsonl', line: 1 };
  it('takes user turns for the prompt, without the system text, and assistant turns for the response', () => {
    const turns = [
      { role: 'system', content: 's' },
      { role: 'user', content: 'q1' },
      { role: 'assistant', content: 'a1' },
      { role: 'user', content: 'q2' },
      { role: 'assistant', content: 'a2' },
    ];
    expect(promptOf({ id: '1', lang: 'en', turns, source })).toBe('q1\nq2');
    expect(responseOf({ id: '1', lang: 'en', turns, source })).toBe('a1\na2');
  });

  it('takes a text without turns as it stands', () => {
    expect(promptOf({ id: '1', lang: 'en', turns: [], text: 't', source })).toBe('t');
  });
});

/** Jaccard of padded shingles, by the definition. */
function similarity(a: string, b: string): number {
  const shingles = (text: string): Set<string> => {
    const padded = `${' '.repeat(SHINGLE - 1)}${text}${' '.repeat(SHINGLE - 1)}`;
    const set = new Set<string>();
    if (text !== '')
      for (let at = 0; at + SHINGLE <= padded.length; at += 1) set.add(padded.slice(at, at + SHINGLE));
    return set;
  };
  const [x, y] = [shingles(a), shingles(b)];
  const shared = [...x].filter((shingle) => y.has(shingle)).length;
  return shared / (x.size + y.size - shared);
}

describe('near-duplicates', () => {
  const long = 'explain to me in simple words why the sky is blue during the day';

  it('finds a text with a word changed, and its similarity', () => {
    const [pair, ...others] = findNearDuplicates(
      ['something else altogether', long],
      [long.replace('simple', 'simpler'), 'a third thing'],
    );
    expect(others).toEqual([]);
    expect(pair).toEqual({ a: 1, b: 0, similarity: similarity(long, long.replace('simple', 'simpler')) });
    expect(pair!.similarity).toBeGreaterThan(MIN_NEAR);
  });

  it('gives the nearest where there are several', () => {
    const [pair] = findNearDuplicates([`${long} x`, long, `y ${long}`], [long]);
    expect(pair).toEqual({ a: 1, b: 0, similarity: 1 });
  });

  it('does not take other numbers or emoji for the same question', () => {
    const sum = 'please work out the following sum and write only the result of it';
    expect(findNearDuplicates([`${sum} 12 + 7`], [`${sum} 12 + 8`])).toEqual([]);
    expect(findNearDuplicates([`${sum} 🐕`], [`${sum} 🐈`])).toEqual([]);
    expect(findNearDuplicates([`${sum} 🐕`], [`${sum} 🐕`])).toHaveLength(1);
  });

  it('has no empty duplicates', () => {
    expect(findNearDuplicates(['', 'a'], ['', 'b'])).toEqual([]);
  });

  it('refuses a threshold that is none', () => {
    expect(() => findNearDuplicates(['a'], ['a'], 0)).toThrow(/threshold: .*got 0/);
    expect(() => findNearDuplicates(['a'], ['a'], 1.1)).toThrow(RangeError);
  });

  it('finds exactly the pairs that comparing all of them finds', () => {
    const word = fc.constantFrom('a', 'be', 'see', 'deal', 'even');
    const text = fc.array(word, { minLength: 0, maxLength: 12 }).map((words) => words.join(' '));
    const texts = fc.array(text, { maxLength: 12 });
    fc.assert(
      fc.property(texts, texts, fc.constantFrom(0.3, 0.5, 0.8, 1), (a, b, threshold) => {
        const expected = a.flatMap((x, i) =>
          b.flatMap((y, j) => (x !== '' && y !== '' && similarity(x, y) >= threshold ? [`${i} ${j}`] : [])),
        );
        const found = [...nearPairs(a, b, threshold)].map((pair) => `${pair.a} ${pair.b}`);
        expect(found.sort()).toEqual(expected.sort());
      }),
      { numRuns: 300 },
    );
  });
});
