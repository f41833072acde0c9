// The score S, its rules for ties and gaps, and the sanity that must hold whatever the judge is.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type ItemScore,
  identicalPair,
  instructionFollowing,
  type PairVerdict,
  pairPoints,
  pairVerdicts,
  scoreVerdict,
  scoreVerdicts,
  sideBySide,
  type Verdict,
} from '../../lib/eval/side-by-side';
import { randomWords } from '../../lib/eval/statistics/random';

const few = { resamples: 300 };
const verdict = fc.constantFrom<Verdict | undefined>('A', 'B', 'tie', undefined);
const swapped = (one: Verdict | undefined): Verdict | undefined =>
  one === 'A' ? 'B' : one === 'B' ? 'A' : one;

describe('pairPoints', () => {
  it('chosen both times 1, neither time 0, else a tie; without two valid verdicts nothing', () => {
    expect(pairPoints('A', 'A')).toBe(1);
    expect(pairPoints('B', 'B')).toBe(0);
    for (const [first, second] of [
      ['A', 'B'],
      ['B', 'A'],
      ['A', 'tie'],
      ['tie', 'B'],
      ['tie', 'tie'],
    ] as const)
      expect(pairPoints(first, second)).toBe(0.5);
    expect(pairPoints('A', undefined)).toBeUndefined();
    expect(pairPoints(undefined, 'tie')).toBeUndefined();
  });
});

describe('sideBySide', () => {
  const both = (item: string, first: Verdict | undefined, second: Verdict | undefined): PairVerdict[] => [
    { item, lang: 'fi', order: 'AB', verdict: first },
    { item, lang: 'fi', order: 'BA', verdict: second },
  ];

  it('counts wins, ties and losses, leaves invalid pairs out and says what they could change', () => {
    const pairs = pairVerdicts([
      ...both('1', 'A', 'A'),
      ...both('2', 'A', 'A'),
      ...both('3', 'B', 'B'),
      ...both('4', 'A', 'B'),
      ...both('5', 'tie', 'tie'),
      ...both('6', 'A', undefined),
      { item: '7', lang: 'fi', order: 'AB', verdict: 'A' },
    ]);
    const found = sideBySide(pairs, few);
    expect(found).toMatchObject({ pairs: 5, leftOut: 2, wins: 2, ties: 2, losses: 1, tieRate: 0.4 });
    expect(found.score).toMatchObject({ value: 60, n: 5 });
    expect(found.worstCase).toEqual([(100 * 3) / 7, (100 * 5) / 7]);
    expect(found.positionConsistency!.value).toBeCloseTo(4 / 5, 12);
  });

  it('draws items, with their pairs in all languages', () => {
    const pairs = ['ar', 'fi', 'sw'].flatMap((lang) =>
      Array.from({ length: 20 }, (_, item) => ({ item: `${item}`, lang, points: item < 10 ? 1 : 0 })),
    );
    const pooled = sideBySide(pairs).score;
    expect(pooled).toEqual(sideBySide(pairs.filter(({ lang }) => lang === 'fi')).score);
    expect(pooled.n).toBe(20);
  });

  it('refuses two verdicts of one order; samples of one prompt are pairs of their own', () => {
    expect(() => pairVerdicts([...both('1', 'A', 'A'), ...both('1', 'A', 'B')])).toThrow(
      'item "1" in fi has two verdicts in the order AB',
    );
    const samples = [0, 1].flatMap((sample) => both('1', 'A', 'A').map((one) => ({ ...one, sample })));
    expect(sideBySide(pairVerdicts(samples), few)).toMatchObject({ pairs: 2, score: { n: 1 } });
  });

  it('has no score without a valid pair', () => {
    const found = sideBySide([{ item: '1', lang: 'fi' }], few);
    expect(found.score).toEqual({ value: Number.NaN, n: 0 });
    expect(found.worstCase).toEqual([0, 100]);
    expect(found.positionConsistency).toBeUndefined();
  });

  it('identical texts are ties without a verdict, and no sign of a consistent judge', () => {
    expect(identicalPair('1', 'fi', 'sama', 'sama')).toEqual({ item: '1', lang: 'fi', points: 0.5 });
    expect(identicalPair('1', 'fi', 'sama', 'muu')).toBeUndefined();
    const found = sideBySide([identicalPair('1', 'fi', '', '')!], few);
    expect(found.score.value).toBe(50);
    expect(found.positionConsistency).toBeUndefined();
  });

  it('S(A, B) + S(B, A) = 100, whatever the judge says', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(verdict, verdict), { minLength: 1, maxLength: 40 }), (rows) => {
        const forward = rows.flatMap(([first, second], at) => both(`${at}`, first, second));
        // The models change places: what was read as AB is BA now, and A's wins are B's.
        const backward = forward.map((one) => ({
          ...one,
          order: one.order === 'AB' ? ('BA' as const) : ('AB' as const),
          verdict: swapped(one.verdict),
        }));
        const [ab, ba] = [sideBySide(pairVerdicts(forward), few), sideBySide(pairVerdicts(backward), few)];
        expect(ab.leftOut).toBe(ba.leftOut);
        if (ab.pairs > 0) expect(ab.score.value + ba.score.value).toBeCloseTo(100, 10);
        expect(ab.worstCase[0] + ba.worstCase[1]).toBeCloseTo(100, 10);
      }),
      { numRuns: 100 },
    );
  });

  it('a judge that always takes the first answer gives parity, and shows in its consistency', () => {
    const pairs = pairVerdicts(Array.from({ length: 30 }, (_, i) => both(`${i}`, 'A', 'B')).flat());
    const found = sideBySide(pairs, few);
    expect(found.score.value).toBe(50);
    expect(found.positionConsistency!.value).toBe(0);
    expect(found.positionConsistency!.high).toBeGreaterThan(0.05);
  });

  it('self-play: answers of one model by two seeds come near 50, and the interval holds 50 as often as it says', () => {
    const words = randomWords(12);
    let held = 0;
    let sum = 0;
    const runs = 300;
    for (let run = 0; run < runs; run += 1) {
      const draw = (): ItemScore[] =>
        Array.from({ length: 100 }, (_, i) => ({ item: `${i}`, lang: 'it', value: (words() % 1000) / 10 }));
      const { score } = sideBySide(scoreVerdicts(draw(), draw(), { measure: 'chrf' }), few);
      sum += score.value;
      if (score.low! <= 50 && score.high! >= 50) held += 1;
    }
    expect(Math.abs(sum / runs - 50)).toBeLessThan(1);
    expect(held / runs).toBeGreaterThan(0.91);
  });
});

describe('a program as a judge', () => {
  const say = (a: number | undefined, b: number | undefined, measure: 'exact' | 'chrf' | 'rougeL') =>
    scoreVerdict(a, b, { measure });

  it('chrF and ROUGE-L: under 5 points apart, or both under 20, is a tie', () => {
    for (const measure of ['chrf', 'rougeL'] as const) {
      expect(say(60, 54.9, measure)).toBe('A');
      expect(say(55, 60, measure)).toBe('B');
      expect(say(55, 59.99, measure)).toBe('tie');
      expect(say(2, 19.9, measure)).toBe('tie');
      expect(say(2, 20, measure)).toBe('B');
    }
    expect(scoreVerdict(2, 10, { measure: 'chrf', tieUnder: 0, tiePoints: 1 })).toBe('B');
  });

  it('exact match: the one that is right wins', () => {
    expect([say(1, 0, 'exact'), say(0, 1, 'exact'), say(1, 1, 'exact'), say(0, 0, 'exact')]).toEqual([
      'A',
      'B',
      'tie',
      'tie',
    ]);
  });

  it('no value, no verdict', () => {
    expect(say(undefined, 50, 'chrf')).toBeUndefined();
    expect(say(50, Number.NaN, 'chrf')).toBeUndefined();
    const pairs = scoreVerdicts([{ item: '1', lang: 'fi' }], [{ item: '1', lang: 'fi', value: 9 }], {
      measure: 'chrf',
    });
    expect(sideBySide(pairs, few)).toMatchObject({ pairs: 0, leftOut: 1 });
  });

  it('S(X, X) = 50, and S(A, B) + S(B, A) = 100', () => {
    const values = fc.array(fc.tuple(fc.integer({ min: 0, max: 100 }), fc.integer({ min: 0, max: 100 })), {
      minLength: 1,
      maxLength: 40,
    });
    fc.assert(
      fc.property(values, (rows) => {
        const side = (which: 0 | 1): ItemScore[] =>
          rows.map((row, at) => ({ item: `${at}`, lang: 'cs', value: row[which] }));
        const s = (a: ItemScore[], b: ItemScore[]): number =>
          sideBySide(scoreVerdicts(a, b, { measure: 'chrf' }), few).score.value;
        expect(s(side(0), side(0))).toBe(50);
        expect(s(side(0), side(1)) + s(side(1), side(0))).toBeCloseTo(100, 10);
      }),
      { numRuns: 60 },
    );
  });

  it('names an item that is on one side only, or twice', () => {
    const one = { item: '1', lang: 'fi', value: 3 };
    const join = (a: ItemScore[], b: ItemScore[]) => scoreVerdicts(a, b, { measure: 'chrf' });
    expect(() => join([one], [])).toThrow('item "1" in fi is in a only');
    expect(() => join([], [one])).toThrow('item "1" in fi is in b only');
    expect(() => join([one, one], [one])).toThrow('a has item "1" in fi twice');
  });
});

describe('instructionFollowing', () => {
  it('the own language is 50 by definition and in no mean', () => {
    expect(instructionFollowing({ en: 80, fi: 40, sw: 20 }, 'en')).toEqual({
      byLanguage: { en: 50, fi: 40, sw: 20 },
      mean: 30,
      languages: 2,
    });
    expect(instructionFollowing({ en: 80, fi: 40, sw: Number.NaN })).toMatchObject({
      mean: 60,
      languages: 2,
    });
  });
});
