// The measures of answers: each definition by hand, what applies where, and that nothing depends on the order of lines.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Example } from '../../lib/data/example';
import { readExamples } from '../../lib/data/read';
import { labelItems } from '../../lib/eval/label-set';
import { confusionOf } from '../../lib/eval/measures/confusion';
import { endsInLoop, formOf, repetitionOf } from '../../lib/eval/measures/form';
import { labelsNamed } from '../../lib/eval/measures/label-answered';
import { setLanguages } from '../../lib/eval/measures/languages';
import { likelihoodMeasures, measureAnswers } from '../../lib/eval/measures/measure';
import { isMeasureName, MEASURE_NAMES, measureDefinition, measureTerms } from '../../lib/eval/measures/names';
import { againstReference, sameWords } from '../../lib/eval/measures/references';
import type { AnswerLine } from '../../lib/eval/measures/types';
import { type Identify, loadIdentifier } from '../../lib/text/identify';
import { scratch } from '../support/fixtures';

const folder = scratch();

let identify: Identify;
beforeAll(async () => {
  identify = await loadIdentifier();
});

const NAMES: Record<string, Record<string, string>> = {
  mushroom: { en: 'mushroom', es: 'hongo', fi: 'sieni', ru: 'гриб', zh: '蘑菇', ar: 'فطر' },
  river: { en: 'river', es: 'río', fi: 'joki', ru: 'река', zh: '河', ar: 'نهر' },
  chair: { en: 'chair', es: 'silla', fi: 'tuoli', ru: 'стул', zh: '椅子', ar: 'كرسي' },
};

const record = (item: string, lang: string, reference?: string): Example => ({
  id: `${item}.${lang}`,
  lang,
  parallelId: item,
  turns: [
    { role: 'user', content: '?' },
    ...(reference === undefined ? [] : [{ role: 'assistant', content: reference }]),
  ],
  source: { file: 'eval.jsonl', line: 1 },
});
const SET = Object.entries(NAMES).flatMap(([item, names]) =>
  Object.entries(names).map(([lang, name]) => record(item, lang, name)),
);
const answer = (id: string, response: string, more: Partial<AnswerLine> = {}): AnswerLine => ({
  id,
  lang: id.split('.')[1]!,
  sample: 0,
  response,
  tokens: [5, 6, 1],
  finishReason: 'end-of-turn',
  ...more,
});

describe('the names', () => {
  it('have a definition whose parts are names themselves', () => {
    expect(MEASURE_NAMES.length).toBeGreaterThan(20);
    for (const name of MEASURE_NAMES) {
      const { about, label, scale, aggregate, most } = measureDefinition(name);
      expect(about).toMatch(/\.$/);
      expect(label).not.toBe('');
      expect(scale).toBeGreaterThan(0);
      if (most !== undefined) expect(most * scale).toBe(100);
      if (aggregate.kind === 'ratio')
        for (const part of [aggregate.numerator, aggregate.denominator])
          expect(isMeasureName(part)).toBe(true);
    }
    expect(isMeasureName('bleu')).toBe(false);
    expect(isMeasureName('toString')).toBe(false);
  });

  it('give a cell as a ratio of sums: nats a byte weighs long references, a mean weighs items alike', () => {
    const items = [
      { ...likelihoodMeasures({ nats: 10, tokens: 4, bytes: 20 }), chrf: 50 },
      { ...likelihoodMeasures({ nats: 2, tokens: 1, bytes: 1 }), chrf: 0 },
      { responseChars: 3 },
    ];
    const cell = (name: 'natsPerByte' | 'natsPerToken' | 'chrf') => {
      const terms = items.flatMap((item) => measureTerms(name, item) ?? []);
      const sum = (part: 'numerator' | 'denominator') => terms.reduce((all, term) => all + term[part], 0);
      return { n: terms.length, value: sum('numerator') / sum('denominator') };
    };
    expect(cell('natsPerByte')).toEqual({ n: 2, value: 12 / 21 });
    expect(cell('natsPerToken')).toEqual({ n: 2, value: 12 / 5 });
    expect(cell('chrf')).toEqual({ n: 2, value: 25 });
  });
});

describe('beside a reference', () => {
  it.each([
    ['Mushroom!', 'mushroom', true],
    ['ＭＵＳＨＲＯＯＭ', 'mushroom', true],
    ['a mushroom', 'mushroom', false],
    ['‏فطر', 'فطر', true],
    ['क्‍ष', 'क्ष', true],
    ['Côte d’Ivoire', "Côte d'Ivoire", true],
    ['', 'mushroom', false],
    ['…', 'mushroom', false],
    ['+', '-', false],
    ['+', '+', true],
  ])('%j and %j are the same words: %s', (a, b, same) => {
    expect(sameWords(a, b)).toBe(same);
  });

  it('is strict or not, and gives chrF and ROUGE-L in points, case and width aside', () => {
    expect(againstReference(' river\n', 'river', 'en')).toEqual({
      exactMatch: 1,
      exactMatchStrict: 1,
      chrf: expect.closeTo(100, 9),
      rougeL: 100,
    });
    expect(againstReference('THE RIVER', 'river', 'en')).toMatchObject({
      exactMatch: 0,
      exactMatchStrict: 0,
      rougeL: expect.closeTo(200 / 3, 9),
    });
    expect(againstReference('РЕКА', 'река', 'ru')).toMatchObject({
      exactMatch: 1,
      exactMatchStrict: 0,
      rougeL: 100,
    });
  });

  it('stays in bounds, and what is strictly equal is equal', () => {
    const text = fc.string({ unit: 'grapheme' });
    fc.assert(
      fc.property(text, text, fc.constantFrom('en', 'zh', 'ar'), (a, b, lang) => {
        const found = againstReference(a, b, lang);
        for (const value of [found.chrf, found.rougeL]) {
          expect(value).toBeGreaterThanOrEqual(0);
          expect(value).toBeLessThanOrEqual(100 + 1e-9);
        }
        expect(found.exactMatch).toBeGreaterThanOrEqual(found.exactMatchStrict);
        expect(againstReference(a, a, lang).exactMatch).toBe(1);
      }),
    );
  });
});

describe('the form of an answer', () => {
  it('is counted', () => {
    expect(formOf({ response: '🐈 a cat', tokens: [1, 2, 3], finishReason: 'length' }, 'en')).toEqual({
      empty: 0,
      truncated: 1,
      loop: 0,
      responseChars: 7,
      responseTokens: 3,
      responseWords: 2,
    });
    expect(formOf({ response: ' \n', tokens: [1], finishReason: 'eos' }, 'en')).toMatchObject({
      empty: 1,
      truncated: 0,
      responseWords: 0,
    });
    expect(formOf({ response: 'x', tokens: [], finishReason: 'context' }, 'en').truncated).toBe(1);
  });

  it('tells how much of it was said before', () => {
    expect(repetitionOf(['a', 'b', 'c'])).toBeUndefined();
    expect(repetitionOf(['a', 'b', 'c', 'd'])).toBe(0);
    expect(repetitionOf('a b c d a b c d'.split(' '))).toBeCloseTo(1 / 5, 9);
    expect(repetitionOf(new Array(13).fill('a'))).toBeCloseTo(0.9, 9);
    fc.assert(
      fc.property(fc.array(fc.constantFrom('a', 'b'), { minLength: 4 }), (found) => {
        const share = repetitionOf(found)!;
        expect(share).toBeGreaterThanOrEqual(0);
        expect(share).toBeLessThan(1);
        // What was said before is said again: the second time, nothing is new but what spans the joint.
        expect(repetitionOf([...found, ...found])!).toBeGreaterThan(
          (found.length - 3) / (2 * found.length - 2.9),
        );
      }),
    );
  });

  it('ends in a loop, also one that breaks off within its stretch, and not in an ordinary list', () => {
    const times = (part: number[], count: number) => Array.from({ length: count }, () => part).flat();
    expect(endsInLoop([])).toBe(false);
    expect(endsInLoop(times([7], 11))).toBe(false);
    expect(endsInLoop(times([7], 12))).toBe(true);
    expect(endsInLoop([9, 8, ...times([1, 2, 3], 4)])).toBe(true);
    expect(endsInLoop([...times([1, 2, 3], 4), 1, 2])).toBe(true);
    expect(endsInLoop([...times([1, 2, 3], 4), 9])).toBe(false);
    expect(endsInLoop(times([1, 2, 3, 4], 3))).toBe(false);
    const long = Array.from({ length: 64 }, (_, at) => at);
    expect(endsInLoop(times(long, 4))).toBe(true);
    expect(endsInLoop(times([...long, 64], 4))).toBe(false);
    fc.assert(
      fc.property(fc.array(fc.nat(9)), fc.array(fc.nat(3), { minLength: 3, maxLength: 9 }), (head, part) => {
        expect(endsInLoop([...head, ...times(part, 4)])).toBe(true);
        expect(endsInLoop([...head, ...times(part, 5), -1])).toBe(false);
      }),
    );
  });
});

describe('confusion inside an answer', () => {
  const fi = 'Kissa nukkuu tuolilla koko pitkän päivän ja herää vasta illalla.';
  const en = 'The cat sleeps on the chair for the whole long day.';
  const ru = 'Кошка спит на стуле весь день и просыпается только вечером.';
  const zh = '猫整天都在椅子上睡觉，直到晚上才醒过来。';
  const of = (text: string, lang: string, by: Identify | undefined = identify) =>
    confusionOf(text, { lang, identify: by });

  it('is found line by line, short lines aside', () => {
    expect(of(fi, 'fi')).toEqual({ lineLanguagePass: 1, codeSwitch: 0 });
    expect(of(`${fi}\n${en}`, 'fi')).toEqual({ lineLanguagePass: 0, codeSwitch: 1 });
    expect(of(en, 'fi')).toEqual({ lineLanguagePass: 0, codeSwitch: 0 });
    expect(of(`${fi}\nOK, yes!\n1 2 3 4 5 6 7`, 'fi').lineLanguagePass).toBe(1);
    expect(of('kissa', 'fi')).toEqual({});
    expect(of('kissa nukkuu', 'fi')).toEqual({ codeSwitch: 0 });
    expect(of('', 'fi')).toEqual({});
  });

  it('does without identification what can be done by script', () => {
    expect(confusionOf(`${ru} the cat`, { lang: 'ru' })).toEqual({
      lineLanguagePass: 1,
      wordLanguagePass: 1,
      latinWordRate: 2 / 12,
      codeSwitch: 1,
    });
    expect(confusionOf(ru, { lang: 'ar', languages: ['ar', 'ru'] }).lineLanguagePass).toBe(0);
    expect(confusionOf(ru, { lang: 'ru', languages: ['ru', 'uk'] })).not.toHaveProperty('lineLanguagePass');
    expect(confusionOf(`${ru}\n${en}`, { lang: 'ru' }).lineLanguagePass).toBe(0);
    expect(confusionOf(fi, { lang: 'fi' })).toEqual({ codeSwitch: 0 });
  });

  it('is found word by word in other scripts than Latin; capitals and short words pass', () => {
    expect(of(ru, 'ru')).toEqual({
      lineLanguagePass: 1,
      wordLanguagePass: 1,
      latinWordRate: 0,
      codeSwitch: 0,
    });
    expect(of(ru.replace('стуле', 'chair'), 'ru')).toMatchObject({
      lineLanguagePass: 1,
      wordLanguagePass: 0,
    });
    expect(of(ru.replace('стуле', 'GPU'), 'ru')).toMatchObject({
      wordLanguagePass: 1,
      latinWordRate: 1 / 10,
    });
    expect(of(zh, 'zh')).toMatchObject({ lineLanguagePass: 1, wordLanguagePass: 1, latinWordRate: 0 });
    expect(of(zh, 'zh', () => [{ lang: 'ja', probability: 0.9 }]).lineLanguagePass).toBe(1);
    expect(of(en, 'ru')).toEqual({ lineLanguagePass: 0, latinWordRate: 1, codeSwitch: 0 });
    expect(of('猫 cat', 'zh')).toEqual({ latinWordRate: 0.5, codeSwitch: 1 });
  });

  it('takes a label only where it is likely enough', () => {
    const guess =
      (lang: string, probability: number): Identify =>
      () => [{ lang, probability }];
    expect(of(fi, 'fi', guess('fi', 0.31)).lineLanguagePass).toBe(1);
    expect(of(fi, 'fi', guess('fi', 0.3)).lineLanguagePass).toBe(0);
    expect(of(`${fi}\n${fi}`, 'fi', guess('en', 0.1))).toEqual({ lineLanguagePass: 0, codeSwitch: 0 });
  });
});

describe('languages of a set', () => {
  const guess =
    (lang: string): Identify =>
    () => [{ lang, probability: 1 }];

  it('are known to the rules by their primary subtag and the identifier’s label', () => {
    const set = setLanguages(['zh-Hans', 'nb', 'en'], [], undefined);
    expect(set.codes.map(set.rule)).toEqual(['zh', 'no', 'en']);
    expect(set.shown('zh', 'en')).toBe('zh-Hans');
    expect(set.shown('no', 'nb')).toBe('nb');
    expect(set.shown('de', 'en')).toBe('de');
    expect(set.pooled).toEqual([]);
    expect(setLanguages(['pt-BR', 'pt-PT'], [], undefined).pooled).toEqual([['pt-BR', 'pt-PT']]);
  });

  it('keep Serbian and Croatian apart by script', () => {
    const texts = [
      { lang: 'sr', text: 'мачка' },
      { lang: 'hr', text: 'mačka' },
    ];
    const set = setLanguages(['ru', 'sr', 'hr'], texts, guess('sh'));
    expect([set.rule('sr'), set.rule('hr'), set.pooled]).toEqual(['sr', 'hr', []]);
    expect(set.identify!('мачка')[0]!.lang).toBe('sr');
    expect(set.identify!('mačka')[0]!.lang).toBe('hr');
  });

  it('pool them where both are in Latin script, and leave them alone where neither is in the set', () => {
    const set = setLanguages(['sr', 'hr'], [{ lang: 'sr', text: 'mačka' }], guess('bs'));
    expect([set.rule('sr'), set.rule('hr'), set.pooled]).toEqual(['hr', 'hr', [['sr', 'hr']]]);
    expect(set.shown('hr', 'sr')).toBe('sr');
    expect(set.identify!('mačka')[0]!.lang).toBe('hr');
    expect(setLanguages(['sr-Latn', 'hr'], [], guess('bs')).pooled).toHaveLength(1);
    expect(setLanguages(['en', 'fi'], [], guess('bs')).identify!('mačka')[0]!.lang).toBe('bs');
  });
});

describe('labels named', () => {
  it.each([
    ['It is about sports.', [0]],
    ['Sports or politics', [0, 1]],
    ['science/technology!', [3]],
    ['science, then technology', [2]],
    ['transports', []],
    ['', []],
  ])('in %j: %j', (text, named) => {
    expect(labelsNamed(text, ['sports', 'politics', 'science', 'science/technology'])).toEqual(named);
  });

  it('may stand anywhere in a script without blanks', () => {
    expect(labelsNamed('这是关于体育的。', ['体育', '政治'])).toEqual([0]);
  });
});

describe('measuring answers', () => {
  it('gives each answer its language and what applies to it', () => {
    const { lines } = measureAnswers(
      [
        answer('mushroom.en', 'Mushroom'),
        answer('mushroom.fi', 'mushroom'),
        answer('river.ru', 'река', { sample: 1 }),
      ],
      SET,
      { identify },
    );
    expect(lines[0]).toEqual({
      id: 'mushroom.en',
      sample: 0,
      item: 'mushroom',
      lang: 'en',
      answerLang: 'en',
      answerLangBy: 'reference',
      measures: {
        exactMatch: 1,
        exactMatchStrict: 0,
        chrf: expect.closeTo(100, 9),
        rougeL: 100,
        languageMatch: 1,
        languageUndecided: 0,
        referenceLanguageMatch: 1,
        empty: 0,
        truncated: 0,
        loop: 0,
        responseChars: 8,
        responseTokens: 3,
        responseWords: 1,
      },
    });
    expect(lines[1]).toMatchObject({ answerLang: 'en', measures: { exactMatch: 0, languageMatch: 0 } });
    expect(lines[2]).toMatchObject({
      sample: 1,
      answerLangBy: 'script',
      measures: { languageMatch: 1, latinWordRate: 0 },
    });
  });

  it('knows only names of the list', () => {
    const checks = { 'river.en': [{ type: 'words', max: 3 } as const] };
    const labels = { 'river.en': { labels: ['river', 'chair'], correct: 0 } };
    const long = 'The river is long and it goes through the whole country.';
    const { lines } = measureAnswers([answer('river.en', long)], SET, { identify, checks, labels });
    for (const name of Object.keys(lines[0]!.measures)) expect(isMeasureName(name), name).toBe(true);
    expect(lines[0]!.measures).toMatchObject({
      instructionPass: 0,
      instructionPassLoose: 0,
      labelAnswered: 1,
    });
  });

  it('leaves the language match out where the language is undecided', () => {
    const { lines, summary } = measureAnswers([answer('river.en', 'xyz'), answer('river.fi', '')], SET);
    for (const { answerLang, measures } of lines) {
      expect(answerLang).toBe('undecided');
      expect(measures.languageUndecided).toBe(1);
      expect(measures).not.toHaveProperty('languageMatch');
    }
    expect(summary.byLanguage.en).toMatchObject({
      answers: 1,
      undecided: 1,
      applies: { languageUndecided: 1 },
    });
    expect(summary.notes).toContain(
      'answers whose language is undecided are left out of the language match: en 100 % of 1, fi 100 % of 1',
    );
    expect(summary.notes[0]).toBe('4 records of the languages answered have no answer');
    expect(summary.notes[1]).toMatch(/^no language identification/);
  });

  it('knows an answer in another script to be wrong, whichever language it is in', () => {
    const set = [record('a', 'hi', 'कड़ी'), record('a', 'en', 'link'), record('b', 'hi', 'DNA')];
    const { lines } = measureAnswers(
      [answer('a.hi', 'toe step'), answer('a.en', 'toe step'), answer('b.hi', 'toe step')],
      set,
    );
    expect(lines.map(({ answerLang }) => answerLang)).toEqual(['undecided', 'undecided', 'undecided']);
    expect(lines[0]!.measures).toMatchObject({ languageMatch: 0, languageUndecided: 0 });
    // Of Latin script, as English is; and where the reference itself is in Latin script.
    for (const { measures } of lines.slice(1)) {
      expect(measures.languageUndecided).toBe(1);
      expect(measures).not.toHaveProperty('languageMatch');
    }
  });

  it('leaves out what needs a reference where there is none, and languages where none is named', () => {
    const set = [record('a', 'fi'), { ...record('b', 'und'), id: 'b' }];
    const { lines, summary } = measureAnswers(
      [answer('a.fi', 'joki'), { ...answer('b.und', 'река'), id: 'b' }],
      set,
      { identify },
    );
    for (const name of ['exactMatch', 'chrf', 'rougeL', 'referenceLanguageMatch'])
      expect(lines[0]!.measures).not.toHaveProperty(name);
    expect(lines[1]!.answerLang).toBe('ru');
    expect(lines[1]!.measures).not.toHaveProperty('languageMatch');
    expect(summary).toMatchObject({ records: 2, references: 0, languages: ['fi'], identification: {} });
  });

  it('takes no reference of unknown language for evidence of one', () => {
    const set = [record('a', 'fi', 'joki'), record('a', 'und', 'river')];
    const { lines } = measureAnswers([answer('a.fi', 'river')], set);
    expect(lines[0]).toMatchObject({ answerLang: 'undecided', answerLangBy: 'nothing' });
  });

  it('keeps beside the numbers how identification and the rule do on the references', () => {
    const { summary } = measureAnswers([], SET, { identify });
    expect(summary.answers).toBe(0);
    expect(summary.identification.fi!.n).toBe(3);
    expect(summary.rule.references.ru).toEqual({ n: 3, right: 1, wrong: 0, undecided: 0 });
    expect(summary.rule.shuffled.en).toMatchObject({ n: 3, right: 0 });
    expect(summary.byLanguage.zh!.onReferences.languageMatch).toEqual({ value: 1, n: 3 });
    expect(summary.notes.join('\n')).toMatch(/finds too few of the set's own references.*fi \d+ % of 3/);
    expect(summary.notes.join('\n')).not.toMatch(/too few.*\b(?:ru|zh|ar) \d/);
  });

  it('identifies each text once', () => {
    const asked: string[] = [];
    const counting: Identify = (text, top) => {
      asked.push(text);
      return identify(text, top);
    };
    measureAnswers([answer('river.en', 'The river is long, and so is this answer.')], SET, {
      identify: counting,
    });
    expect(new Set(asked).size).toBe(asked.length);
    expect(asked).toContain('mushroom');
  });

  it('decides the checks that can be decided, strictly and loosely', () => {
    const response = 'Here it is:\nRIVER';
    const pass = (checks: Parameters<typeof measureAnswers>[2] extends infer O ? NonNullable<O> : never) =>
      measureAnswers([answer('river.en', response), answer('river.zh', '河')], SET, { identify, ...checks })
        .lines;
    const upper = { type: 'uppercase' } as const;
    const [en, zh] = pass({
      checks: { 'river.en': [upper, { type: 'words', max: 9 }], 'river.zh': [upper] },
    });
    expect(en!.measures).toMatchObject({ instructionPass: 0, instructionPassLoose: 1 });
    expect(zh!.measures).not.toHaveProperty('instructionPass');
  });

  it('reads checks and labels from the records themselves', async () => {
    const file = join(folder, 'checked.jsonl');
    const lines = [
      {
        id: 'a',
        lang: 'en',
        instruction: 'Topic?',
        response: 'sports',
        labels: ['sports', 'health'],
        checks: [{ type: 'words', max: 2 }],
      },
      { id: 'b', lang: 'en', instruction: 'Topic?', response: 'sports', labels: ['health', 'politics'] },
      { id: 'c', lang: 'en', instruction: 'Topic?', response: 'sports', labels: [0, 1] },
    ];
    writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    const examples = await readExamples([file]);
    const given = lines.map(({ id }) => ({ ...answer('x.en', 'It is about sports.'), id }));
    const [a, b, c] = measureAnswers(given, examples).lines;
    expect(a!.measures).toMatchObject({ labelAnswered: 1, instructionPass: 0 });
    for (const one of [b, c]) {
      expect(one!.measures).not.toHaveProperty('labelAnswered');
      expect(one!.measures).not.toHaveProperty('instructionPass');
    }
    expect(labelItems(examples)).toEqual([
      {
        id: 'a',
        lang: 'en',
        turns: [{ role: 'user', content: 'Topic?' }],
        labels: ['sports', 'health'],
        correct: 0,
      },
    ]);
    examples[1]!.checks = [{ type: 'wrods' }];
    expect(() => measureAnswers([], examples)).toThrow(/checked\.jsonl:2: record "b": checks\[0\]\.type: /);
  });

  it('gives one answer twice, unknown records, other languages and unknown ids as errors', () => {
    const one = answer('river.en', 'x');
    const refuse = (message: RegExp, answers: AnswerLine[], set = SET) =>
      expect(() => measureAnswers(answers, set)).toThrow(
        expect.objectContaining({ code: 'DATA_INVALID', message: expect.stringMatching(message) }),
      );
    refuse(/^measures: record "river.en" has two answers of sample 0$/, [one, one]);
    refuse(/answer is to record "lake.en", which the evaluation set does not have/, [
      { ...one, id: 'lake.en' },
    ]);
    refuse(/record "river.en" says lang fi, the evaluation set says en/, [{ ...one, lang: 'fi' }]);
    refuse(/the evaluation set has two records "mushroom.en"/, [one], [...SET, ...SET]);
    expect(() => measureAnswers([one], SET, { checks: { x: [] } })).toThrow(
      new RangeError('checks: the evaluation set has no record "x"'),
    );
    expect(() => measureAnswers([one], SET, { labels: { y: { labels: [], correct: 0 } } })).toThrow(
      new RangeError('labels: the evaluation set has no record "y"'),
    );
  });

  it('is in the set’s order whatever the answers’, with all values in bounds', () => {
    const answers = fc.uniqueArray(
      fc.record({
        at: fc.nat(SET.length - 1),
        sample: fc.nat(2),
        response: fc.oneof(
          fc.string({ unit: 'grapheme' }),
          fc.constantFrom(...Object.values(NAMES).flatMap((names) => Object.values(names))),
        ),
      }),
      { selector: ({ at, sample }) => `${at} ${sample}`, maxLength: 8 },
    );
    fc.assert(
      fc.property(answers, (given) => {
        const made = given.map(({ at, sample, response }) => answer(SET[at]!.id, response, { sample }));
        const found = measureAnswers(made, SET, { identify });
        expect(measureAnswers([...made].reverse(), SET, { identify })).toEqual(found);
        expect(found.lines).toHaveLength(given.length);
        for (const { measures } of found.lines) {
          for (const [name, value] of Object.entries(measures)) {
            if (!isMeasureName(name)) throw new Error(name);
            expect(value, name).toBeGreaterThanOrEqual(0);
            expect(value, name).toBeLessThanOrEqual(
              (measureDefinition(name).most ?? Number.POSITIVE_INFINITY) + 1e-9,
            );
          }
        }
      }),
      { numRuns: 30 },
    );
  });
});
