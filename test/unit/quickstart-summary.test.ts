// The quickstart's screen: what it calls a share has to be one, and a share of none says how much it may hide.
import { expect, it, describe as suite, vi } from 'vitest';
import { BY_SCRIPT, describe, summarize } from '../../examples/quickstart/summary.mjs';
import { wilson } from '../../lib/eval/statistics/proportions';

// As it stands here, not as it was last built.
vi.mock('mlit-native', () => import('../../lib/eval/statistics/bootstrap'));

const ITEMS = Array.from({ length: 40 }, (_, at) => `item-${String(at).padStart(2, '0')}`);
const LANGUAGES = ['en', 'fi', ...BY_SCRIPT];

type Rule = (lang: string, at: number) => { match?: number; exact: number };

const model = (id: string, rule: Rule) => ({
  arm: { id, label: id },
  items: ITEMS.flatMap((item, at) =>
    LANGUAGES.map((lang) => {
      const { match, exact } = rule(lang, at);
      const measures: Record<string, number> = { exactMatch: exact, nats: 20 + (at % 7), bytes: 10 };
      measures.languageUndecided = match === undefined ? 1 : 0;
      if (match !== undefined) measures.languageMatch = match;
      return { item, lang, response: `${lang} ${at}`, measures };
    }),
  ),
});

suite('the quickstart’s numbers', () => {
  it('have Wilson’s interval where all or none of one language are right', () => {
    const [row] = summarize([model('none', () => ({ match: 0, exact: 0 }))]);
    const { low, high } = wilson(0, 40);
    expect(row!.numbers.exactHub).toMatchObject({ value: 0, low, n: 40 });
    expect(row!.numbers.exactHub!.high).toBeCloseTo(high!, 12);
    // Languages of one item go together, so five of them know no more than one.
    expect(row!.numbers.script!.value).toBe(0);
    expect(row!.numbers.script!.high).toBeCloseTo(high!, 12);
  });

  it('count an answer of no decided language as not in that of the question, and average languages', () => {
    const [row] = summarize([
      model('half', (lang, at) => ({ ...(lang === 'ru' ? {} : { match: 1 }), exact: at < 10 ? 1 : 0 })),
    ]);
    expect(row!.numbers.script!.value).toBeCloseTo(0.8, 12);
    expect(row!.numbers.exactHub!.value).toBe(0.25);
    expect(row!.numbers.lossOthers!.value).toBeCloseTo(2.2875, 10);
  });

  it('are drawn with their intervals, and the answers beside the questions', () => {
    const records = ITEMS.flatMap((item) =>
      LANGUAGES.map((lang) => ({
        lang,
        parallel_id: item,
        instruction: `? ${lang} ${item}`,
        response: 'right',
      })),
    );
    const text = describe(
      [model('none', () => ({ match: 0, exact: 0 })), model('all', () => ({ match: 1, exact: 1 }))],
      records,
    );
    expect(text).toContain('none  ░░░░░░░░░░░░░░░░░░░░  0 [0, 9]');
    expect(text).toContain('all   ████████████████████  100 [91, 100]');
    expect(text).not.toContain('[0, 0]');
    expect(text).toContain('? ar item-03   (right)');
    expect(text).toContain('none  ar 3');
  });
});
