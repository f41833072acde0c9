// How far raters agree, how grades become rates, and what a person's lines mean once some were changed or taken back.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Agreement,
  agreement,
  type Choice,
  type ChoicePair,
  joinChoices,
  tieDiscounted,
} from '../../lib/eval/agreement';
import { type Grade, gradeRates } from '../../lib/eval/grades';
import {
  CANNOT_SAY,
  lastWords,
  machineChoices,
  personChoices,
  personPairs,
  TAKEN_BACK,
} from '../../lib/eval/people';
import { sideBySide, type Verdict } from '../../lib/eval/side-by-side';
import type { RatingLine, VerdictLine } from '../../lib/eval/verdicts';

const verdict = fc.constantFrom<Verdict>('A', 'B', 'tie');
const choices = (words: readonly Verdict[]): Choice[] =>
  words.map((word, at) => ({ id: `r${at}`, item: `p${at >> 1}`, lang: at % 2 ? 'en' : 'fi', verdict: word }));
const between = (first: readonly Verdict[], second: readonly Verdict[]): Agreement =>
  agreement(joinChoices(choices(first), choices(second)), { resamples: 200 });
const two = fc
  .array(fc.tuple(verdict, verdict), { minLength: 1, maxLength: 40 })
  .map((pairs) => [pairs.map(([a]) => a), pairs.map(([, b]) => b)] as const);

describe('tie-discounted agreement', () => {
  it.each([
    ['A', 'A', 1],
    ['tie', 'tie', 1],
    ['A', 'tie', 0.5],
    ['tie', 'B', 0.5],
    ['A', 'B', 0],
    ['B', 'A', 0],
  ] as const)('of %s and %s is %d', (a, b, value) => expect(tieDiscounted(a, b)).toBe(value));

  it('is the same whoever is the first', () => {
    fc.assert(
      fc.property(two, ([a, b]) => {
        const [there, back] = [between(a, b), between(b, a)];
        expect(there.tieDiscounted.value).toBe(back.tieDiscounted.value);
        expect(there.raw.value).toBe(back.raw.value);
        if (Number.isNaN(there.kappa.value)) expect(back.kappa.value).toBeNaN();
        else expect(there.kappa.value).toBeCloseTo(back.kappa.value, 12);
      }),
    );
  });

  it('is 1 with oneself', () => {
    fc.assert(
      fc.property(two, ([a]) => {
        const self = between(a, a);
        expect(self.tieDiscounted.value).toBe(1);
        expect(self.raw.value).toBe(1);
        if (new Set(a).size > 1) expect(self.kappa.value).toBeCloseTo(1, 12);
        else expect(self.kappa.value).toBeNaN();
      }),
    );
  });

  it('keeps to its bounds: raw ≤ tie-discounted ≤ 1, kappa ≤ raw, all inside their intervals', () => {
    fc.assert(
      fc.property(two, ([a, b]) => {
        const { tieDiscounted: discounted, raw, kappa } = between(a, b);
        expect(raw.value).toBeGreaterThanOrEqual(0);
        expect(discounted.value).toBeGreaterThanOrEqual(raw.value);
        expect(discounted.value).toBeLessThanOrEqual(1);
        if (!Number.isNaN(kappa.value)) expect(kappa.value).toBeLessThanOrEqual(raw.value + 1e-12);
        for (const { low, high } of [discounted, raw])
          if (low !== undefined) {
            expect(low).toBeGreaterThanOrEqual(0);
            expect(high).toBeLessThanOrEqual(1);
          }
      }),
    );
  });

  it('of one who calls all ties with one who calls none is a half', () => {
    const n = 20;
    const { tieDiscounted: discounted, raw } = between(Array(n).fill('tie'), Array(n).fill('A'));
    expect(discounted.value).toBe(0.5);
    expect(raw.value).toBe(0);
  });

  it('has Wilson’s interval where two never differ, and counts items', () => {
    const { tieDiscounted: discounted, kappa, pairs } = between(Array(20).fill('A'), Array(20).fill('A'));
    expect(pairs).toBe(20);
    expect(discounted).toMatchObject({ value: 1, n: 10, high: 1 });
    expect(discounted.low).toBeCloseTo(0.7225, 3);
    expect(kappa.low).toBeUndefined();
  });

  it('has no interval where all items are alike but at neither end', () => {
    const half = between(Array(20).fill('tie'), Array(20).fill('A'));
    expect(half.tieDiscounted).toEqual({ value: 0.5, n: 10 });
    expect(half.kappa).toEqual({ value: 0, n: 10 });
    expect(half.raw.high).toBeGreaterThan(0.2);
  });

  it('of no pair at all is no number', () => {
    expect(agreement([])).toMatchObject({ pairs: 0, tieDiscounted: { value: Number.NaN, n: 0 } });
  });

  it('has the kappa of a table worked by hand', () => {
    // Rows A 20 5, B 10 15: raw 0.7, chance 0.5 × 0.6 + 0.5 × 0.4 = 0.5 (Cohen's own kind of table).
    const cells: [Verdict, Verdict, number][] = [
      ['A', 'A', 20],
      ['A', 'B', 5],
      ['B', 'A', 10],
      ['B', 'B', 15],
    ];
    const pairs = cells.flatMap(([first, second, count]) =>
      Array.from(
        { length: count },
        (_, at): ChoicePair => ({
          item: `${first}${second}${at}`,
          lang: 'en',
          first,
          second,
        }),
      ),
    );
    const { raw, kappa } = agreement(pairs);
    expect(raw.value).toBeCloseTo(0.7, 12);
    expect(kappa.value).toBeCloseTo(0.4, 12);
    // The large-sample standard error is 0.13.
    expect(kappa.low).toBeGreaterThan(0.08);
    expect(kappa.low).toBeLessThan(0.22);
    expect(kappa.high).toBeGreaterThan(0.58);
  });

  it('joins by record and sample, and refuses a rater who says two things', () => {
    const [one, other] = choices(['A', 'B']);
    expect(joinChoices([one!], [other!])).toEqual([]);
    expect(joinChoices([one!], [{ ...one!, sample: 1 }])).toEqual([]);
    expect(joinChoices([one!], [{ ...one!, sample: 0, verdict: 'B' }])).toMatchObject([
      { first: 'A', second: 'B' },
    ]);
    expect(() => joinChoices([one!, one!], [])).toThrow(/the first rater has two choices of "r0" in fi/);
  });
});

describe('gradeRates', () => {
  const graded = (model: string, grades: readonly Grade[]) =>
    grades.map((grade, at) => ({ model, item: `p${at}`, lang: 'en', grade }));
  const repeat = (grade: Grade, count: number): Grade[] => Array(count).fill(grade);

  it('has shares that add up to one, and the difference of two models on the same items', () => {
    const x = [...repeat('excellent', 20), ...repeat('pass', 10), ...repeat('fail', 10)];
    const y = [...repeat('excellent', 10), ...repeat('pass', 10), ...repeat('fail', 20)];
    const { models, differences } = gradeRates([...graded('x', x), ...graded('y', y)], ['x', 'y']);
    expect(models[0]).toMatchObject({
      model: 'x',
      grades: 40,
      excellent: { value: 0.5, n: 40 },
      fail: { value: 0.25 },
    });
    expect(models[1]!.acceptable.value).toBe(0.5);
    for (const { excellent, pass, fail } of models)
      expect(excellent.value + pass.value + fail.value).toBeCloseTo(1);
    expect(differences).toMatchObject([{ model: 'x', against: 'y', excellent: { value: 0.25 } }]);
    expect(differences[0]!.acceptable.low).toBeGreaterThan(0.05);
    // Paired: narrower than two samples apart would give, 0.25 ± 0.21.
    expect(differences[0]!.acceptable.high).toBeLessThan(0.45);
  });

  it('has Wilson’s interval where all grades are one', () => {
    const [x] = gradeRates(graded('x', repeat('pass', 30)), ['x']).models;
    expect(x!.pass).toMatchObject({ value: 1, high: 1 });
    expect(x!.pass.low).toBeGreaterThan(0.85);
    expect(x!.excellent).toMatchObject({ value: 0, low: 0 });
  });

  it('knows nothing of a model without grades', () => {
    const { models } = gradeRates(graded('x', ['pass']), ['x', 'y']);
    expect(models[1]).toMatchObject({ grades: 0, excellent: { value: Number.NaN, n: 0 } });
  });
});

const line = (over: Partial<VerdictLine> = {}): VerdictLine => ({
  judge: 'person:ana',
  protocol: 'tie',
  a: 'x',
  b: 'y',
  id: 'r1',
  item: 'p1',
  lang: 'en',
  sample: 0,
  order: 'AB',
  verdict: 'A',
  at: '2026-01-01T00:00:00Z',
  ...over,
});

describe('people’s lines', () => {
  it('count by the last on each pair, and not at all when taken back', () => {
    const lines = [
      line(),
      line({ id: 'r2', verdict: 'tie' }),
      line({ judge: 'person:ben' }),
      line({ verdict: 'B' }),
      line({ id: 'r2', verdict: null, reason: TAKEN_BACK }),
    ];
    expect(lastWords(lines).map(({ judge, id, verdict }) => [judge, id, verdict])).toEqual([
      ['person:ana', 'r1', 'B'],
      ['person:ben', 'r1', 'A'],
    ]);
    expect(lastWords([...lines, line({ id: 'r2' })])).toHaveLength(3);
  });

  it('tell one model’s grade from another’s', () => {
    const rating = (model: string, grade: Grade): RatingLine => ({
      judge: 'person:ana',
      rubric: 'excellent-pass-fail',
      model,
      id: 'r1',
      item: 'p1',
      lang: 'en',
      sample: 0,
      rating: { grade },
      at: '2026-01-01T00:00:00Z',
    });
    const kept = lastWords([rating('x', 'pass'), rating('y', 'fail'), rating('x', 'excellent')]);
    expect(kept.map(({ model, rating: given }) => [model, given])).toEqual([
      ['x', { grade: 'excellent' }],
      ['y', { grade: 'fail' }],
    ]);
  });

  it('make S of one order alone, and leave out what could not be said', () => {
    const lines = [
      line(),
      line({ id: 'r2', item: 'p2', verdict: 'tie', order: 'BA' }),
      line({ id: 'r3', item: 'p3', verdict: null, reason: CANNOT_SAY }),
    ];
    const side = sideBySide(personPairs(lines));
    expect(side).toMatchObject({ pairs: 2, leftOut: 1, wins: 1, ties: 1, score: { value: 75 } });
    expect(side.positionConsistency).toBeUndefined();
    expect(personChoices(lines).map(({ id }) => id)).toEqual(['r1', 'r2']);
  });
});

describe('machineChoices', () => {
  const both = (id: string, AB: VerdictLine['verdict'], BA: VerdictLine['verdict']) => [
    line({ judge: 'local:m', id, verdict: AB }),
    line({ judge: 'local:m', id, order: 'BA', verdict: BA }),
  ];

  it('are what both orders come to; one order alone or a null is none', () => {
    const { choices: made, leftOut } = machineChoices([
      ...both('same', 'B', 'B'),
      ...both('torn', 'A', 'B'),
      ...both('null', 'A', null),
      line({ judge: 'local:m', id: 'alone' }),
    ]);
    expect(made.map(({ id, verdict: word }) => [id, word])).toEqual([
      ['same', 'B'],
      ['torn', 'tie'],
    ]);
    expect(leftOut).toBe(2);
  });
});
