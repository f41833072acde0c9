// What the language gate may overrule, and what it must leave alone.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gatedPoints, gatePair, type LanguageState, languageState } from '../../lib/eval/gate';
import { sideBySide } from '../../lib/eval/side-by-side';

const points = [0, 0.5, 1, undefined] as const;
const states = ['right', 'wrong', 'undecided'] as const;

describe('the language gate', () => {
  it('knows right, wrong and undecided', () => {
    expect(languageState('fi', 'fi')).toBe('right');
    expect(languageState('en', 'fi')).toBe('wrong');
    expect(languageState('undecided', 'fi')).toBe('undecided');
  });

  it('right beats wrong, and two wrong ones tie, whatever the judge said', () => {
    for (const judged of points) {
      expect(gatedPoints(judged, 'right', 'wrong')).toBe(1);
      expect(gatedPoints(judged, 'wrong', 'right')).toBe(0);
      expect(gatedPoints(judged, 'wrong', 'wrong')).toBe(0.5);
    }
  });

  it('two right ones, and any undecided one, leave the judge alone', () => {
    for (const judged of points) {
      expect(gatedPoints(judged, 'right', 'right')).toBe(judged);
      for (const state of states) {
        expect(gatedPoints(judged, 'undecided', state)).toBe(judged);
        expect(gatedPoints(judged, state, 'undecided')).toBe(judged);
      }
    }
  });

  it('keeps S(A, B) + S(B, A) = 100', () => {
    const state = fc.constantFrom<LanguageState>(...states);
    const pair = fc.tuple(fc.constantFrom(0, 0.5, 1), state, state);
    fc.assert(
      fc.property(fc.array(pair, { minLength: 1, maxLength: 30 }), (rows) => {
        const s = (swap: boolean): number =>
          sideBySide(
            rows.map(([judged, a, b], at) =>
              gatePair(
                { item: `${at}`, lang: 'sw', points: swap ? 1 - judged : judged },
                swap ? b : a,
                swap ? a : b,
              ),
            ),
            { resamples: 10 },
          ).score.value;
        expect(s(false) + s(true)).toBeCloseTo(100, 10);
      }),
      { numRuns: 60 },
    );
  });

  it('gives points to a pair without a verdict only where languages decide, and leaves consistency alone', () => {
    const pair = { item: '1', lang: 'he', consistent: false };
    expect(gatePair(pair, 'right', 'wrong')).toEqual({ ...pair, points: 1 });
    expect(gatePair(pair, 'right', 'right').points).toBeUndefined();
  });
});
