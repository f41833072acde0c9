// The report counts what is there: sizes as rendering has them, faults where they were put, leaks of each kind.
import { describe, expect, it } from 'vitest';
import { dataReport } from '../../lib/data/data-report';
import { describeDataReport } from '../../lib/data/data-report-text';
import type { Example } from '../../lib/data/example';
import { renderExamples } from '../../lib/data/render';
import { ChatTemplate } from '../../lib/model/template';
import { Tokenizer } from '../../lib/model/tokenizer';
import { type Identify, loadIdentifier } from '../../lib/text/identify';
import { fixture } from '../support/fixtures';

const tokenizer = await Tokenizer.fromHuggingFace(fixture('gemma3-tiny', 'model'));
const template = await ChatTemplate.create({ template: 'gemma', tokenizer });

function record(id: string, lang: string, prompt: string, response?: string, parallelId?: string): Example {
  const turns = [{ role: 'user', content: prompt }];
  if (response !== undefined) turns.push({ role: 'assistant', content: response });
  return {
    id,
    lang,
    turns,
    ...(parallelId !== undefined && { parallelId }),
    source: { file: 'set.jsonl', line: 1 },
  };
}

const count = (text: string): number => tokenizer.encode(text, { addBos: false }).length;

describe('sizes', () => {
  const train = Array.from({ length: 40 }, (_, i) =>
    record(
      `r${i}`,
      i % 2 === 0 ? 'en' : 'fi',
      'word '.repeat(i + 1).trim(),
      'cat house '.repeat(i % 5).trim(),
    ),
  );

  it('counts the supervised tokens that rendering gives, and lengths by nearest rank', async () => {
    const { report } = renderExamples(train, { tokenizer, template });
    const { languages } = (await dataReport({ train, tokenizer, template })).train;
    for (const lang of ['en', 'fi']) {
      const tokens = languages[lang]!.tokens!;
      expect(tokens.supervised).toBe(report.supervisedTokens[lang]);
      expect(tokens).toMatchObject({ measured: 20, estimated: false });
      const lengths = train
        .filter((example) => example.lang === lang)
        .map((example) => count(example.turns[0]!.content))
        .sort((a, b) => a - b);
      expect(tokens.prompt).toEqual({
        min: lengths[0],
        median: lengths[9],
        p95: lengths[18],
        max: lengths[19],
      });
    }
  });

  it('measures records at even distances where there is much text, and says that it estimates', async () => {
    const same = Array.from({ length: 1000 }, (_, i) =>
      record(`r${i}`, 'en', `question number ${i}`, 'cat house'),
    );
    const exact = (await dataReport({ train: same, tokenizer, template })).train.languages.en!;
    const report = await dataReport({ train: same, tokenizer, template, maxCharacters: 3000 });
    const rough = report.train.languages.en!;
    expect(exact.tokens!.estimated).toBe(false);
    expect(rough.tokens!.estimated).toBe(true);
    expect(rough.tokens!.measured).toBeLessThan(150);
    expect(rough.tokens!.supervised).toBe(exact.tokens!.supervised);
    expect(describeDataReport(report)).toMatch(
      /en +1000 .* ~\d+ [\s\S]*~ estimated from records at even distances/,
    );
  });

  it('gives tokens per word by language', async () => {
    const english = (await dataReport({ train: [record('1', 'en', 'one two three', 'four')], tokenizer }))
      .train;
    expect(english.languages.en!.tokens!.perWord).toBeCloseTo((count('one two three') + count('four')) / 4);
    const chinese = (await dataReport({ train: [record('1', 'zh', '今天天气很好')], tokenizer })).train;
    expect(chinese.languages.zh!.tokens!.perWord).toBeCloseTo(count('今天天气很好') / 3, 0);
  });

  it('counts characters only where there is no model', async () => {
    const report = await dataReport({ train });
    expect(report.train.languages.en).not.toHaveProperty('tokens');
    expect(describeDataReport(report)).toMatch(/language +records +characters\nen +20 /);
  });

  it('takes plain texts', async () => {
    const text: Example = {
      id: 't',
      lang: 'en',
      turns: [],
      text: 'word word',
      source: { file: 'x', line: 1 },
    };
    const { en } = (await dataReport({ train: [text], tokenizer })).train.languages;
    expect(en).toMatchObject({ records: 1, withoutResponse: 0, emptyResponses: 0 });
    expect(en!.tokens).toMatchObject({ supervised: count('word word'), prompt: { max: 0 } });
  });
});

describe('faults', () => {
  it('counts what is absent, empty, and there twice', async () => {
    const { en, fi } = (
      await dataReport({
        train: [
          record('1', 'en', 'Hello?', 'Hi'),
          record('2', 'en', 'hello', 'hi!'),
          record('3', 'en', 'HELLO', 'Good day'),
          record('4', 'en', 'a', ' \n'),
          record('5', 'en', 'b'),
          record('6', 'fi', 'Hello?', 'Hi'),
        ],
      })
    ).train.languages;
    expect(en).toMatchObject({
      records: 5,
      withoutResponse: 1,
      emptyResponses: 1,
      duplicates: 1,
      repeatedPrompts: 1,
    });
    expect(fi).toMatchObject({ withoutResponse: 0, emptyResponses: 0, duplicates: 0, repeatedPrompts: 0 });
  });

  it('warns of empty responses, also of one among several turns', async () => {
    const twoTurns = record('1', 'fi', 'a', '');
    twoTurns.turns.push({ role: 'user', content: 'b' }, { role: 'assistant', content: 'c' });
    const report = await dataReport({ train: [twoTurns, record('2', 'en', 'a', 'b')] });
    expect(report.train.languages.fi).toMatchObject({ emptyResponses: 1 });
    expect(describeDataReport(report)).toMatch(/^warning: in an empty response .* \(fi 1\)$/m);
    const without = await dataReport({ train: [record('2', 'en', 'a', 'b')] });
    expect(describeDataReport(without)).not.toContain('warning');
  });

  it('counts control tokens that texts spell', async () => {
    const { en } = (
      await dataReport({
        train: [record('1', 'en', 'what does <start_of_turn> do', 'ends <end_of_turn> <end_of_turn>')],
        tokenizer,
      })
    ).train.languages;
    expect(en!.tokens).toMatchObject({ controlTokenRecords: 1, controlTokens: 3 });
  });

  it('looks at the table of items and languages', async () => {
    const report = await dataReport({
      train: [record('1', 'en', 'a', 'b', 'p'), record('2', 'fi', 'c', 'd', 'q')],
    });
    expect(report.train).toMatchObject({ records: 2, items: 2, table: { items: 2, complete: 0 } });
    expect(describeDataReport(report)).toContain('the parallel table has holes: 0 of 2 items');
  });
});

describe('languages of responses', () => {
  const english = 'The quick brown fox jumps over the lazy dog near the river bank.';
  const finnish = 'Tänään on kaunis päivä, ja lapset leikkivät pihalla koirien kanssa.';
  const russian = 'Сегодня хорошая погода, и дети играют во дворе с собаками.';

  it('finds those in another language than their label’s, and tells the identifier’s recall beside', async () => {
    const report = await dataReport({
      train: [
        record('1', 'fi', finnish, finnish),
        record('2', 'fi', finnish, english),
        record('3', 'fi', finnish, russian),
        record('4', 'fi', finnish, 'ei'),
        record('5', 'fi', finnish),
        record('6', 'ru', russian, russian),
        record('7', 'und', russian, english),
      ],
      identify: await loadIdentifier(),
    });
    expect(report.train.languages.fi!.language).toEqual({
      checked: 4,
      right: 1,
      wrong: 2,
      undecided: 1,
      as: { en: 1, ru: 1 },
      ids: ['2', '3'],
      recall: { responses: { recall: 1 / 3, n: 3 }, prompts: { recall: 1, n: 4 } },
    });
    expect(report.train.languages.ru!.language).toMatchObject({ right: 1, wrong: 0 });
    expect(report.train.languages.und).not.toHaveProperty('language');
    const text = describeDataReport(report);
    expect(text).toMatch(/fi +4 +2 +1 +33\.3 % \(3\) +100\.0 % \(4\) +en 1, ru 1; as 2, 3/);
    expect(text).toContain('recall');
  });

  it('takes a script or region of the label for the same language', async () => {
    const identify: Identify = () => [{ lang: 'pt', probability: 1 }];
    const { languages } = (await dataReport({ train: [record('1', 'pt-BR', english, english)], identify }))
      .train;
    expect(languages['pt-BR']!.language).toMatchObject({ right: 1, wrong: 0 });
  });
});

describe('across the split', () => {
  const long = 'explain to me in simple words why the sky is blue during the day';
  const train = [record('1', 'en', 'one', 'x', 'p1'), record('2', 'en', long, 'x', 'p2')];

  it('counts leaks by kind and language, and names the worst first', async () => {
    const report = await dataReport({
      train,
      evaluation: [
        record('1', 'en', 'one', 'x', 'p1'),
        record('e1', 'fi', 'yksi', 'x', 'p1'),
        record('e2', 'en', 'One!', 'x', 'e2'),
        record('e3', 'en', `${long} please`, undefined, 'e3'),
      ],
    });
    expect(report.leaks!.counts).toEqual({
      id: { en: 1 },
      parallel_id: { fi: 1 },
      prompt: { en: 1 },
      'near-duplicate': { en: 1 },
    });
    expect(report.leaks!.examples).toHaveLength(4);
    const text = describeDataReport(report);
    expect(text).toMatch(/error: shared ids: en 1; the first is 1 with 1/);
    expect(text).toMatch(/warning: similar prompts.*en 1; the first is e3 with 2 \(0\.\d\d\)/);
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  });

  it('says that there are none, and looks for none where it need not', async () => {
    const evaluation = [record('e3', 'en', `${long} please`, 'x', 'e3')];
    expect(describeDataReport(await dataReport({ train, evaluation, near: 0 }))).toContain('no shared ids');
    expect(await dataReport({ train })).not.toHaveProperty('leaks');
  });

  it('stops when told', async () => {
    const control = new AbortController();
    control.abort(new Error('enough'));
    await expect(dataReport({ train, signal: control.signal })).rejects.toThrow('enough');
  });
});
