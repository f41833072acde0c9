// Packing and order decide what a step sees, and have to be the same on every machine and in every version.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { epochOrder, philox4x32, planSteps } from '../../lib/data/order';
import { largestBatch, type Packable, packExamples } from '../../lib/data/packing';

const examples = fc
  .array(
    fc.array(fc.tuple(fc.integer({ min: 0, max: 9999 }), fc.constantFrom(0, 0.5, 1)), {
      minLength: 1,
      maxLength: 40,
    }),
    { minLength: 1, maxLength: 30 },
  )
  .map((records) =>
    records.map(
      (tokens, i): Packable => ({
        id: `r${i}`,
        tokens: Int32Array.from(tokens, ([id]) => id),
        weights: Float32Array.from(tokens, ([, weight], at) => (at === 0 ? 0 : weight)),
      }),
    ),
  );

describe('packing', () => {
  it('is told beforehand: tokens and targets of the largest micro-batch', () => {
    fc.assert(
      fc.property(
        fc.array(examples, { maxLength: 4 }),
        fc.integer({ min: 40, max: 120 }),
        (lists, microTokens) => {
          const batches = lists.flatMap((list) =>
            packExamples(list, { microTokens }).map(({ batch }) => batch),
          );
          const most = (count: (batch: (typeof batches)[number]) => number): number =>
            batches.reduce((largest, batch) => Math.max(largest, count(batch)), 0);
          expect(largestBatch(lists, microTokens)).toEqual({
            tokens: most(({ tokens }) => tokens.length),
            targets: most(({ targets }) => targets.filter((target) => target >= 0).length),
          });
        },
      ),
    );
  });

  it('keeps every token and target once, within the budget, with nothing across a document’s border', () => {
    fc.assert(
      fc.property(
        examples,
        fc.integer({ min: 40, max: 120 }),
        fc.boolean(),
        (records, microTokens, allTargets) => {
          const groups = packExamples(records, {
            microTokens,
            allTargets,
            adapters: records.map((_, i) => i % 3),
          });
          const seen: number[] = [];
          for (const { batch, members } of groups) {
            const total = batch.tokens.length;
            expect(total).toBeLessThanOrEqual(microTokens);
            expect(batch.cuSeqlens[0]).toBe(0);
            expect(batch.cuSeqlens[members.length]).toBe(total);
            for (const [document, member] of members.entries()) {
              const { tokens, weights } = records[member]!;
              const [from, to] = [batch.cuSeqlens[document]!, batch.cuSeqlens[document + 1]!];
              seen.push(member);
              expect(batch.adapters[document]).toBe(member % 3);
              expect([...batch.tokens.subarray(from, to)]).toEqual([...tokens]);
              expect([...batch.positions.subarray(from, to)]).toEqual([...tokens.keys()]);
              const shifted = [...tokens.keys()].map((i) => (i + 1 < tokens.length ? weights[i + 1]! : 0));
              expect([...batch.weights.subarray(from, to)]).toEqual(shifted);
              expect([...batch.targets.subarray(from, to)]).toEqual(
                shifted.map((weight, i) =>
                  i + 1 < tokens.length && (allTargets || weight !== 0) ? tokens[i + 1] : -1,
                ),
              );
            }
          }
          expect(seen.sort((a, b) => a - b)).toEqual([...records.keys()]);
          expect(
            packExamples(records, { microTokens, allTargets, adapters: records.map((_, i) => i % 3) }),
          ).toEqual(groups);
        },
      ),
    );
  });

  it('wastes less than half: no two batches would fit in one', () => {
    fc.assert(
      fc.property(examples, fc.integer({ min: 40, max: 120 }), (records, microTokens) => {
        const sizes = packExamples(records, { microTokens }).map(({ batch }) => batch.tokens.length);
        sizes.sort((a, b) => a - b);
        if (sizes.length > 1) expect(sizes[0]! + sizes[1]!).toBeGreaterThan(microTokens);
      }),
    );
  });

  it('names a record that does not fit, and refuses a bad budget', () => {
    const record = { id: 'big', tokens: new Int32Array(9), weights: new Float32Array(9) };
    expect(() => packExamples([record], { microTokens: 8 })).toThrow(/"big" has 9 tokens; expected 1 to 8/);
    expect(() => packExamples([record], { microTokens: 0 })).toThrow(RangeError);
    expect(packExamples([record], { microTokens: 9, adapters: -1 })[0]!.batch.adapters).toEqual(
      Int32Array.of(-1),
    );
  });
});

describe('order', () => {
  it('draws Philox 4×32-10 (known answers of Random123)', () => {
    const hex = (words: number[]): string =>
      words.map((word) => word.toString(16).padStart(8, '0')).join(' ');
    const ones = 0xffffffff;
    expect(hex(philox4x32([0, 0, 0, 0], [0, 0]))).toBe('6627e8d5 e169c58d bc57ac4c 9b00dbd8');
    expect(hex(philox4x32([ones, ones, ones, ones], [ones, ones]))).toBe(
      '408f276d 41c83b0e a20bc7c6 6d5451fd',
    );
    expect(hex(philox4x32([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]))).toBe(
      'd16cfe09 94fdcceb 5001e420 24126ea1',
    );
  });

  it('is a permutation that seed and epoch alone decide', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 300 }), fc.maxSafeNat(), fc.nat(50), (count, seed, epoch) => {
        const order = epochOrder(count, seed, epoch);
        expect([...order].sort((a, b) => a - b)).toEqual([...Array(count).keys()]);
        expect(epochOrder(count, seed, epoch)).toEqual(order);
      }),
    );
    expect([...epochOrder(10, 1, 0)]).toEqual([...epochOrder(10, 1, 0)]);
    const orders = [
      epochOrder(50, 1, 0),
      epochOrder(50, 1, 1),
      epochOrder(50, 2, 0),
      epochOrder(50, 2 ** 32 + 1, 0),
    ];
    expect(new Set(orders.map(String)).size).toBe(4);
    expect(() => epochOrder(3, -1, 0)).toThrow(/seed/);
  });

  it('has not changed since it was first released', () => {
    expect([...epochOrder(12, 42, 3)]).toEqual([0, 1, 10, 3, 7, 9, 2, 8, 6, 11, 4, 5]);
  });

  it('puts every record at every place about equally often', () => {
    const counts = new Float64Array(25);
    for (let seed = 0; seed < 2000; seed += 1)
      for (const [at, record] of epochOrder(5, seed, 0).entries()) counts[record * 5 + at]! += 1;
    for (const count of counts) expect(Math.abs(count - 400)).toBeLessThan(90);
  });
});

describe('steps', () => {
  it('take each record once an epoch, never cross its border, and keep the last smaller step', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 3 }),
        fc.boolean(),
        (lengths, batchExamples, epochs, shuffle) => {
          const steps = planSteps({ lengths, seed: 5, batchExamples, epochs, shuffle });
          const perEpoch = Math.ceil(lengths.length / batchExamples);
          expect(steps).toHaveLength(perEpoch * epochs);
          for (let epoch = 0; epoch < epochs; epoch += 1) {
            const mine = steps.slice(epoch * perEpoch, (epoch + 1) * perEpoch);
            expect(mine.slice(0, -1).every((step) => step.length === batchExamples)).toBe(true);
            const expected = shuffle ? [...epochOrder(lengths.length, 5, epoch)] : [...lengths.keys()];
            expect(mine.flat()).toEqual(expected);
          }
        },
      ),
    );
  });

  it('stops after so many steps, over as many epochs as that takes', () => {
    const steps = planSteps({ lengths: [1, 1, 1], seed: 0, batchExamples: 2, steps: 5 });
    expect(steps.map((step) => step.length)).toEqual([2, 1, 2, 1, 2]);
    expect(planSteps({ lengths: [], seed: 0, steps: 5 })).toEqual([]);
  });

  it('fills steps by tokens, a longer record alone', () => {
    const steps = planSteps({ lengths: [3, 4, 20, 2, 5], seed: 0, shuffle: false, batchTokens: 8 });
    expect(steps).toEqual([[0, 1], [2], [3, 4]]);
    expect(() => planSteps({ lengths: [1], seed: 0, batchTokens: 0 })).toThrow(/batchTokens/);
    expect(() => planSteps({ lengths: [1], seed: 0, batchExamples: 0.5 })).toThrow(/batchExamples/);
  });
});
