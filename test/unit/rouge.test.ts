// ROUGE-L against rouge-score's own numbers, and what must hold of any F-score of a common subsequence.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rougeL, rougeLOfTokens, rougeTokens } from '../../lib/text/rouge';
import { fixtureJson } from '../support/fixtures';

interface Case {
  lang: string;
  hypothesis: string;
  reference: string;
  rougeLGoogle: number;
  rougeLBlanks: number;
  rougeLWords?: number;
}
const { cases } = fixtureJson<{ cases: Case[] }>('measures.json');

describe('ROUGE-L', () => {
  it('with google’s tokens is rouge-score’s, on every fixture', () => {
    expect(cases.length).toBeGreaterThan(100);
    for (const { hypothesis, reference, rougeLGoogle } of cases) {
      expect(rougeL(hypothesis, reference, { tokens: 'google' }), hypothesis).toBeCloseTo(rougeLGoogle, 9);
    }
  });

  it('on tokens that the caller found is rouge-score’s, in all twelve languages', () => {
    const tokens = (text: string): string[] => text.split(/\s+/u).filter((word) => word !== '');
    const known = cases.filter(({ lang }) => lang !== 'und');
    expect(new Set(known.map(({ lang }) => lang)).size).toBe(12);
    for (const { hypothesis, reference, rougeLBlanks } of known) {
      expect(rougeLOfTokens(tokens(hypothesis), tokens(reference)), hypothesis).toBeCloseTo(rougeLBlanks, 9);
    }
  });

  it('on Unicode’s words is rouge-score’s with such a tokenizer, in the eleven languages that put blanks between words', () => {
    const known = cases.filter((one) => one.rougeLWords !== undefined);
    expect(new Set(known.map(({ lang }) => lang)).size).toBe(11);
    for (const { lang, hypothesis, reference, rougeLWords } of known) {
      expect(rougeL(hypothesis, reference, { lang }), hypothesis).toBeCloseTo(rougeLWords!, 9);
    }
  });

  it.each(['ar', 'he', 'hi', 'ru', 'zh'])('gives %s a score, where google’s tokens give 0', (lang) => {
    const [first] = cases.filter((one) => one.lang === lang && !/\p{Nd}/u.test(one.reference));
    expect(rougeL(first!.reference, first!.reference, { lang })).toBe(100);
    expect(rougeL(first!.reference, first!.reference, { lang, tokens: 'google' })).toBe(0);
  });

  it('folds case and width and drops punctuation; what has no words shares none', () => {
    expect(rougeL('ＡＢＣ, Def!', 'abc def')).toBe(100);
    expect(rougeTokens('It’s 3.5 km — ok?', { lang: 'en' })).toEqual(['it’s', '3.5', 'km', 'ok']);
    expect(rougeTokens('Crème 3x', { tokens: 'google' })).toEqual(['cr', 'me', '3x']);
    expect(rougeL('🐈', '🐈')).toBe(0);
    expect(rougeL('', '')).toBe(0);
  });

  it('refuses a tokenizer that it does not know', () => {
    expect(() => rougeL('a', 'a', { tokens: 'moses' as 'google' })).toThrow(
      'tokens: expected "unicode" or "google", got "moses"',
    );
  });

  it('is 100 for equal words, symmetric, and never outside 0 to 100', () => {
    const list = fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 12 });
    fc.assert(
      fc.property(list, list, (a, b) => {
        const score = rougeLOfTokens(a, b);
        expect(score).toBe(rougeLOfTokens(b, a));
        expect(score).toBe(rougeLOfTokens([...a].reverse(), [...b].reverse()));
        expect(score).toBeGreaterThanOrEqual(0);
        expect(score).toBeLessThanOrEqual(100);
        if (a.length > 0) expect(rougeLOfTokens(a, a)).toBe(100);
        // A common subsequence is at least one shared word, and at most what both have.
        expect(score > 0).toBe(a.some((word) => b.includes(word)));
      }),
    );
  });
});
