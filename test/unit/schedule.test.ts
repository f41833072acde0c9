// The learning rate is a pure function of the step, so that a resumed run has the same: its values at the corners.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { describeRate, describeWarmup, learningRateAt, SCHEDULES } from '../../lib/train/schedule';

describe('learningRateAt', () => {
  const base = { learningRate: 1, warmupSteps: 4, totalSteps: 12 } as const;

  it('warms up linearly from the first step', () => {
    for (const schedule of SCHEDULES) {
      expect([1, 2, 3, 4].map((step) => learningRateAt(step, { ...base, schedule }))).toEqual([
        0.25, 0.5, 0.75, 1,
      ]);
    }
  });

  it('decays to 0 at the last step, or not at all', () => {
    expect(learningRateAt(12, { ...base, schedule: 'linear' })).toBe(0);
    expect(learningRateAt(12, { ...base, schedule: 'cosine' })).toBeCloseTo(0, 15);
    expect(learningRateAt(12, { ...base, schedule: 'constant' })).toBe(1);
    expect(learningRateAt(8, { ...base, schedule: 'linear' })).toBe(0.5);
    expect(learningRateAt(8, { ...base, schedule: 'cosine' })).toBeCloseTo(0.5, 12);
  });

  it('stays between 0 and the peak and never rises after the warm-up', () => {
    const options = fc.record({
      schedule: fc.constantFrom(...SCHEDULES),
      learningRate: fc.double({ min: 1e-6, max: 1, noNaN: true }),
      warmupSteps: fc.nat(20),
      totalSteps: fc.integer({ min: 1, max: 200 }),
    });
    fc.assert(
      fc.property(options, (o) => {
        let last = Number.POSITIVE_INFINITY;
        for (let step = 1; step <= o.totalSteps; step++) {
          const rate = learningRateAt(step, o);
          expect(rate).toBeGreaterThanOrEqual(0);
          expect(rate).toBeLessThanOrEqual(o.learningRate);
          if (step > o.warmupSteps) expect(rate).toBeLessThanOrEqual(last);
          if (step >= o.warmupSteps) last = rate;
        }
      }),
    );
  });
});

it('tells of a warm-up that takes more than a third of a run', () => {
  expect(describeWarmup(10, 60)).toEqual([]);
  expect(describeWarmup(10, 30)).toEqual([]);
  expect(describeWarmup(10, 29)).toEqual(['warm-up takes 10 of 29 steps: lower --warmup-steps']);
  expect(describeWarmup(10, 3)[0]).toMatch(/takes 3 of 3 steps, and the rate never reaches its peak/);
});

it('says where a learning rate must be a slip of the pen', () => {
  for (const usual of [2e-5, 2e-4, 0.01]) expect(describeRate(usual)).toEqual([]);
  expect(describeRate(2e4)[0]).toMatch(/^a learning rate of 20000 moves/);
});
