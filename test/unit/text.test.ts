// Scripts, words, chrF and languages of texts are what answers are judged by: held to known answers in many scripts.
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  checkAnswerLanguageRule,
  identificationRecall,
  languageOfAnswer,
} from '../../lib/text/answer-language';
import { chrf } from '../../lib/text/chrf';
import { type Identify, loadIdentifier } from '../../lib/text/identify';
import { dominantScript, letterCount, scriptCounts } from '../../lib/text/scripts';
import { fold, foldWords, words } from '../../lib/text/segment';

describe('scripts', () => {
  it.each([
    ['Hello', 'Latn'],
    ['Привет', 'Cyrl'],
    ['مرحبا', 'Arab'],
    ['שלום', 'Hebr'],
    ['नमस्ते', 'Deva'],
    ['你好', 'Hani'],
    ['日本語です', 'Kana'],
    ['안녕', 'Hang'],
    ['你好 GPU', 'Hani'],
    ['你 ab', undefined],
    ['你 GPU', 'Latn'],
    ['1,694,310 🐈', undefined],
    ['', undefined],
  ])('%j is %s', (text, script) => {
    expect(dominantScript(text)).toBe(script);
  });

  it('counts letters only', () => {
    expect(scriptCounts('aб1 ב!')).toEqual(
      new Map([
        ['Latn', 1],
        ['Cyrl', 1],
        ['Hebr', 1],
      ]),
    );
    expect(letterCount('aб1 ב!नि')).toBe(4);
  });
});

describe('segmentation', () => {
  it('finds words in spaced and unspaced scripts', () => {
    expect(words("It's a test, isn't it?", 'en')).toEqual(["It's", 'a', 'test', "isn't", 'it']);
    expect(words('我爱北京天安门', 'zh').length).toBeGreaterThan(2);
    expect(words('यह एक परीक्षण है।', 'hi')).toEqual(['यह', 'एक', 'परीक्षण', 'है']);
    expect(words('… 🐈 —')).toEqual([]);
  });

  it('folds case, width, blanks and punctuation', () => {
    expect(fold(' ＡＢＣ\n d ')).toBe('abc d');
    expect(foldWords('¡Hola, Mundo! (2)')).toBe('hola mundo 2');
    expect(foldWords('🐈')).toBe('');
  });
});

describe('chrF', () => {
  it.each([
    ['the cat sat on the mat', 'the cat is on the mat', 64.5779420625287],
    ['Tere, maailm!', 'Tere maailm', 59.43712873944978],
    ['你好世界', '你好，世界！', 28.735632183908045],
    ['क', 'कख', 55.55555555555556],
    ['Ein sehr langer Satz', 'A very long sentence', 11.948529411764707],
    ['abc', 'xyz', 0],
    ['', 'a', 0],
    ['', '', 0],
  ])('of %j against %j is sacreBLEU’s', (hypothesis, reference, score) => {
    expect(chrf(hypothesis, reference)).toBeCloseTo(score, 9);
  });

  it('is 100 for equal texts, and never outside 0 to 100', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (a, b) => {
        const score = chrf(a, b);
        expect(score).toBeGreaterThanOrEqual(0);
        expect(score).toBeLessThanOrEqual(100 + 1e-9);
        if (a.trim() !== '') expect(chrf(a, a)).toBeCloseTo(100, 9);
      }),
    );
  });
});

describe('language of an answer', () => {
  let identify: Identify;
  beforeAll(async () => {
    identify = await loadIdentifier();
  });
  const mushroom = {
    en: 'mushroom',
    es: 'hongo',
    it: 'fungo',
    fi: 'sieni',
    et: 'seen',
    cs: 'houba',
    sw: 'uyoga',
    ru: 'гриб',
  };

  it('identifies sentences offline, a line break inside included, and nothing in nothing', () => {
    expect(identify('This is a sentence\nin plain English, as anybody can see.', 2)[0]).toMatchObject({
      lang: 'en',
    });
    expect(identify('Tämä on suomenkielinen lause, niin kuin jokainen näkee.')).toEqual([
      { lang: 'fi', probability: expect.closeTo(0.99, 1) },
    ]);
    expect(identify(' \n')).toEqual([]);
  });

  it.each([
    ['مرحبا', 'ar'],
    ['שלום', 'he'],
    ['बिल्ली', 'hi'],
    ['кот', 'ru'],
    ['猫', 'zh'],
    ['고양이', 'ko'],
  ])('takes %j by its script', (text, lang) => {
    expect(languageOfAnswer(text)).toEqual({ lang, by: 'script' });
  });

  it('identifies long answers, unless the set’s own references say that it can’t', () => {
    const text = 'Kissa istuu ikkunalla ja katselee lintuja.';
    expect(languageOfAnswer(text, { identify })).toEqual({ lang: 'fi', by: 'identification' });
    expect(languageOfAnswer(text, { identify, recall: { fi: 0.95 } }).lang).toBe('fi');
    expect(languageOfAnswer(text, { identify, recall: { fi: 0.6 } }).lang).toBe('undecided');
    expect(languageOfAnswer(text, { identify, recall: { fi: 1, sw: 0.3 }, expected: 'sw' }).lang).toBe(
      'undecided',
    );
    expect(languageOfAnswer('Kissa', { identify })).toEqual({ lang: 'undecided', by: 'nothing' });
  });

  it('takes the nearest reference for short answers', () => {
    expect(languageOfAnswer('Un fungo!', { references: mushroom })).toEqual({ lang: 'it', by: 'reference' });
    expect(languageOfAnswer('Mushrooms', { references: mushroom, identify })).toEqual({
      lang: 'en',
      by: 'reference',
    });
    expect(languageOfAnswer('xyz', { references: mushroom }).lang).toBe('undecided');
    expect(languageOfAnswer('🍄 42', { references: mushroom, identify }).lang).toBe('undecided');
  });

  it('lets a name that two languages share stand in the way of others', () => {
    const references = { en: 'radio', it: 'radio', et: 'raadio', fi: 'putki' };
    expect(languageOfAnswer('radio station', { references }).lang).toBe('undecided');
    expect(languageOfAnswer('raadio', { references })).toEqual({ lang: 'et', by: 'reference' });
    expect(languageOfAnswer('putket', { references }).lang).toBe('fi');
  });

  it('leaves names that two languages share undecided', () => {
    const references = { en: 'Pisces', es: 'Piscis', cs: 'Pisces', fi: 'kalat' };
    expect(languageOfAnswer('Pisces', { references }).lang).toBe('undecided');
    expect(languageOfAnswer('Kalat', { references }).lang).toBe('fi');
  });

  it('wants a margin between the first and the second', () => {
    expect(languageOfAnswer('bana', { references: { en: 'banana', et: 'banaan' } }).lang).toBe('undecided');
  });

  it('leaves a script that two of the languages share to identification', () => {
    const languages = ['ru', 'uk', 'en'];
    expect(languageOfAnswer('кот', { languages }).lang).toBe('undecided');
    expect(languageOfAnswer('Моя кішка спить на підвіконні кожного ранку.', { languages, identify })).toEqual(
      {
        lang: 'uk',
        by: 'identification',
      },
    );
  });

  it('measures itself on references and on those of other items', () => {
    const items = [
      mushroom,
      {
        en: 'gibbous moon',
        es: 'luna gibosa',
        it: 'gibbosa',
        fi: 'kuu',
        et: 'kuu',
        cs: 'couvající měsíc',
        sw: 'mwezi',
        ru: 'луна',
      },
    ];
    const { references, shuffled } = checkAnswerLanguageRule(items, {});
    expect(references.ru).toEqual({ n: 2, right: 1, wrong: 0, undecided: 0 });
    expect(references.fi).toEqual({ n: 2, right: 0.5, wrong: 0, undecided: 0.5 });
    expect(shuffled.ru!.right).toBe(1);
    expect(shuffled.en!.right).toBe(0);
    for (const { right, wrong, undecided } of Object.values(shuffled))
      expect(right + wrong + undecided).toBeCloseTo(1, 9);
  });

  it('gives identification’s recall on a set', () => {
    const texts = [
      { lang: 'en', text: 'This is a plain English sentence.' },
      { lang: 'en', text: '' },
      { lang: 'fi', text: 'Tämä on suomenkielinen lause.' },
    ];
    expect(identificationRecall(texts, identify)).toEqual({
      en: { recall: 0.5, n: 2 },
      fi: { recall: 1, n: 1 },
    });
  });
});
