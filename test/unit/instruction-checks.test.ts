// Checks that a program makes, in languages with and without blanks, case and Latin digits.
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  checkInstruction,
  type InstructionCheck,
  instructionCheckSchema,
  parseInstructionChecks,
} from '../../lib/eval/instruction-checks';
import { type Identify, loadIdentifier } from '../../lib/text/identify';

/** A sentence of as many words as it says, by ICU's rules, in each of the twelve languages. */
const SENTENCES: [lang: string, text: string, words: number][] = [
  ['ar', 'القطة تنام على الكرسي.', 4],
  ['cs', 'Kočka spí na židli.', 4],
  ['en', 'The cat sleeps on the chair.', 6],
  ['es', '¿El gato duerme en la silla?', 6],
  ['et', 'Kass magab tooli peal.', 4],
  ['fi', 'Kissa nukkuu tuolilla.', 3],
  ['he', 'החתול ישן על הכיסא.', 4],
  ['hi', 'बिल्ली कुर्सी पर सोती है।', 5],
  ['it', 'Il gatto dorme sulla sedia.', 5],
  ['ru', 'Кошка спит на стуле.', 4],
  ['sw', 'Paka analala kwenye kiti.', 4],
  ['zh', '猫在椅子上睡觉。', 5],
];

describe('lengths', () => {
  it.each(SENTENCES)('are counted in %s: %j has %i words, twice it two sentences', (lang, text, n) => {
    const check = (type: 'words' | 'sentences', min: number, max: number, response: string) =>
      checkInstruction(response, { type, min, max }, { lang }).pass;
    expect(check('words', n, n, text)).toBe(true);
    expect(check('words', n + 1, n + 9, text)).toBe(false);
    expect(check('sentences', 2, 2, `${text} ${text}`)).toBe(true);
    expect(check('sentences', 0, 1, `${text} ${text}`)).toBe(false);
  });

  it('say what was found and what was expected', () => {
    const reason = (check: InstructionCheck) => checkInstruction('one two', check, { lang: 'en' }).reason;
    expect(reason({ type: 'words', max: 1 })).toBe('2 words, expected at most 1');
    expect(reason({ type: 'words', min: 3 })).toBe('2 words, expected at least 3');
    expect(reason({ type: 'words', min: 3, max: 3 })).toBe('2 words, expected exactly 3');
    expect(reason({ type: 'words', min: 3, max: 5 })).toBe('2 words, expected at least 3 and at most 5');
  });

  it.each([
    ['नमस्ते', 3],
    ['👩‍🚀', 1],
    ['  abc \n', 3],
    ['e\u0301', 1],
    ['你好', 2],
    ['', 0],
  ])('count %j as %i characters', (text, count) => {
    expect(checkInstruction(text, { type: 'characters', min: count, max: count }).reason).toContain(
      `${count} characters`,
    );
    expect(checkInstruction(text, { type: 'characters', min: count, max: count }).pass).toBe(true);
  });

  it.each([
    ['a\nb', 1],
    ['a\n\nb', 2],
    ['\n\na\r\n \t\r\n\r\nb\n\n\n\nc\n', 3],
    ['', 0],
  ])('count the paragraphs of %j', (text, count) => {
    expect(checkInstruction(text, { type: 'paragraphs', min: count, max: count }).pass).toBe(true);
  });

  it.each([
    ['- a\n- b\n  * c', 3],
    ['1. a\n2) b\n(3) c', 3],
    ['١. أ\n٢. ب', 2],
    ['१. क\n२) ख', 2],
    ['一、猫\n二、狗\n１．鸟', 3],
    ['Here:\n• a\n• b\n', 2],
    ['-\n- \n—a dash\n2024 was a year\n-5 degrees', 0],
    ['3.5 km', 0],
  ])('count the list items of %j', (text, count) => {
    expect(checkInstruction(text, { type: 'list-items', min: count, max: count }).reason).toMatch(
      new RegExp(`^${count} `),
    );
  });
});

describe('letter case', () => {
  it.each([
    ['uppercase', 'en', 'A CAT, 2 DOGS!', true],
    ['uppercase', 'en', 'A CAT and', false],
    ['uppercase', 'ru', 'КОШКА', true],
    ['uppercase', 'fi', '123', false],
    ['uppercase', 'en', '猫', false],
    ['lowercase', 'cs', 'žluťoučký kůň', true],
    ['lowercase', 'cs', 'Žluťoučký kůň', false],
    ['uppercase', 'ar', 'قطة', null],
    ['lowercase', 'he', 'חתול', null],
    ['uppercase', 'hi', 'बिल्ली', null],
    ['lowercase', 'zh-Hans', '猫', null],
  ] as const)('%s in %s: %j is %s', (type, lang, text, pass) => {
    expect(checkInstruction(text, { type }, { lang }).pass).toBe(pass);
  });
});

describe('texts that have to be there', () => {
  it.each([
    [{ type: 'contains', text: 'Kissa' }, 'Näin kissan pihalla.', true],
    [{ type: 'contains', text: 'kissa', min: 2 }, 'Näin kissan pihalla.', false],
    [{ type: 'contains', text: '猫' }, '我的猫睡了。', true],
    [{ type: 'contains', text: 'C++' }, 'I write c++ daily', true],
    [{ type: 'excludes', text: 'art' }, 'The party was long.', true],
    [{ type: 'excludes', text: 'art' }, 'It is (Art).', false],
    [{ type: 'excludes', text: 'New York' }, 'in new  york!', false],
    [{ type: 'excludes', text: '猫' }, '我的猫睡了。', false],
    [{ type: 'excludes', text: 'قطة' }, 'هذا كلب.', true],
    [{ type: 'excludes', text: '!' }, 'Stop!', false],
    [{ type: 'starts-with', text: 'My answer' }, '  "MY ANSWER is 4."', true],
    [{ type: 'starts-with', text: 'answer' }, 'My answer', false],
    [{ type: 'ends-with', text: 'Is that all?' }, 'Yes. Is that all?"\n', true],
    [{ type: 'ends-with', text: 'Is that all?' }, 'Is that all? No.', false],
    [{ type: 'ends-with', text: '谢谢。' }, '就这样。谢谢。', true],
    [{ type: 'starts-with', text: '«' }, '« Oui »', false],
    [{ type: 'json' }, '{"a": [1, 2]}', true],
    [{ type: 'json' }, '```json\n{"a": 1}\n```', true],
    [{ type: 'json' }, 'Sure: {"a": 1}', false],
    [{ type: 'json' }, '', false],
  ] as [InstructionCheck, string, boolean][])('%j of %j is %s', (check, text, pass) => {
    expect(checkInstruction(text, check).pass).toBe(pass);
  });
});

describe('the language asked', () => {
  let identify: Identify;
  beforeAll(async () => {
    identify = await loadIdentifier();
  });

  it.each([
    ['fi', 'Kissa nukkuu tuolilla koko päivän ja herää vasta illalla.', true],
    ['fi', 'The cat sleeps on the chair and wakes in the evening.', false],
    ['ru', 'Кошка', true],
    ['zh', 'a cat', false],
    ['fi', 'a cat', null],
    ['zh-Hans', '猫', true],
    ['nb', 'Jeg vet ikke hva jeg skal gjøre med katten min i morgen, sa hun.', true],
    ['de', 'Die Katze schläft den ganzen Tag auf dem Stuhl.', true],
    ['en', '42', null],
  ])('%s: %j is %s', (lang, text, pass) => {
    expect(checkInstruction(text, { type: 'language', lang }, { identify }).pass).toBe(pass);
  });

  it('is not decided without identification, in Latin script', () => {
    expect(checkInstruction('Kissa nukkuu tuolilla.', { type: 'language', lang: 'fi' })).toEqual({
      pass: null,
      reason: 'its language is undecided',
    });
  });
});

describe('loose checks', () => {
  it('pass without asterisks, a first or a last line, and never fail what passes strictly', () => {
    const response = 'Sure, here it is:\n**MY CAT SLEEPS**\nHope it helps!';
    const check = { type: 'uppercase' } as const;
    expect(checkInstruction(response, check, { lang: 'en' }).pass).toBe(false);
    expect(checkInstruction(response, check, { lang: 'en', loose: true })).toEqual({
      pass: true,
      reason: 'no lower-case letter (loosely)',
    });
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.nat(5), (text, max) => {
        const one = { type: 'words', max } as const;
        if (checkInstruction(text, one).pass === true)
          expect(checkInstruction(text, one, { loose: true }).pass).toBe(true);
      }),
    );
  });
});

describe('the field `checks`', () => {
  it('is read', () => {
    const checks = [{ type: 'words', max: 50 }, { type: 'language', lang: 'fi' }, { type: 'json' }];
    expect(parseInstructionChecks(checks, 'x')).toEqual(checks);
  });

  it.each([
    [[], /^eval.jsonl:3: checks: /],
    ['words', /^eval.jsonl:3: checks: /],
    [
      [{ type: 'json' }, { type: 'wrods' }],
      /^eval.jsonl:3: checks\[1\]\.type: .*one of words, sentences, .*, json$/,
    ],
    [[{ type: 'words' }], /^eval.jsonl:3: checks\[0\]: expected min, max or both$/],
    [[{ type: 'words', min: 5, max: 4 }], /^eval.jsonl:3: checks\[0\]: min is over max$/],
    [[{ type: 'words', max: 1.5 }], /^eval.jsonl:3: checks\[0\]\.max: /],
    [[{ type: 'contains', text: ' ' }], /checks\[0\]\.text: expected a text that is not blank/],
    [[{ type: 'json', max: 3 }], /checks\[0\]: .*max/],
  ])('%j is refused with its place', (value, message) => {
    expect(() => parseInstructionChecks(value, 'eval.jsonl:3')).toThrow(
      expect.objectContaining({ code: 'DATA_INVALID', message: expect.stringMatching(message) }),
    );
  });

  it('has a reason for every type, whatever the response', () => {
    const text = fc.string({ unit: 'grapheme' });
    const checks: InstructionCheck[] = instructionCheckSchema.options.map((option) => {
      const type = [...option.shape.type.values][0]!;
      return instructionCheckSchema.parse({
        type,
        ...('min' in option.shape && { min: 1 }),
        ...('text' in option.shape && { text: 'a' }),
        ...('lang' in option.shape && { lang: 'ru' }),
      });
    });
    expect(checks).toHaveLength(13);
    fc.assert(
      fc.property(
        text,
        fc.constantFrom(...checks),
        fc.constantFrom('en', 'ar', 'zh'),
        (response, check, lang) => {
          const { pass, reason } = checkInstruction(response, check, { lang });
          expect([true, false, null]).toContain(pass);
          expect(reason).not.toBe('');
        },
      ),
    );
  });
});
