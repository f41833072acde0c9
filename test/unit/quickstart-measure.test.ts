// The quickstart's sums against sums done by hand.

import { describe, expect, it } from 'vitest';
import {
  LANGUAGES,
  type QuickstartRecord,
  readItems,
  recordsOf,
  splitItems,
} from '../../examples/quickstart/data.mjs';
import { answersInLanguage, lossPerByte, pickMixture, report } from '../../examples/quickstart/measure.mjs';
import * as answerLanguage from '../../lib/text/answer-language';

const record = (id: string, lang: string, response: string): QuickstartRecord => ({
  id: `${id}.${lang}`,
  lang,
  instruction: `what is ${id}?`,
  response,
  parallel_id: id,
});

describe('the mixture', () => {
  const train = splitItems(readItems()).train.flatMap((item) => recordsOf(item, 'train'));
  const mixture = pickMixture(train, LANGUAGES, 600);

  it('has as many examples in each language, and no item twice', () => {
    const counts = new Map<string, number>();
    for (const { lang } of mixture) counts.set(lang, (counts.get(lang) ?? 0) + 1);
    expect([...counts.values()]).toEqual(LANGUAGES.map(() => 50));
    expect(new Set(mixture.map((entry) => entry.parallel_id)).size).toBe(600);
  });

  it('has all wordings of both kinds in each language', () => {
    for (const lang of LANGUAGES) {
      const frames = mixture
        .filter((entry) => entry.lang === lang)
        .map(({ instruction }) => instruction.replace(/[^\p{L}\p{P} ]/gu, ''));
      expect(new Set(frames).size).toBeGreaterThanOrEqual(6);
    }
  });
});

describe('the loss', () => {
  const records = [record('a', 'en', 'cat'), record('b', 'en', 'dog!'), record('a', 'ru', 'кот')];
  const line = (id: string, logprobs: (number | null)[], supervised: number[]) =>
    JSON.stringify({ id, tokens: logprobs.map(() => 1), logprobs, supervised });
  const scores = [
    line('a.en', [null, -9, -1, -2], [0, 0, 1, 1]),
    line('b.en', [null, -0.5], [0, 1]),
    line('a.ru', [null, -3, -3], [0, 1, 1]),
  ];

  it('is nats of supervised tokens over bytes of the answers, by language', () => {
    expect(lossPerByte(records, scores.join('\n'))).toEqual({ en: 3.5 / 7, ru: 6 / 6 });
  });

  it('does not pass over a record without a score', () => {
    expect(() => lossPerByte(records, scores.slice(1).join('\n'))).toThrow('a.en');
  });
});

it('tells the language of answers by script and by the nearest reference, and how good that is', () => {
  const texts = { en: 'railway station', ru: 'вокзал', fi: 'rautatieasema', es: 'estación de tren' };
  const other = { en: 'wheelchair', ru: 'кресло', fi: 'pyörätuoli', es: 'silla de ruedas' };
  const languages = ['en', 'ru', 'fi', 'es'] as const;
  const records = languages.flatMap((lang) => [
    record('a', lang, texts[lang]),
    record('b', lang, other[lang]),
  ]);
  const answers = new Map([
    ['a.en', 'rautatieasema'],
    ['b.en', 'wheelchair'],
    ['a.ru', 'это кот'],
    ['b.ru', 'wheelchair'],
    ['a.fi', 'rautatie'],
    ['b.fi', '12'],
    ['a.es', 'una estación'],
    ['b.es', 'silla'],
  ]);
  const tools = { ...answerLanguage, identify: () => [] };
  const found = answersInLanguage(records, answers, languages, tools);
  expect(found.en).toMatchObject({ share: 0.5, undecided: 0 });
  expect(found.ru).toMatchObject({ share: 0.5, undecided: 0, ruleRight: 1 });
  expect(found.fi).toMatchObject({ share: 0.5, undecided: 0.5, ruleRight: 1, ruleWrong: 0 });
  expect(found.es?.share).toBe(1);
  answers.delete('b.es');
  expect(() => answersInLanguage(records, answers, languages, tools)).toThrow('b.es');
});

it('the page holds each language, the change, the share of exact answers, and a question with both answers', () => {
  const records = [record('a', 'en', 'cat'), record('b', 'en', 'dog')];
  const rule = { ruleRight: 1, ruleWrong: 0, ruleShuffled: 0.25 };
  const language = { en: { share: 0.5, undecided: 0, ...rule } };
  const before = { loss: { en: 2 }, answers: new Map([['a.en', 'I am\nnot sure']]), language };
  const after = {
    loss: { en: 0.5 },
    answers: new Map([
      ['a.en', 'cat '],
      ['b.en', 'cat'],
    ]),
    language: { en: { share: 1, undecided: 0, ...rule } },
  };
  const page = report(records, before, after, ['en']);
  expect(page).toMatch(/en +2\.000 +0\.500 +−75 % +50 % +100 % +0 % +50 % +100 % +0 % +25 %/);
  expect(page).toContain('what is a?');
  expect(page).toMatch(/before +I am ⏎ not sure\n +after +cat *\n +expected +cat/);
});
