// Counts of languages asked and given must add up, whatever the lines.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { languageConfusion } from '../../lib/eval/language-confusion';

const line = (lang: string, answerLang: string, measures: Record<string, number> = {}) => ({
  lang,
  answerLang,
  measures,
});

describe('language confusion', () => {
  it('counts prompts by answers, with rates over the answers that have them', () => {
    const found = languageConfusion([
      line('ru', 'ru', { languageMatch: 1, lineLanguagePass: 1, wordLanguagePass: 0, codeSwitch: 1 }),
      line('ru', 'ru', { languageMatch: 1, lineLanguagePass: 0, codeSwitch: 0 }),
      line('ru', 'en', { languageMatch: 0 }),
      line('en', 'de', { languageMatch: 0 }),
      line('en', 'de', { languageMatch: 0 }),
      line('en', 'undecided'),
      line('en', 'fr', { languageMatch: 0 }),
    ]);
    expect(found.prompts).toEqual(['en', 'ru']);
    expect(found.answers).toEqual(['en', 'ru', 'de', 'fr', 'undecided']);
    expect(found.rows.ru).toEqual({
      n: 3,
      answers: { ru: 2, en: 1 },
      languageMatch: { value: 2 / 3, n: 3 },
      lineLanguagePass: { value: 0.5, n: 2 },
      wordLanguagePass: { value: 0, n: 1 },
      codeSwitch: { value: 0.5, n: 2 },
    });
    expect(found.rows.en!.languageMatch).toEqual({ value: 0, n: 3 });
    expect(found.rows.en!.lineLanguagePass).toEqual({ value: null, n: 0 });
  });

  it('of nothing has no rows', () => {
    expect(languageConfusion([])).toEqual({ prompts: [], answers: ['undecided'], rows: {} });
  });

  it('adds up to the lines, in any order', () => {
    const lang = fc.constantFrom('ar', 'en', 'fi');
    const lines = fc.array(
      fc.record({
        lang,
        answerLang: fc.oneof(lang, fc.constantFrom('undecided', 'de')),
        measures: fc.record({ codeSwitch: fc.constantFrom(0, 1) }, { requiredKeys: [] }),
      }),
    );
    fc.assert(
      fc.property(lines, (given) => {
        const found = languageConfusion(given);
        expect(languageConfusion([...given].reverse())).toEqual(found);
        let total = 0;
        for (const row of Object.values(found.rows)) {
          expect(Object.values(row.answers).reduce((sum, count) => sum + count, 0)).toBe(row.n);
          for (const answer of Object.keys(row.answers)) expect(found.answers).toContain(answer);
          if (row.codeSwitch.value !== null) {
            expect(row.codeSwitch.value).toBeGreaterThanOrEqual(0);
            expect(row.codeSwitch.value).toBeLessThanOrEqual(1);
          }
          total += row.n;
        }
        expect(total).toBe(given.length);
      }),
    );
  });
});
