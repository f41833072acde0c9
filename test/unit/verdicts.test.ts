// Files of verdicts: every line is right or named, half a line harms nobody, and what the lines come to is S.
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sideBySide } from '../../lib/eval/side-by-side';
import {
  groupVerdicts,
  openRatings,
  openVerdicts,
  readRatings,
  readVerdicts,
  turnedAbout,
  type VerdictLine,
  verdictPairs,
} from '../../lib/eval/verdicts';
import { scratch } from '../support/fixtures';

const folder = scratch();
const verdict = (more: Partial<VerdictLine> = {}): VerdictLine => ({
  judge: 'openai:m@h',
  protocol: 'forced',
  a: 'tuned',
  b: 'base',
  id: 'r1',
  item: 'p1',
  lang: 'fi',
  sample: 0,
  order: 'AB',
  verdict: 'A',
  at: '2026-01-31T12:00:00Z',
  ...more,
});
const file = (name: string, ...lines: (object | string)[]): string => {
  const path = join(folder, name);
  const text = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)));
  writeFileSync(path, text.map((line) => `${line}\n`).join(''));
  return path;
};

describe('a file of verdicts', () => {
  it.each([
    [
      'a field of another type',
      verdict({ sample: 'x' as never }),
      /:2: .*sample: expected a number, got "x"/,
    ],
    [
      'a verdict that is none',
      verdict({ verdict: 'C' as never }),
      /:2: .*verdict: expected one of A, B, tie/,
    ],
    ['a field too many', { ...verdict(), verdikt: 'A' }, /:2: .*there is no key 'verdikt' here/],
    ['a field that is missing', { ...verdict(), order: undefined }, /:2: .*order: is needed/],
    ['a time that is none', verdict({ at: 'yesterday' }), /:2: .*at: expected a time such as/],
    ['no JSON', '{"judge": ', /:2: expected a verdict as one JSON object/],
    ['no object', '[1]', /:2: this is not a verdict/],
  ])('names file, line and field of %s', async (name, line, message) => {
    const path = file(`${name}.jsonl`, verdict(), line, verdict());
    await expect(readVerdicts(path)).rejects.toMatchObject({
      code: 'DATA_INVALID',
      message: expect.stringMatching(message),
      fields: { file: path, line: 2 },
    });
  });

  it('is read to its last whole line, and half a line is cut off by who writes next', async () => {
    const path = file('torn.jsonl', verdict());
    appendFileSync(path, '{"judge":"openai:m@h","proto');
    expect(await readVerdicts(path)).toEqual([verdict()]);
    {
      await using open = await openVerdicts(path);
      expect(open.before).toEqual([{ value: verdict(), line: 1 }]);
      await open.append([verdict({ order: 'BA' })]);
    }
    expect(await readVerdicts(path)).toEqual([verdict(), verdict({ order: 'BA' })]);
  });

  it('takes lines of overlapping calls in their order, and none that is no verdict', async () => {
    const path = join(folder, 'new', 'deep', 'v.jsonl');
    await using open = await openVerdicts(path);
    const ids = Array.from({ length: 40 }, (_, at) => `r${at}`);
    const writes = ids.map((id) => open.append([verdict({ id })]));
    await expect(open.append([verdict({ order: 'CA' as never })])).rejects.toThrow(/order: expected one of/);
    await Promise.all(writes);
    expect((await readVerdicts(path)).map(({ id }) => id)).toEqual(ids);
  });

  it('has one writer at a time, and readers at any', async () => {
    const path = file('locked.jsonl', verdict());
    const open = await openVerdicts(path);
    await expect(openVerdicts(path)).rejects.toMatchObject({ code: 'STORE_LOCKED' });
    expect(await readVerdicts(path)).toHaveLength(1);
    await open.close();
    await open.close();
    await expect(open.append([verdict()])).rejects.toThrow(/closed/);
    await (await openVerdicts(path)).close();
    expect(readFileSync(path, 'utf8').split('\n')).toHaveLength(2);
  });

  it('of ratings is held to each rubric', async () => {
    const rating = {
      judge: 'person:Ann',
      model: 'tuned',
      id: 'r1',
      item: 'p1',
      lang: 'fi',
      sample: 0,
      at: '2026-01-31T12:00:00+02:00',
    };
    const facets = {
      language: 2,
      fluency: 2,
      helpfulness: 1,
      accuracy: 0,
      coherence: 2,
      harmlessness: 2,
    };
    const good = [
      { ...rating, rubric: 'excellent-pass-fail' as const, rating: { grade: 'pass' as const } },
      { ...rating, rubric: 'helpfulness-1-6' as const, rating: { helpfulness: 6 } },
      { ...rating, rubric: 'facets-0-2' as const, rating: facets },
      { ...rating, rubric: 'facets-0-2' as const, rating: null, reason: 'empty' },
    ];
    const path = join(folder, 'ratings.jsonl');
    {
      await using open = await openRatings(path);
      await open.append(good);
    }
    expect(await readRatings(path)).toEqual(good);
    for (const bad of [{ helpfulness: 7 }, { helpfulness: 1.5 }, { grade: 'pass' }]) {
      const line = { ...rating, rubric: 'helpfulness-1-6', rating: bad };
      await expect(readRatings(file('bad.jsonl', line))).rejects.toMatchObject({ code: 'DATA_INVALID' });
    }
    await expect(
      readRatings(file('bad.jsonl', { ...rating, rubric: 'stars', rating: {} })),
    ).rejects.toMatchObject({ code: 'DATA_INVALID' });
  });
});

describe('verdicts as pairs', () => {
  it('come in groups by judge, protocol, wording and models', () => {
    const lines = [
      verdict(),
      verdict({ wording: 'aaaaaaaa' }),
      verdict({ judge: 'person:Ann' }),
      verdict({ order: 'BA' }),
      verdict({ b: 'other' }),
    ];
    expect(
      groupVerdicts(lines).map(({ judge, wording, b, verdicts }) => [judge, wording, b, verdicts.length]),
    ).toEqual([
      ['openai:m@h', undefined, 'base', 2],
      ['openai:m@h', 'aaaaaaaa', 'base', 1],
      ['person:Ann', undefined, 'base', 1],
      ['openai:m@h', undefined, 'other', 1],
    ]);
  });

  it('have points only where both orders have a verdict: out of form is no tie', () => {
    const pairs = (...verdicts: VerdictLine[]) => verdictPairs({ judge: 'j', a: 'a', b: 'b', verdicts });
    expect(pairs(verdict(), verdict({ order: 'BA' }))).toEqual([
      { item: 'p1', lang: 'fi', sample: 0, points: 1, consistent: true },
    ]);
    expect(pairs(verdict(), verdict({ order: 'BA', verdict: null, reason: 'empty' }))).toEqual([
      { item: 'p1', lang: 'fi', sample: 0 },
    ]);
    expect(pairs(verdict())).toEqual([{ item: 'p1', lang: 'fi', sample: 0 }]);
    // Identical texts tie by construction, which says nothing of the judge's consistency.
    const same = { verdict: 'tie', identical: true } as const;
    expect(pairs(verdict(same), verdict({ ...same, order: 'BA' }))).toEqual([
      { item: 'p1', lang: 'fi', sample: 0, points: 0.5 },
    ]);
  });

  it('keep wordings of one item apart, and refuse two verdicts in one order by name', () => {
    const group = groupVerdicts([
      verdict(),
      verdict({ order: 'BA', verdict: 'B' }),
      verdict({ id: 'r2', verdict: 'B' }),
      verdict({ id: 'r2', order: 'BA', verdict: 'B' }),
    ])[0]!;
    expect(verdictPairs(group).map(({ item, points }) => [item, points])).toEqual([
      ['p1', 0.5],
      ['p1', 0],
    ]);
    group.verdicts.push(verdict({ id: 'r2' }));
    expect(() => verdictPairs(group)).toThrow(
      /openai:m@h on tuned and base: record "r2" in fi, sample 0, has two verdicts in the order AB/,
    );
  });

  it('turned about have what is left of 100', () => {
    const answer = fc.constantFrom('A', 'B', 'tie', null);
    fc.assert(
      fc.property(fc.array(fc.tuple(answer, answer), { minLength: 1, maxLength: 30 }), (answers) => {
        const lines = answers.flatMap(([first, second], at) => [
          verdict({ id: `r${at}`, item: `p${at}`, verdict: first }),
          verdict({ id: `r${at}`, item: `p${at}`, order: 'BA', verdict: second }),
        ]);
        const score = (verdicts: VerdictLine[]) =>
          sideBySide(verdictPairs({ judge: 'j', a: 'a', b: 'b', verdicts }), { resamples: 10 });
        const [forward, backward] = [score(lines), score(lines.map(turnedAbout))];
        expect(backward.leftOut).toBe(forward.leftOut);
        if (forward.pairs === 0) expect(forward.score.value).toBeNaN();
        else expect(forward.score.value + backward.score.value).toBeCloseTo(100, 9);
        expect(lines.map(turnedAbout).map(turnedAbout)).toEqual(lines);
      }),
      { numRuns: 60 },
    );
  });
});
