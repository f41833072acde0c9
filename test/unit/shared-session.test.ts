// Who is computed together: nobody waits for ever, nothing is larger than planned, and whoever can share does.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseTogether, type Waiting } from '../../lib/train/shared-session';

const limits = { tokens: 512, targets: 300 };
const request = fc.record({
  kind: fc.constantFrom('train' as const, 'score' as const),
  tokens: fc.integer({ min: 1, max: 512 }),
  targets: fc.integer({ min: 0, max: 300 }),
});

describe('what is computed together', () => {
  it('is of one kind, within the limits, and holds the first of its kind', () => {
    fc.assert(
      fc.property(fc.array(request, { maxLength: 14 }), fc.integer({ min: 0, max: 4 }), (waiting, away) => {
        const chosen = chooseTogether(waiting, waiting.length + away, limits).map((index) => waiting[index]!);
        if (chosen.length === 0) return;
        expect(new Set(chosen.map(({ kind }) => kind)).size).toBe(1);
        expect(chosen[0]).toBe(waiting.find(({ kind }) => kind === chosen[0]!.kind));
        for (const key of ['tokens', 'targets'] as const)
          expect(chosen.reduce((sum, each) => sum + each[key], 0)).toBeLessThanOrEqual(limits[key]);
      }),
    );
  });

  it('waits only for runs that are between two requests, and not where there is no room for them', () => {
    fc.assert(
      fc.property(fc.array(request, { minLength: 1, maxLength: 14 }), (waiting) => {
        expect(chooseTogether(waiting, waiting.length, limits)).not.toEqual([]);
        const kind = waiting.some((each) => each.kind === 'score') ? 'score' : 'train';
        const same = waiting.filter((each) => each.kind === kind);
        const chosen = chooseTogether(waiting, waiting.length + 1, limits);
        if (chosen.length === 0) expect(allFit(same)).toBe(true);
        else expect(chosen.length).toBeLessThan(same.length);
      }),
    );
  });

  it('serves every run as often as it asks, whatever the others ask for', () => {
    // Each run asks, is computed, is away for a while, asks again; it comes and goes as it likes.
    const run = fc.record({
      request,
      asks: fc.integer({ min: 1, max: 6 }),
      comes: fc.integer({ min: 0, max: 9 }),
    });
    fc.assert(
      fc.property(fc.array(run, { minLength: 1, maxLength: 8 }), (runs) => {
        const left = runs.map(({ asks }) => asks);
        for (let turn = 0; left.some((asks) => asks > 0); turn++) {
          expect(turn).toBeLessThan(10 + runs.reduce((sum, { asks }) => sum + asks, 0));
          const here = runs.map((_, i) => i).filter((i) => runs[i]!.comes <= turn && left[i]! > 0);
          const chosen = chooseTogether(
            here.map((i): Waiting => runs[i]!.request),
            here.length,
            limits,
          );
          for (const index of chosen) left[here[index]!]! -= 1;
        }
      }),
    );
  });
});

function allFit(waiting: readonly Waiting[]): boolean {
  const sum = (key: 'tokens' | 'targets'): number => waiting.reduce((total, each) => total + each[key], 0);
  return sum('tokens') <= limits.tokens && sum('targets') <= limits.targets;
}
