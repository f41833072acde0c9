// A judge qualifies by pairs of which the better answer is known, language by language, and its numbers are marked where it does
// not.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Example } from '../../lib/data/example';
import { judgeAnswers } from '../../lib/eval/judges/compare-judged';
import type { Judge, JudgeQuestion } from '../../lib/eval/judges/judge';
import { PLANTED_ITEMS, plantPairs, qualifyJudge } from '../../lib/eval/judges/planted';
import {
  greyByJudge,
  type Qualification,
  readQualifications,
  storeQualifications,
} from '../../lib/eval/judges/qualification';
import { scratch } from '../support/fixtures';

const folder = scratch();
const TEXTS: Record<string, string> = { en: 'the number', fi: 'luku', ar: 'العدد', zh: '数字' };
const set = (items: number, languages = Object.keys(TEXTS)): Example[] =>
  Array.from({ length: items }, (_, at) =>
    languages.map((lang) => ({
      id: `i${at}.${lang}`,
      lang,
      parallelId: `i${at}`,
      turns: [
        { role: 'user', content: `${lang} ${at}?` },
        { role: 'assistant', content: `${TEXTS[lang]} ${at}${at}` },
      ],
      source: { file: 'x', line: 1 },
    })),
  ).flat();

/** Answers by a rule, without an endpoint. */
function byRule(choose: (question: JudgeQuestion) => 'first' | 'second' | 'tie' | null): Judge {
  return {
    name: 'local:rule',
    protocol: 'tie',
    wording: 'aaaaaaaaaaaa',
    spending: { calls: 0, tokens: 0 },
    async *ask(questions) {
      for (const question of questions) yield { key: question.key, choice: choose(question) };
    },
    dispose: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
}
const right = ({ turns, first }: JudgeQuestion) => {
  const [, lang, at] = /^(\w+) (\d+)\?$/.exec(turns[0]!.content)!;
  return first === `${TEXTS[lang!]} ${at}${at}` ? 'first' : 'second';
};
const only = (qualifications: readonly Qualification[], lang: string) =>
  qualifications.find((one) => one.lang === lang)!;

describe('planted pairs', () => {
  it('set the reference against another’s, another language’s, its half and nothing, the same ones each time', () => {
    const examples = set(12);
    const pairs = plantPairs(examples);
    expect(pairs).toEqual(plantPairs([...examples]));
    expect(pairs).toHaveLength(4 * 4 * PLANTED_ITEMS);
    const texts = (lang: string) =>
      examples.filter((one) => one.lang === lang).map(({ turns }) => turns[1]!.content);
    for (const { kind, lang, a, b, turns, item } of pairs) {
      expect(turns).toEqual([{ role: 'user', content: `${lang} ${item.slice(1)}?` }]);
      expect(texts(lang)).toContain(a);
      expect(a).toContain(`${item.slice(1)}${item.slice(1)}`);
      if (kind === 'empty') expect(b).toBe('');
      if (kind === 'shuffled') expect(texts(lang).filter((text) => text !== a)).toContain(b);
      if (kind === 'cut') expect(a.startsWith(b) && b.length < a.length && b.length > 0).toBe(true);
      if (kind === 'wrong-language')
        expect(
          Object.keys(TEXTS)
            .filter((one) => one !== lang)
            .flatMap(texts),
        ).toContain(b);
    }
  });

  it('leave out what a set has no means for, and languages without references', () => {
    const kinds = (examples: readonly Example[], languages?: string[]) =>
      new Set(plantPairs(examples, languages).map(({ kind, lang }) => `${lang} ${kind}`));
    const alone = set(2, ['en']).map(({ parallelId: _, ...example }) => example);
    expect(kinds(alone)).toEqual(new Set(['en shuffled', 'en cut', 'en empty']));
    expect(kinds(alone.slice(0, 1))).toEqual(new Set(['en cut', 'en empty']));
    const one = set(1, ['en']).map((example) => ({
      ...example,
      turns: [example.turns[0]!, { role: 'assistant', content: 'x' }],
    }));
    expect(kinds(one)).toEqual(new Set(['en empty']));
    expect(kinds(set(3).map((example) => ({ ...example, turns: example.turns.slice(0, 1) })))).toEqual(
      new Set(),
    );
    expect(kinds(set(2), ['fi', 'sw'])).toEqual(
      new Set(['fi shuffled', 'fi wrong-language', 'fi cut', 'fi empty']),
    );
  });
});

describe('a judge', () => {
  const qualify = async (judge: Judge) => (await qualifyJudge(plantPairs(set(12)), { judge })).qualifications;

  it('that is right qualifies in every language, with Wilson’s interval over pairs', async () => {
    const qualifications = await qualify(byRule(right));
    expect(qualifications.map(({ lang }) => lang)).toEqual(['ar', 'en', 'fi', 'zh']);
    for (const one of qualifications) {
      expect(one).toMatchObject({
        pairs: 40,
        qualified: true,
        outOfForm: 0,
        consistency: { value: 1, n: 40 },
      });
      expect(one.accuracy).toMatchObject({ value: 1, high: 1, n: 40 });
      expect(one.accuracy.low).toBeCloseTo(0.912, 3);
      expect(Object.keys(one.byKind)).toEqual(['shuffled', 'wrong-language', 'cut', 'empty']);
    }
  });

  it('that is wrong in one language, says one place, ties, or is out of form does not', async () => {
    const wrongInFi = await qualify(
      byRule((question) => {
        const choice = right(question);
        if (!question.turns[0]!.content.startsWith('fi')) return choice;
        return choice === 'first' ? 'second' : 'first';
      }),
    );
    expect(wrongInFi.map(({ lang, qualified }) => [lang, qualified])).toEqual([
      ['ar', true],
      ['en', true],
      ['fi', false],
      ['zh', true],
    ]);
    expect(only(wrongInFi, 'fi')).toMatchObject({ accuracy: { value: 0 }, consistency: { value: 1 } });
    const place = only(await qualify(byRule(() => 'first')), 'en');
    expect(place).toMatchObject({ accuracy: { value: 0.5 }, consistency: { value: 0 }, qualified: false });
    const ties = only(await qualify(byRule(() => 'tie')), 'en');
    expect(ties).toMatchObject({ accuracy: { value: 0 }, consistency: { value: 1 }, qualified: false });
    const mute = only(await qualify(byRule(() => null)), 'en');
    expect(mute).toMatchObject({ accuracy: { value: 0 }, outOfForm: 80, qualified: false });
    expect(mute).not.toHaveProperty('consistency');
  });

  it('qualifies at 80 % right: a judge that fails on one kind of four does not', async () => {
    const blind = byRule((question) => {
      const { first, second } = question;
      return first === '' || second === '' ? 'tie' : right(question);
    });
    const one = only(await qualify(blind), 'en');
    expect(one).toMatchObject({ accuracy: { value: 0.75 }, qualified: false });
    expect(one.byKind).toMatchObject({ empty: { value: 0 }, cut: { value: 1 } });
  });

  it('that stops before the end of a language’s pairs has no qualification there', async () => {
    const judge: Judge = {
      ...byRule(right),
      async *ask(questions) {
        for (const { key, ...question } of questions.slice(0, 100))
          yield { key, choice: right({ key, ...question }) };
      },
    };
    expect((await qualify(judge)).map(({ lang }) => lang)).toEqual(['ar']);
  });

  it('is remembered beside its verdicts, the last time alone, and marks what it is not to be believed in', async () => {
    const file = join(folder, 'verdicts.jsonl');
    const [first, second] = [await qualify(byRule(() => null)), await qualify(byRule(right))];
    await storeQualifications(file, first);
    await storeQualifications(
      file,
      second.filter(({ lang }) => lang !== 'fi'),
    );
    const stored = await readQualifications(file);
    expect(stored.map(({ lang, qualified }) => [lang, qualified])).toEqual([
      ['ar', true],
      ['en', true],
      ['fi', false],
      ['zh', true],
    ]);
    const judge = { judge: 'local:rule', protocol: 'tie', wording: 'aaaaaaaaaaaa' };
    expect(greyByJudge(judge, ['ar', 'en'], stored)).toBe(false);
    expect(greyByJudge(judge, ['ar', 'fi'], stored)).toBe(true);
    expect(greyByJudge(judge, ['sw'], stored)).toBe(true);
    expect(greyByJudge({ ...judge, wording: 'bbbbbbbbbbbb' }, ['ar'], stored)).toBe(true);
    expect(greyByJudge({ ...judge, protocol: 'forced' }, ['ar'], stored)).toBe(true);
  });
});

describe('a comparison', () => {
  const examples = set(6);
  const answers = (answer: (example: Example) => string) =>
    examples.map((example) => ({
      id: example.id,
      lang: example.lang,
      sample: 0,
      response: answer(example),
      tokens: [],
      finishReason: 'stop',
    }));
  const good = answers(({ turns }) => turns[1]!.content);
  const bad = answers(({ lang }) => (lang === 'en' ? 'no' : '???'));
  const compare = async (judge: Judge, more = {}) =>
    (await judgeAnswers(good, bad, { judge, prompts: examples, resamples: 100, ...more })).comparison;

  it('has S by language, and names the languages in which the judge did not qualify', async () => {
    const comparison = await compare(byRule(right));
    expect(comparison).toMatchObject({ unqualified: [], judging: { asked: 48, unasked: 0 } });
    expect(comparison.planting.asked).toBe(4 * 4 * 6 * 2);
    for (const one of Object.values(comparison.byLanguage)) expect(one).toMatchObject({ wins: 6, losses: 0 });
    const mute = await compare(byRule(() => null));
    expect(mute.unqualified).toEqual(['ar', 'en', 'fi', 'zh']);
    expect(mute.all).toMatchObject({ pairs: 0, leftOut: 24, ties: 0, worstCase: [0, 100] });
  });

  it('without references is one by an unqualified judge', async () => {
    const prompts = examples.map((example) => ({ ...example, turns: example.turns.slice(0, 1) }));
    const comparison = await compare(byRule(right), { prompts });
    expect(comparison.qualifications).toEqual([]);
    expect(comparison.unqualified).toEqual(['ar', 'en', 'fi', 'zh']);
    expect(comparison.all.wins).toBe(24);
    const elsewhere = await compare(byRule(right), { prompts, references: examples });
    expect(elsewhere.unqualified).toEqual([]);
  });

  it('goes through the language gate like any other', async () => {
    const comparison = await compare(
      byRule(() => 'tie'),
      { gate: true },
    );
    expect(comparison.byLanguage.ar).toMatchObject({ ties: 6, wins: 0 });
    const english = answers(() => 'The weather was very bad in the city that day');
    const gated = await judgeAnswers(good, english, {
      judge: byRule(() => 'tie'),
      prompts: examples,
      gate: true,
      resamples: 100,
    });
    expect(gated.comparison.byLanguage.ar).toMatchObject({ ties: 0, wins: 6 });
  });
});
