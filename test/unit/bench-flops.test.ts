// The share of the GEMM rate is only as honest as the count of operations: it is checked against sums done by hand.
import { describe, expect, it } from 'vitest';
import { totalFlops, trainingFlops } from '../../bench/flops.mjs';

const sizes = {
  architecture: 'llama',
  hidden: 8,
  feedForward: 16,
  heads: 2,
  kvHeads: 1,
  headDim: 4,
  layers: 2,
  vocabulary: 100,
  window: 0,
};

// Parameters of one layer: q 8×8, k and v 8×4; o 8×8, gate and up 8×16, down 16×8.
const QKV = 64 + 32 + 32;
const TAIL = 64 + 128 + 128 + 128;

describe('trainingFlops', () => {
  it('counts frozen matrices twice but for the first layer’s input, and the last layer’s tail on supervised rows', () => {
    const parts = trainingFlops(sizes, { rank: 0, records: [{ length: 10, supervised: 3 }] });
    expect(parts.body).toBe(2 * (10 * (2 * QKV + 2 * QKV - QKV) + (10 + 3) * 2 * TAIL));
    expect(parts.head).toBe(3 * 2 * 2 * 100 * 8);
  });

  it('counts six products of the adapter on every row of its matrix', () => {
    const records = [{ length: 10, supervised: 10 }];
    const with0 = totalFlops(trainingFlops(sizes, { rank: 0, records }));
    const with2 = totalFlops(trainingFlops(sizes, { rank: 2, records }));
    const widths = 16 + 12 + 12 + 16 + 24 + 24 + 24;
    expect(with2 - with0).toBe(10 * 2 * 3 * 2 * 2 * widths);
  });

  it('counts attention over the keys that are seen: causal, inside the window, every sixth layer global in Gemma 3', () => {
    const records = [{ length: 5, supervised: 5 }];
    const attention = (config: typeof sizes) => trainingFlops(config, { rank: 0, records }).attention;
    const product = 2 * 6 * sizes.heads * sizes.headDim;
    expect(attention(sizes)).toBe(2 * 15 * product);
    // With a window of 2 the queries see 1, 2, 2, 2, 2 keys.
    const gemma = { ...sizes, architecture: 'gemma3', window: 2, layers: 6 };
    expect(attention(gemma)).toBe((5 * 9 + 15) * product);
    expect(attention({ ...gemma, window: 5 })).toBe(6 * 15 * product);
  });

  it('counts every matrix three times in full tuning, the first layer’s input gradient with it', () => {
    const records = [{ length: 10, supervised: 3 }];
    const parts = trainingFlops(sizes, { rank: 2, records, isFull: true });
    expect(parts.body).toBe(2 * 3 * (10 * 2 * QKV + (10 + 3) * TAIL));
    expect(parts.head).toBe(3 * 2 * 3 * 100 * 8);
  });

  it('adds up over records', () => {
    const one = { length: 7, supervised: 2 };
    const other = { length: 4, supervised: 4 };
    const total = (records: (typeof one)[]) => totalFlops(trainingFlops(sizes, { rank: 2, records }));
    expect(total([one, other])).toBeCloseTo(total([one]) + total([other]), 6);
  });
});
