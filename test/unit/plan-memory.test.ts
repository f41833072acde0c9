// A plan that is off is believed all the same: three of the combinations that `npm run ci:full -- plan-memory` measures, each in a
// process of its own whose peak is compared with what was planned.
import { describe, expect, it } from 'vitest';
import { combinations } from '../../scripts/plan-memory/combinations.mjs';
import { measure, TOLERANCE } from '../../scripts/plan-memory/measure.mjs';
import { scratch } from '../support/fixtures';

describe('what a process takes is what was planned', () => {
  for (const name of [
    'llama, LoRA on the head too',
    'gemma3, bf16 file, micro-batches of 2,048',
    'llama, full',
  ])
    it(name, { timeout: 120_000 }, async () => {
      const { difference, nativeBytes } = await measure(scratch(), combinations[name]!);
      expect(nativeBytes).toBeGreaterThan(200 * 2 ** 20);
      expect(Math.abs(difference)).toBeLessThanOrEqual(TOLERANCE);
    });
});
