// Correlation and line against SciPy's, and what a permutation test must promise.
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pearson } from '../../lib/eval/statistics/pearson';
import { drawBelow, randomWords } from '../../lib/eval/statistics/random';
import { linearRegression } from '../../lib/eval/statistics/regression';
import { fixture } from '../support/fixtures';

const { correlations } = JSON.parse(readFileSync(fixture('statistics.json'), 'utf8')) as {
  correlations: {
    x: number[];
    y: number[];
    r: number;
    fisher: [number, number];
    p: number;
    exact: boolean;
    line: Record<'slope' | 'intercept' | 'slopeError' | 'interceptError' | 'p' | 'rSquared' | 't', number>;
  }[];
};

describe('pearson', () => {
  it.each(correlations)('$x.length points as SciPy', ({ x, y, r, fisher, p, exact }) => {
    const found = pearson(x, y);
    expect(found.r).toBeCloseTo(r, 12);
    expect(found.n).toBe(x.length);
    expect(found.fisher!.low).toBeCloseTo(fisher[0], 10);
    expect(found.fisher!.high).toBeCloseTo(fisher[1], 10);
    expect(found.permutations).toBe(exact ? 'exact' : 'sampled');
    // SciPy drew 20,000 permutations: 0.012 is over three of its standard errors.
    if (exact) expect(found.p).toBeCloseTo(p, 12);
    else expect(Math.abs(found.p - p)).toBeLessThan(0.012);
  });

  it('a perfect line of five points: two orders of 120 are as extreme', () => {
    expect(pearson([1, 2, 3, 4, 5], [2, 4, 6, 8, 10])).toMatchObject({ r: 1, p: 2 / 120 });
  });

  it('sampled: never 0, the same by the same seed', () => {
    const x = Array.from({ length: 12 }, (_, i) => i);
    const found = pearson(x, x, { permutations: 999, seed: 5 });
    expect(found).toMatchObject({ p: 1 / 1000, permutations: 'sampled' });
    const y = x.map((value) => (value * 5) % 7);
    expect(pearson(x, y, { seed: 1 }).p).toBe(pearson(x, y, { seed: 1 }).p);
  });

  it('where nothing is related, p under 5 % comes 5 % of the time', () => {
    const words = randomWords(3);
    const draw = (): number[] => Array.from({ length: 11 }, () => drawBelow(words, 1_000_000));
    let under = 0;
    for (let k = 0; k < 1000; k += 1)
      if (pearson(draw(), draw(), { permutations: 399, seed: k }).p <= 0.05) under += 1;
    expect(under / 1000).toBeGreaterThan(0.033);
    expect(under / 1000).toBeLessThan(0.068);
  });

  it('symmetric, blind to scale and shift', () => {
    const points = fc.array(fc.tuple(fc.integer({ min: -99, max: 99 }), fc.integer({ min: -99, max: 99 })), {
      minLength: 3,
      maxLength: 7,
    });
    fc.assert(
      fc.property(points, (pairs) => {
        const x = pairs.map(([a]) => a);
        const y = pairs.map(([, b]) => b);
        fc.pre(new Set(x).size > 1 && new Set(y).size > 1);
        const one = pearson(x, y);
        expect(pearson(y, x).r).toBeCloseTo(one.r, 12);
        expect(pearson(y, x).p).toBeCloseTo(one.p, 12);
        const moved = pearson(
          x.map((value) => 3 * value - 7),
          y,
        );
        expect(moved.r).toBeCloseTo(one.r, 10);
        expect(moved.p).toBeCloseTo(one.p, 12);
      }),
      { numRuns: 30 },
    );
  });

  it('says why there is no correlation', () => {
    expect(() => pearson([1, 2], [1, 2])).toThrow('at least 3');
    expect(() => pearson([1, 2, 3], [1, 2, 3, 4])).toThrow('pairs');
    expect(() => pearson([1, 2, 3], [0.1, 0.1, 0.1])).toThrow('all values of y are the same');
    expect(() => pearson([1, Number.NaN, 3], [1, 2, 3])).toThrow('not finite');
    expect(pearson([1, 2, 3], [1, 3, 2]).fisher).toBeUndefined();
  });
});

describe('linearRegression', () => {
  it.each(correlations)('$x.length points as SciPy', ({ x, y, line }) => {
    const found = linearRegression(x, y);
    for (const name of ['slope', 'intercept', 'slopeError', 'interceptError', 'p', 'rSquared'] as const)
      expect(found[name]).toBeCloseTo(line[name], 10);
    expect(found.slopeInterval.high - found.slope).toBeCloseTo(line.t * line.slopeError, 9);
    expect(found.intercept - found.interceptInterval.low).toBeCloseTo(line.t * line.interceptError, 9);
  });

  it('says what is wrong, and survives a flat y', () => {
    expect(() => linearRegression([1, 2], [1, 2])).toThrow('at least 3');
    expect(() => linearRegression([1, 2, 3], [1])).toThrow('pairs');
    expect(() => linearRegression([1, 1, 1], [1, 2, 3])).toThrow('no slope');
    expect(() => linearRegression([1, 2, Number.NaN], [1, 2, 3])).toThrow('not finite');
    expect(linearRegression([1, 2, 3], [4, 4, 4])).toMatchObject({ slope: 0, p: 1, rSquared: 0 });
  });
});
