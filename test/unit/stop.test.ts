// A stop text may come in pieces, or only begin: nothing of it may be shown, and nothing else may be held back for good.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StopScanner } from '../../lib/sample/stop';

/** What a scanner lets through when it gets the text in these pieces. */
function through(stops: string[], pieces: string[]): { text: string; stopped: boolean } {
  const scanner = new StopScanner(stops);
  let text = '';
  for (const piece of pieces) text += scanner.push(piece);
  if (!scanner.stopped) text += scanner.flush();
  return { text, stopped: scanner.stopped };
}

describe('StopScanner', () => {
  it('finds a stop text that is spread over pieces', () => {
    expect(through(['\nUser:'], ['Hello', '\nUs', 'er', ': more'])).toEqual({ text: 'Hello', stopped: true });
  });

  it('gives back what only began like a stop text', () => {
    expect(through(['STOP'], ['S', 'T', 'O', 'R', 'Y'])).toEqual({ text: 'STORY', stopped: false });
    expect(through(['aab'], ['a', 'a', 'a', 'b'])).toEqual({ text: 'a', stopped: true });
  });

  it('takes the earliest of several', () => {
    expect(through(['END', 'E'], ['abcEND'])).toEqual({ text: 'abc', stopped: true });
  });

  it('gives the same whatever the pieces', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '猫'), maxLength: 40 });
    const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', '猫'), minLength: 1, maxLength: 4 }), {
      maxLength: 3,
    });
    fc.assert(
      fc.property(letters, stops, fc.array(fc.nat(5), { maxLength: 40 }), (text, stop, cuts) => {
        const pieces: string[] = [];
        let rest = text;
        for (const cut of cuts) {
          pieces.push(rest.slice(0, cut));
          rest = rest.slice(cut);
        }
        pieces.push(rest);
        const ends = stop.map((s) => text.indexOf(s)).filter((at) => at >= 0);
        const expected = ends.length > 0 ? text.slice(0, Math.min(...ends)) : text;
        // Pieces may let a later stop text be seen first only if it also ends first; the text before it is the same or longer.
        const got = through(stop, pieces);
        expect(got.stopped).toBe(ends.length > 0);
        expect(text.startsWith(got.text)).toBe(true);
        expect(stop.every((s) => !got.text.includes(s))).toBe(true);
        expect(got.text.length).toBeGreaterThanOrEqual(expected.length);
      }),
    );
  });
});
