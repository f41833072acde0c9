// A plan is believed before anything runs: its operations are checked against sums done by hand, its choice of a level
// against sizes that are known.
import { describe, expect, it } from 'vitest';
import type { NativeMemoryPlan, NativeModelConfig, Recompute } from '../../lib/native/types';
import { checkMemory, chooseRecompute, stepFlops, type TrainPlan } from '../../lib/train/plan';

const config: NativeModelConfig = {
  architecture: 'llama',
  layers: 3,
  hidden: 8,
  feedForward: 16,
  heads: 2,
  kvHeads: 1,
  headDim: 4,
  vocabulary: 100,
  contextLength: 64,
  window: 0,
  tiedHead: false,
  eosIds: [],
};
// Parameters of one layer: q 8×8, k and v 8×4, o 8×8; gate and up 8×16; down 16×8.
const ATTENTION = 64 + 32 + 32 + 64;
const GATE_UP = 128 + 128;
const DOWN = 128;
const QKV = 64 + 32 + 32;
const spec = { rank: 2, alpha: 4, rslora: false, targetModules: ['q_proj', 'up_proj'] };
const Q = 2 * (8 + 8);
const UP = 2 * (8 + 16);

describe('stepFlops', () => {
  const flops = (recompute: Recompute, architecture: NativeModelConfig['architecture'] = 'llama') =>
    stepFlops({ ...config, architecture }, spec, 10, 4, recompute);

  it('counts forward, input gradients, six products of an adapter; on supervised rows what follows the last attention', () => {
    const layer = 2 * 2 * (ATTENTION + GATE_UP + DOWN) + 2 * 3 * (Q + UP);
    const last = 10 * (2 * 2 * QKV + 2 * 3 * Q) + 4 * (2 * 2 * (64 + GATE_UP + DOWN) + 2 * 3 * UP);
    expect(flops('none')).toBe(10 * 2 * layer + last + 4 * 2 * 2 * 800);
  });

  it('counts a LoRA on the head, and no input gradients where there is no other', () => {
    const of = (targetModules: string[]): number =>
      stepFlops(config, { ...spec, targetModules }, 10, 4, 'layer');
    const head = 2 * 3 * 2 * (8 + 100);
    expect(of(['q_proj', 'lm_head']) - of(['q_proj'])).toBe(4 * head);
    const layers = 10 * 2 * (2 * (ATTENTION + GATE_UP + DOWN) + QKV) + 4 * 2 * (64 + GATE_UP + DOWN);
    expect(of(['lm_head'])).toBe(layers + 4 * (2 * 800 + head));
  });

  it('counts what a level computes again, in all layers but the last', () => {
    expect(flops('activations') - flops('none')).toBe(10 * 2 * 2 * (GATE_UP + UP));
    expect(flops('layer') - flops('none')).toBe(10 * 2 * 2 * (ATTENTION + GATE_UP + Q + UP));
    expect(flops('layer', 'gemma3') - flops('layer')).toBe(10 * 2 * 2 * DOWN);
  });
});

describe('chooseRecompute', () => {
  const sizes = { none: 300, activations: 200, layer: 100 };
  const planWith = async (level: Recompute): Promise<NativeMemoryPlan> => [
    { name: 'base', bytes: 10 },
    { name: 'activations', bytes: sizes[level] - 10 },
  ];
  const chosen = async (asked: 'auto' | Recompute, available: number): Promise<string> => {
    const { recompute, memory } = await chooseRecompute(asked, available, planWith);
    expect(memory).toEqual(await planWith(recompute));
    return recompute;
  };

  it('takes the first level that fits, and the last where none does', async () => {
    expect(await chosen('auto', 300)).toBe('none');
    expect(await chosen('auto', 299)).toBe('activations');
    expect(await chosen('auto', 199)).toBe('layer');
    expect(await chosen('auto', 99)).toBe('layer');
  });

  it('takes what was asked for, whether it fits or not', async () => {
    expect(await chosen('none', 0)).toBe('none');
    expect(await chosen('activations', 1000)).toBe('activations');
  });
});

describe('checkMemory', () => {
  const plan: TrainPlan = {
    method: 'lora',
    memory: [{ name: 'base', bytes: 1000 }],
    nativeBytes: 1000,
    nodeBytes: 50,
    device: 'cpu',
    onDevice: false,
    peakBytes: 1050,
    availableBytes: 1000,
    waysOut: [],
    steps: 1,
    examples: 1,
    tokens: 1,
    supervisedTokens: 1,
    microTokens: 64,
    largestBatch: { tokens: 64, targets: 32 },
    recompute: 'none',
    flops: 1,
  };

  it('refuses one byte more than there is, less what is held already', () => {
    const refused = (change: Partial<TrainPlan>, held?: number) => () =>
      checkMemory({ ...plan, ...change }, held);
    expect(refused({})).not.toThrow();
    expect(refused({ availableBytes: 999 })).toThrow(/base 0\.00 GiB.*--micro-tokens \(now 64\)/);
    expect(refused({ availableBytes: 999 }, 1)).not.toThrow();
  });

  it('on a device: names it, what would take less', () => {
    const waysOut = [{ flags: '--recompute layer', nativeBytes: 3 * 2 ** 29 }];
    const short = { ...plan, device: 'cuda:1', onDevice: true, availableBytes: 999, waysOut };
    const expected =
      /of cuda:1's own memory .* are free there; --recompute layer needs 1\.50 GiB \(still too much\); lower/;
    expect(() => checkMemory(short)).toThrow(expected);
    expect(() => checkMemory(short, 1)).not.toThrow();
    expect(() => checkMemory({ ...short, availableBytes: 1000 })).not.toThrow();
  });
});
