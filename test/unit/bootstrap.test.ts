// Intervals against SciPy's, by simulation of what they promise, and by the properties that a joint bootstrap must have.
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PairedBootstrap, quantile, tailShare } from '../../lib/eval/statistics/bootstrap';
import { normalCdf, normalQuantile, tCdf, tQuantile } from '../../lib/eval/statistics/normal';
import { signTest, wilson } from '../../lib/eval/statistics/proportions';
import { randomWords } from '../../lib/eval/statistics/random';
import { bootstrapSeeds, seedSummary } from '../../lib/eval/statistics/seeds';
import { fixture } from '../support/fixtures';

interface Interval {
  low: number;
  high: number;
  standardError: number;
}
const scipy = JSON.parse(readFileSync(fixture('statistics.json'), 'utf8')) as {
  bootstraps: { name: string; samples: number[][]; value: number; percentile: Interval }[];
} & Record<'normalQuantile' | 'normalCdf' | 'tQuantile' | 'tCdf' | 'wilson' | 'signTest', number[][]>;

const close = (value: number, expected: number, tolerance = 1e-9): void =>
  expect(Math.abs(value - expected)).toBeLessThanOrEqual(tolerance * Math.max(1e-3, Math.abs(expected)));

describe('distributions, against SciPy', () => {
  it('normal and Student’s t, both ways, far into the tails', () => {
    for (const [p, z] of scipy.normalQuantile) close(normalQuantile(p!), z!);
    for (const [z, p] of scipy.normalCdf) expect(normalCdf(z!) / p!).toBeCloseTo(1, 9);
    for (const [p, f, t] of scipy.tQuantile) close(tQuantile(p!, f!), t!, 1e-8);
    for (const [t, f, p] of scipy.tCdf) close(tCdf(t!, f!), p!);
  });

  it('quantiles outside 0 to 1 are none, at the ends infinite', () => {
    expect(normalQuantile(1.5)).toBeNaN();
    expect(tQuantile(0.5, 0)).toBeNaN();
    expect([normalQuantile(0), normalQuantile(1)]).toEqual([-Infinity, Infinity]);
    expect([tQuantile(0, 3), tQuantile(1, 3)]).toEqual([-Infinity, Infinity]);
  });

  it('Wilson’s interval and the sign test', () => {
    for (const [k, n, low, high] of scipy.wilson) {
      const found = wilson(k!, n!);
      expect(found.value).toBe(k! / n!);
      close(found.low!, low!);
      close(found.high!, high!);
    }
    for (const [wins, losses, p] of scipy.signTest) close(signTest(wins!, losses!), p!);
    expect(signTest(0, 0)).toBe(1);
    expect(() => wilson(5, 4)).toThrow('5 of 4');
    expect(() => signTest(-1, 4)).toThrow('-1 and 4');
    expect(wilson(0, 0)).toEqual({ value: Number.NaN, n: 0 });
  });
});

describe('PairedBootstrap, against SciPy', () => {
  // SciPy's percentile interval is ours but for the widening: the level is moved so that both read the same percentiles.
  const unwidened = (n: number): number => {
    let [low, high] = [0.5, 0.99];
    for (let i = 0; i < 60; i += 1) {
      const middle = (low + high) / 2;
      if (tailShare(n, middle) > 0.025) low = middle;
      else high = middle;
    }
    return low;
  };
  const of = (name: string) => {
    const found = scipy.bootstraps.find((one) => one.name === name)!;
    return { ...found, samples: found.samples.map((sample) => Float64Array.from(sample)) };
  };
  const same = (found: { value: number; low?: number; high?: number }, one: ReturnType<typeof of>): void => {
    expect(found.value).toBeCloseTo(one.value, 12);
    // Two sets of 200,000 resamples agree in a percentile to a hundredth or so of a standard error.
    const tolerance = 0.03 * one.percentile.standardError;
    expect(Math.abs(found.low! - one.percentile.low)).toBeLessThan(tolerance);
    expect(Math.abs(found.high! - one.percentile.high)).toBeLessThan(tolerance);
  };
  const resamples = 100_000;

  it('a mean, and a difference of paired means by both ways of asking for it', () => {
    const one = of('difference of paired means');
    const [a, b] = one.samples as [Float64Array, Float64Array];
    const bootstrap = new PairedBootstrap([{ values: a }, { values: b }], {
      resamples,
      level: unwidened(100),
    });
    same(bootstrap.estimate(0), of('mean of verdicts'));
    const difference = bootstrap.contrast((v) => v[0]! - v[1]!);
    // The steps of a difference of verdicts are 0.005, wider than what chance leaves.
    expect(Math.abs(difference.low! - one.percentile.low)).toBeLessThanOrEqual(0.0051);
    expect(Math.abs(difference.high! - one.percentile.high)).toBeLessThanOrEqual(0.0051);
    const combined = bootstrap.combine([
      { cell: 0, weight: 1 },
      { cell: 1, weight: -1 },
    ]);
    expect(combined).toEqual(difference);
  });

  it('a ratio of sums', () => {
    const one = of('nats a byte');
    const [values, weights] = one.samples as [Float64Array, Float64Array];
    const effective =
      weights.reduce((a, b) => a + b) ** 2 / weights.reduce((sum, weight) => sum + weight * weight, 0);
    const bootstrap = new PairedBootstrap([{ values, weights }], { resamples, level: unwidened(effective) });
    same(bootstrap.estimate(0), one);
  });
});

describe('PairedBootstrap, by simulation', () => {
  const words = randomWords(20240811);
  const uniform = (): number => (words() + 0.5) / 2 ** 32;
  const normal = (): number => normalQuantile(uniform());
  const coverage = (n: number, draw: () => [number, number], truth: number): number => {
    // A hundred samples are the cells of one bootstrap: they share its draws, not their values.
    let covered = 0;
    for (let batch = 0; batch < 40; batch += 1) {
      const cells = Array.from({ length: 100 }, () => {
        const sample = Array.from({ length: n }, draw);
        return { values: sample.map(([value]) => value), weights: sample.map(([, weight]) => weight) };
      });
      const bootstrap = new PairedBootstrap(cells, { resamples: 1000, seed: batch });
      for (let cell = 0; cell < cells.length; cell += 1) {
        const { low, high } = bootstrap.estimate(cell);
        if (low! <= truth && truth <= high!) covered += 1;
      }
    }
    return covered / 4000;
  };
  const verdict = (win: number, tie: number) => (): [number, number] => {
    const u = uniform();
    return [u < win ? 1 : u < win + tie ? 0.5 : 0, 1];
  };

  const skewed = (): [number, number] => {
    const bytes = Math.exp(0.6 * normal());
    return [bytes * Math.exp(0.4 * normal()), bytes];
  };

  it.each([
    { of: 'even verdicts', draw: verdict(0.4, 0.2), truth: 0.5 },
    { of: 'uneven verdicts', draw: verdict(0.75, 0.1), truth: 0.8 },
    { of: 'a skewed ratio of sums', draw: skewed, truth: Math.exp(0.08) },
  ])('100 items: 95 percent intervals of $of cover 95 ± 1.5 percent of the time', ({ draw, truth }) => {
    const share = coverage(100, draw, truth);
    expect(share).toBeGreaterThan(0.935);
    expect(share).toBeLessThan(0.965);
  });
});

describe('PairedBootstrap', () => {
  const values = Float64Array.from({ length: 50 }, (_, i) => (i * 7) % 11);

  it('same seed, same numbers; another seed, others', () => {
    const low = (seed: number) => new PairedBootstrap([{ values }], { resamples: 500, seed }).estimate(0).low;
    expect(low(3)).toBe(low(3));
    expect(low(3)).not.toBe(low(4));
  });

  it('a cell’s numbers do not depend on the cells beside it', () => {
    const other = { values: values.map((value) => -value) };
    const alone = new PairedBootstrap([{ values }], { resamples: 501 }).estimate(0);
    for (const count of [1, 2, 3, 4])
      expect(
        new PairedBootstrap([...Array(count).fill(other), { values }], { resamples: 501 }).estimate(count),
      ).toEqual(alone);
  });

  it('draws items jointly: a cell less itself, or less its shift, has no spread', () => {
    const bootstrap = new PairedBootstrap([{ values }, { values: values.map((value) => value + 2) }]);
    const difference = bootstrap.contrast((v) => v[1]! - v[0]!);
    expect(difference.value).toBeCloseTo(2, 12);
    expect(difference.low).toBeCloseTo(2, 9);
    expect(difference.high).toBeCloseTo(2, 9);
  });

  it('left-out items: NaN and weight 0 are the same, count in no n, and change nothing', () => {
    const holes = Float64Array.from({ length: 80 }, (_, i) => (i < 50 ? values[i]! : Number.NaN));
    const weights = holes.map((value) => (Number.isNaN(value) ? 0 : 1));
    const whole = new PairedBootstrap([{ values }], { resamples: 400 }).estimate(0);
    expect(new PairedBootstrap([{ values: holes }], { resamples: 400 }).estimate(0)).toEqual(whole);
    const zeros = holes.map((value) => (Number.isNaN(value) ? 0 : value));
    expect(new PairedBootstrap([{ values: zeros, weights }], { resamples: 400 }).estimate(0)).toEqual(whole);
    expect(whole.n).toBe(50);
  });

  it('counts the items of the cells that a contrast reads', () => {
    const only = (from: number, to: number) => ({
      values: values.map((value, i) => (i >= from && i < to ? value : Number.NaN)),
    });
    const bootstrap = new PairedBootstrap([only(0, 30), only(20, 40), only(0, 50)], { resamples: 200 });
    expect(bootstrap.contrast((v) => v[0]! - v[1]!).n).toBe(40);
    expect(bootstrap.contrast((v) => v[1]!).n).toBe(20);
    expect(bootstrap.combine([{ cell: 2, weight: 1 }]).n).toBe(50);
    expect(bootstrap.contrast(() => 1)).toEqual({ value: 1, low: 1, high: 1, n: 50 });
  });

  it('a ratio of sums is no mean of ratios', () => {
    const bootstrap = new PairedBootstrap([{ values: [1, 30], weights: [1, 10] }], { resamples: 50 });
    expect(bootstrap.estimate(0).value).toBeCloseTo(31 / 11, 12);
    expect([...bootstrap.values]).toEqual([31 / 11]);
  });

  it('gives no interval where there is none: no item, one item', () => {
    const none = new PairedBootstrap([{ values: [Number.NaN, Number.NaN] }, { values: [3, Number.NaN] }]);
    expect(none.estimate(0)).toEqual({ value: Number.NaN, n: 0 });
    expect(none.estimate(1)).toEqual({ value: 3, n: 1 });
    expect(new PairedBootstrap([]).items).toBe(0);
  });

  it('a share of 0 or 1 has Wilson’s interval where the range is told, and a point where it is not', () => {
    const zeros = new Float64Array(40);
    const bootstrap = new PairedBootstrap(
      [
        { values: zeros, range: [0, 1] },
        { values: zeros.map(() => 100), range: [0, 100] },
        { values: zeros },
        { values: zeros.map((_, i) => i % 2), range: [0, 1] },
      ],
      { resamples: 200 },
    );
    expect(bootstrap.estimate(0)).toEqual({ ...wilson(0, 40) });
    expect(bootstrap.estimate(1).low).toBeCloseTo(100 * wilson(40, 40).low!, 10);
    expect(bootstrap.estimate(2)).toEqual({ value: 0, low: 0, high: 0, n: 40 });
    expect(bootstrap.estimate(3).low).toBeGreaterThan(0.2);
  });

  it('a difference and a mean know of the Wilson intervals of the cells at an end of their range', () => {
    const range = [0, 1] as const;
    const none = new Float64Array(40);
    const all = new Float64Array(40).fill(1);
    const some = Float64Array.from({ length: 40 }, (_, at) => at % 2);
    const bootstrap = new PairedBootstrap([
      { values: none, range },
      { values: all, range },
      { values: some, range },
    ]);
    const reach = wilson(0, 40).high!;
    const alone = bootstrap.combine([{ cell: 0, weight: 1 }]);
    expect(alone).toEqual(bootstrap.estimate(0));
    const difference = bootstrap.combine([
      { cell: 1, weight: 1 },
      { cell: 0, weight: -1 },
    ]);
    expect(difference.low).toBeCloseTo(1 - reach * Math.SQRT2, 12);
    expect(difference.high).toBe(1);
    const mixed = bootstrap.combine([
      { cell: 0, weight: 0.5 },
      { cell: 2, weight: 0.5 },
    ]);
    const { value, low, high } = bootstrap.estimate(2);
    expect(mixed.low).toBeCloseTo(low! / 2, 12);
    expect(mixed.high! - mixed.value).toBeCloseTo(Math.hypot((high! - value) / 2, reach / 2), 12);
    // Without a range nothing is known of what was not seen.
    expect(new PairedBootstrap([{ values: none }]).combine([{ cell: 0, weight: 1 }]).high).toBe(0);
  });

  it('names what is wrong with its arguments', () => {
    expect(() => new PairedBootstrap([{ values }, { values: [1] }])).toThrow(/cell 1: has 1 items where/);
    expect(() => new PairedBootstrap([{ values, weights: [1] }])).toThrow('cell 0: has 1 weights for 50');
    expect(() => new PairedBootstrap([{ values: [1], weights: [-1] }])).toThrow('cell 0, item 0: weight -1');
    expect(() => new PairedBootstrap([], { resamples: 0 })).toThrow('resamples');
    expect(() => new PairedBootstrap([], { level: 1 })).toThrow('level');
    expect(() => new PairedBootstrap([{ values }], { seed: -1 })).toThrow('seed');
    expect(() => new PairedBootstrap([{ values }], { resamples: 1 }).estimate(1)).toThrow('cell');
    expect(() =>
      new PairedBootstrap([{ values }], { resamples: 1 }).combine([{ cell: 2, weight: 1 }]),
    ).toThrow('cell: expected');
  });

  it('intervals hold their value for any cell of numbers', () => {
    const item = fc.tuple(fc.integer({ min: -50, max: 50 }), fc.integer({ min: 0, max: 3 }));
    fc.assert(
      fc.property(fc.array(item, { minLength: 10, maxLength: 60 }), (items) => {
        const { value, low, high, n } = new PairedBootstrap(
          [{ values: items.map(([v, w]) => v * w), weights: items.map(([, w]) => w) }],
          { resamples: 300 },
        ).estimate(0);
        expect(n).toBe(items.filter(([, w]) => w > 0).length);
        if (low === undefined) return;
        expect(low - 1e-9).toBeLessThanOrEqual(value);
        expect(high! + 1e-9).toBeGreaterThanOrEqual(value);
      }),
      { numRuns: 60 },
    );
  });

  it('12 × 12 cells of 617 verdicts in 10,000 resamples: far under what it takes without blocks', () => {
    const cells = Array.from({ length: 144 }, (_, c) => ({
      values: Float64Array.from({ length: 617 }, (_, i) => ((i * 31 + c * 17) % 3) / 2),
    }));
    const before = process.cpuUsage();
    const bootstrap = new PairedBootstrap(cells);
    for (let cell = 0; cell < cells.length; cell += 1) bootstrap.estimate(cell);
    const { user, system } = process.cpuUsage(before);
    // About 0.7 s; the bound leaves room for a busy machine.
    expect((user + system) / 1e6).toBeLessThan(4);
  });

  it('quantile is linear between neighbours and held within the ends', () => {
    expect([0, 0.5, 0.75, 1, 2, -1].map((share) => quantile([0, 1, 10], share))).toEqual([
      0, 1, 5.5, 10, 10, 0,
    ]);
  });
});

describe('seeds', () => {
  it('three of them are three points and a range, never an interval', () => {
    expect(seedSummary([3, 1, 2])).toEqual({ points: [3, 1, 2], n: 3, mean: 2, range: [1, 3] });
    expect(() => bootstrapSeeds([1, 2, 3])).toThrow('3 seeds; an interval over seeds takes at least 10');
    expect(() => seedSummary([])).toThrow('at least one');
    expect(() => seedSummary([1, Number.NaN])).toThrow('finite');
  });

  it('ten may be bootstrapped', () => {
    const { value, low, high, n } = bootstrapSeeds([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect([value, n]).toEqual([5.5, 10]);
    expect(low).toBeGreaterThan(3);
    expect(high).toBeLessThan(8);
  });
});
