// The gate of `npm run cuda:check` itself: kernels that have lost what they must have are named, and the limits that occupancy follows from.
import { describe, expect, it } from 'vitest';
import { lost, occupancy, rules } from '../../scripts/cuda/expected.mjs';
import { dynamicShared } from '../../scripts/cuda/resources.mjs';

interface Kernel {
  kernel: string;
  counts: Record<string, number>;
}

const whole: Kernel[] = [
  'attentionForwardKernel<64, true>',
  'attentionForwardKernel<32, false>',
  'intoRankKernel<bf16, (Load)0>',
  'outOfRankKernel<float, (Load)1>',
  'overRowsKernel<bf16, bf16, (Load)0, BlockShape<64, 64, 1, 4, true> >',
  'overRowsKernel<bf16, float, (Load)1, BlockShape<64, 64, 1, 4, true> >',
  'overRowsKernel<float, float, (Load)0, BlockShape<128, 128, 2, 4, false> >',
  'fewRowsKernel<(WeightFormat)3, 1, 4>',
].map((kernel) => ({ kernel, counts: { mma: 32, ldmatrix: 20, 'cp.async': 8 } }));

const without = (kernel: string, kind: string): Kernel[] =>
  whole.map((each) => (each.kernel === kernel ? { kernel, counts: { ...each.counts, [kind]: 0 } } : each));

describe('what a kernel must have', () => {
  it('is there', () => {
    expect(lost(whole, 'sm_80')).toEqual([]);
  });

  it.each(['mma', 'ldmatrix', 'cp.async'])('%s that is lost is found', (kind) => {
    expect(lost(without('attentionForwardKernel<64, true>', kind), 'sm_80')).toEqual([
      `attentionForwardKernel<64, true> has no ${kind} on sm_80`,
    ]);
  });

  it('copies are asked only of kernels that have something to copy as it is', () => {
    for (const kernel of [
      'attentionForwardKernel<32, false>',
      'outOfRankKernel<float, (Load)1>',
      whole[6]!.kernel,
    ])
      expect(lost(without(kernel, 'cp.async'), 'sm_80')).toEqual([]);
    expect(lost(without(whole[4]!.kernel, 'cp.async'), 'sm_80')).toHaveLength(1);
  });

  it('a kernel without code, a rule without kernels and mma without a rule are found', () => {
    const noCode = [{ kernel: whole[0]!.kernel, counts: undefined }, ...whole.slice(1)];
    expect(lost(noCode, 'sm_90a')).toHaveLength(3);
    const renamed = whole.map((each) => ({ ...each, kernel: each.kernel.replace('intoRank', 'toRank') }));
    const findings = lost(renamed, 'sm_80');
    expect(findings).toHaveLength(2);
    expect(findings[0]).toMatch(/no kernel of sm_80 is .*intoRank.*: correct/);
    expect(findings[1]).toBe(
      'toRankKernel<bf16, (Load)0> has mma on sm_80 and no rule in scripts/cuda/expected.mjs',
    );
    expect(rules.length).toBeGreaterThan(5);
  });
});

describe('blocks of a processor', () => {
  it('are bounded by whatever runs out first', () => {
    const small = { threads: 128, registers: 32, sharedBytes: 0 };
    expect(occupancy('sm_80', small)).toEqual({ blocks: 16, warps: 64, share: 1 }); // warps
    expect(occupancy('sm_86', { ...small, threads: 64 })).toMatchObject({ blocks: 16 }); // blocks
    expect(occupancy('sm_80', { ...small, registers: 168 })).toMatchObject({ blocks: 3, warps: 12 }); // registers: 3 a scheduler
    expect(occupancy('sm_80', { ...small, sharedBytes: 48 * 1024 })).toMatchObject({ blocks: 3 }); // shared memory
    expect(occupancy('sm_89', { ...small, sharedBytes: 99 * 1024 })).toMatchObject({ blocks: 1 });
    expect(occupancy('sm_89', { ...small, sharedBytes: 50 * 1024 })).toMatchObject({ blocks: 1 }); // and 1 KiB each
  });

  it('know what launchers ask for', () => {
    expect(dynamicShared('attentionForwardKernel<128, true>')).toBe(49152);
    expect(dynamicShared('overRowsKernel<bf16, bf16, (Load)0, BlockShape<128, 128, 2, 4, false> >')).toBe(
      65536,
    );
    expect(dynamicShared('attentionPromptKernel<256, false>')).toBe(81920);
    expect(() => dynamicShared('attentionPromptKernel<512, false>')).toThrow(/dynamic-shared.json knows no/);
    expect(dynamicShared('rmsNormForwardKernel<32, 4, bf16, bf16>')).toBe(0);
  });
});
