// chrF against sacreBLEU's own numbers, of sentences and of corpora.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chrf, corpusChrf } from '../../lib/text/chrf';
import { fixtureJson } from '../support/fixtures';

interface Case {
  lang: string;
  hypothesis: string;
  reference: string;
  chrf: number;
  chrfOrder4Beta3: number;
}
const { cases, corpora } = fixtureJson<{
  cases: Case[];
  corpora: { lang: string; n: number; chrf: number }[];
}>('measures.json');

describe('chrF', () => {
  it('of a sentence is sacreBLEU’s, on every fixture, with its defaults and without', () => {
    expect(cases.length).toBeGreaterThan(100);
    for (const one of cases) {
      expect(chrf(one.hypothesis, one.reference), one.hypothesis).toBeCloseTo(one.chrf, 9);
      expect(chrf(one.hypothesis, one.reference, { order: 4, beta: 3 }), one.hypothesis).toBeCloseTo(
        one.chrfOrder4Beta3,
        9,
      );
    }
  });

  it('of a corpus is sacreBLEU’s, which is not the mean of its sentences', () => {
    expect(corpora).toHaveLength(13);
    for (const corpus of corpora) {
      const own = cases.filter(({ lang }) => lang === corpus.lang);
      expect(own).toHaveLength(corpus.n);
      const score = corpusChrf(own.map(({ hypothesis, reference }) => [hypothesis, reference]));
      expect(score, corpus.lang).toBeCloseTo(corpus.chrf, 9);
      const mean = own.reduce((sum, one) => sum + one.chrf, 0) / own.length;
      expect(Math.abs(mean - score), corpus.lang).toBeGreaterThan(0.1);
    }
  });

  it('of a corpus of one is the sentence’s, and of none is 0', () => {
    for (const { hypothesis, reference } of cases)
      expect(corpusChrf([[hypothesis, reference]])).toBe(chrf(hypothesis, reference));
    expect(corpusChrf([])).toBe(0);
  });

  it('of a corpus does not depend on its order, is 100 where all are equal, and stays within bounds', () => {
    const pair = fc.tuple(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }));
    fc.assert(
      fc.property(fc.array(pair, { maxLength: 6 }), (pairs) => {
        const score = corpusChrf(pairs);
        expect(score).toBe(corpusChrf([...pairs].reverse()));
        expect(score).toBeGreaterThanOrEqual(0);
        expect(score).toBeLessThanOrEqual(100 + 1e-9);
        const same = pairs.filter(([a]) => /[a-z]/.test(a)).map(([a]) => [a, a] as const);
        if (same.length > 0) expect(corpusChrf(same)).toBeCloseTo(100, 9);
      }),
    );
  });

  it('refuses an order and a weight that mean nothing', () => {
    expect(() => chrf('a', 'a', { order: 0 })).toThrow('order: expected a whole number from 1, got 0');
    expect(() => corpusChrf([], { beta: 0 })).toThrow('beta: expected a number over 0, got 0');
  });
});
