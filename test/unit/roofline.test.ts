// The page of predictions is what its command writes, and what a prediction does with bytes, operations, launches and waits.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadAddon } from '../../lib/native/addon';
import type { NativeCosts } from '../../lib/native/types';
import { ASSUMED, boundsOf, predictSeconds, totalsOf } from '../../lib/train/roofline';
import { root } from '../support/fixtures';
import { rooflinePage } from '../support/roofline-page';

const card = (name: string) =>
  loadAddon()
    .cards()
    .find((each) => each.name === name)!;
const costs = (
  op: string,
  readBytes: number,
  tensorFlops: number,
  launches: number,
  waits = 0,
): NativeCosts => ({
  ops: { [op]: { readBytes, writtenBytes: 0, tensorFlops, launches } },
  waits,
});

describe('a prediction', () => {
  const a100 = card('a100-80gb');

  it('is bound by what takes longest', () => {
    const compute = costs('linearForward', 0, 312e12, 1);
    expect(boundsOf(compute, a100)).toMatchObject({ compute: 1, bandwidth: 0 });
    expect(predictSeconds(compute, a100).least).toBeCloseTo(1 / ASSUMED.products[0], 6);
    expect(predictSeconds(compute, a100).most).toBeCloseTo(1 / ASSUMED.products[1], 6);
    const bytes = costs('add', 2039e9, 0, 1);
    expect(boundsOf(bytes, a100)).toMatchObject({ compute: 0, bandwidth: 1 });
    expect(predictSeconds(bytes, a100).least).toBeCloseTo(1 / ASSUMED.bandwidth[0], 6);
    expect(predictSeconds(costs('add', 0, 0, 1000), a100).least).toBeCloseTo(
      1000 * ASSUMED.launchSeconds[0],
      9,
    );
    expect(predictSeconds(costs('add', 0, 0, 0, 1000), a100).most).toBeCloseTo(
      1000 * ASSUMED.waitSeconds[1],
      9,
    );
  });

  it('takes our own kernels for slower than a library, more so where they lack the newest instructions', () => {
    const seconds = (op: string, name: string): number =>
      predictSeconds(costs(op, 0, 1e12 * card(name).teraflops, 1), card(name)).least;
    expect(seconds('attentionForward', 'a100-80gb')).toBeGreaterThan(seconds('linearForward', 'a100-80gb'));
    expect(seconds('loraBackward', 'b200-180gb')).toBeGreaterThan(seconds('loraBackward', 'h100-80gb'));
    expect(seconds('linearForwardFloat32', 'h200-141gb')).toBeGreaterThan(10);
    expect(seconds('linearForwardFloat32', 'rtx-4090-24gb')).toBeLessThan(3);
  });

  it('adds ops, which run one after the other', () => {
    const both: NativeCosts = {
      ops: { ...costs('linearForward', 0, 312e12, 1).ops, ...costs('add', 2039e9, 0, 1).ops },
      waits: 2,
    };
    expect(totalsOf(both)).toEqual({ bytes: 2039e9, tensorFlops: 312e12, launches: 2, waits: 2 });
    const { least } = predictSeconds(both, a100);
    expect(least).toBeCloseTo(1 / ASSUMED.products[0] + 1 / ASSUMED.bandwidth[0], 3);
  });
});

describe('docs/cuda-roofline.md', () => {
  it('is what npm run cuda:roofline writes', async () => {
    const { markdown, svg } = await rooflinePage();
    await expect(markdown).toMatchFileSnapshot(join(root, 'docs', 'cuda-roofline.md'));
    await expect(svg).toMatchFileSnapshot(join(root, 'docs', 'cuda-roofline.svg'));
  });
});
