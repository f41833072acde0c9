// What the report's page is made of: answers packed and found again, filters that ask what they say, markup out of captions and of
// nothing else, and files that are read while somebody writes them.
import { appendFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inflateSync } from 'node:zlib';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import * as library from '../../lib';
import { curveOf, statusLine } from '../../lib/cli/status-text';
import { lastWords } from '../../lib/eval/people';
import { pointsOf } from '../../lib/experiment/analysis/scores';
import { type AnsweringModel, type StoredAnswer, storedAnswers } from '../../lib/experiment/answers';
import { TrainingFollower } from '../../lib/experiment/live';
import type { ExperimentStatus } from '../../lib/experiment/status';
import { printable } from '../../lib/native/untrusted';
import { judgeTables } from '../../lib/report/judge-tables';
import {
  type AnswersMeta,
  BLOCKS,
  PAIR_VERDICTS,
  type PackedAnswer,
  type PackedPrompt,
} from '../../lib/report/page/answer-data';
import {
  type AnswerFilter,
  answerTable,
  NO_FILTER,
  placeFragment,
  readPlace,
  selectAnswers,
  verdictOf,
} from '../../lib/report/page/answer-filter';
import { decodeAnswers } from '../../lib/report/page/answer-index';
import { frameOf, packAnswers, promptKey } from '../../lib/report/page/answer-packer';
import { judgedPairs } from '../../lib/report/page/judged-pairs';
import { inlineMarkdown } from '../../lib/report/page/markdown-html';
import { renderReport } from '../../lib/report/write-report';
import { simulateStore } from '../../scripts/report/simulated-store.mjs';
import { scratch } from '../support/fixtures';
import { AWKWARD, results } from '../support/report-results';

const folder = scratch();

/** A model out of a list of answers. */
function modelOf(arm: string, seed: number | undefined, list: readonly StoredAnswer[]): AnsweringModel {
  return {
    arm,
    label: `label of ${arm}`,
    seed,
    job: `job-${arm}-${seed}`,
    async *answers() {
      yield* list;
    },
  };
}

/** The packed blocks by their ids, inflated. */
function unpack(blocks: string): (id: string) => Buffer {
  const found = new Map(
    [...blocks.matchAll(/<script type="[^"]*" id="([^"]*)">([^<]*)<\/script>/g)].map(([, id, text]) => [
      id,
      text!,
    ]),
  );
  return (id) => inflateSync(Buffer.from(found.get(id)!, 'base64'));
}

const LANGS = ['en', 'ar', 'fi'];
const answers = (count: number, text: (at: number) => string): StoredAnswer[] =>
  Array.from({ length: count }, (_, at) => ({
    id: `i${at}`,
    item: `item ${at}`,
    lang: LANGS[at % 3]!,
    prompt: `<turn>ask ${at}<end>`,
    response: text(at),
    answerLang: at % 4 === 0 ? 'undecided' : LANGS[(at >> 2) % 3]!,
    measures: {
      ...(at % 4 !== 0 && { languageMatch: LANGS[(at >> 2) % 3] === LANGS[at % 3] ? 1 : 0 }),
      ...(at % 5 !== 0 && { chrf: (at * 37) % 101 }),
    },
  }));

describe('packed answers', () => {
  it('come out as they went in, in chunks that begin where they say', async () => {
    const codes = fc.integer({ min: 0, max: 0x10ffff });
    const texts = fc
      .sample(fc.array(codes, { maxLength: 60 }), 300)
      .map((list) => String.fromCodePoint(...list));
    const long = 'x'.repeat(100_000);
    const lists = [
      answers(300, (at) => texts[at]!),
      answers(300, (at) => (at === 7 ? long : `</script>${at}`)),
    ];
    const { meta, blocks, prompts } = await packAnswers(lists.map((list, at) => modelOf('a', at, list)));
    const block = unpack(blocks.toString());
    expect(JSON.parse(block(BLOCKS.meta).toString())).toEqual(meta);
    expect(meta.answers).toBe(600);
    expect(prompts).toBe(300);
    const out = meta.answerStarts.slice(0, -1).flatMap((start, chunk) => {
      const values = JSON.parse(block(BLOCKS.answerTexts(chunk)).toString()) as PackedAnswer[];
      expect(start + values.length).toBe(meta.answerStarts[chunk + 1]);
      return values.map(([text]) => text);
    });
    expect(out).toEqual(lists.flat().map(({ response }) => response));
    expect(meta.answerStarts.length).toBeGreaterThan(4);
    const asked = JSON.parse(block(BLOCKS.promptTexts(0)).toString()) as PackedPrompt[];
    expect(asked[5]).toEqual({ key: promptKey('i5', 'fi'), id: 'i5', item: 'item 5', text: 'ask 5' });
    expect(meta.frame).toEqual({ before: '<turn>', after: '<end>' });
    const columns = decodeAnswers(block(BLOCKS.answers), 600);
    expect([...columns.chrf.subarray(0, 3)]).toEqual([Number.NaN, 37, 74]);
    expect([...columns.model.subarray(298, 302)]).toEqual([0, 0, 1, 1]);
  });

  it('bring the reference of a prompt along, once', async () => {
    const long = 'r'.repeat(70_000);
    const list = answers(12, String).map((answer, at) =>
      at === 3 ? answer : { ...answer, reference: at === 4 ? long : `</script>${at}` },
    );
    const { meta, blocks, references } = await packAnswers([modelOf('a', 0, list), modelOf('b', 0, list)]);
    expect(references).toBe(11);
    expect(meta.promptStarts).toEqual([0, 5, 12]);
    const block = unpack(blocks.toString());
    const [first] = JSON.parse(block(BLOCKS.promptTexts(1)).toString()) as PackedPrompt[];
    expect(first).toMatchObject({ text: 'ask 5', reference: '</script>5' });
    const prompts = JSON.parse(block(BLOCKS.promptTexts(0)).toString()) as PackedPrompt[];
    expect(prompts[3]).not.toHaveProperty('reference');
  });

  it('are the same bytes for the same answers', async () => {
    const pack = async () => (await packAnswers([modelOf('a', 0, answers(200, String))])).blocks.toString();
    expect(await pack()).toBe(await pack());
  });

  it('lose nothing of a prompt by what is taken off from all', () => {
    const part = fc.string({
      unit: fc.constantFrom('<', '>', '[', ']', '\n', 'a', 'b', 'é', '😀'),
      maxLength: 12,
    });
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), part, part, (middles, head, tail) => {
        const prompts = middles.map((middle) => `${head}${middle}${tail}`);
        const { before, after } = frameOf(prompts);
        for (const prompt of prompts) {
          expect(prompt.length).toBeGreaterThanOrEqual(before.length + after.length);
          expect(prompt.startsWith(before) && prompt.endsWith(after)).toBe(true);
        }
      }),
    );
    expect(frameOf(['<u>\nSay one<e>', '<u>\nSay two<e>'])).toEqual({ before: '<u>\n', after: '<e>' });
    expect(frameOf(['one question'])).toEqual({ before: '', after: '' });
  });
});

describe('filters of answers', () => {
  const lists = [answers(120, String), answers(120, (at) => String(at)).reverse(), answers(60, String)];
  const arms = ['base', 'tuned', 'tuned'];
  const seeds = [undefined, 0, 1];
  const table = async (verdicts: Parameters<typeof packAnswers>[1] = {}) => {
    const models = lists.map((list, at) => modelOf(arms[at]!, seeds[at], list));
    const { meta, blocks } = await packAnswers(models, verdicts);
    const block = unpack(blocks.toString());
    const languages = block(BLOCKS.prompts);
    const said = block(BLOCKS.verdicts);
    return answerTable({
      meta: JSON.parse(JSON.stringify(meta)) as AnswersMeta,
      answers: decodeAnswers(block(BLOCKS.answers), meta.answers),
      promptLanguages: new Uint16Array(new Uint8Array(languages).buffer),
      verdicts: meta.verdicts.map((_, at) => new Uint8Array(said.subarray(at * 120, (at + 1) * 120))),
    });
  };
  const ask = async (filter: Partial<AnswerFilter>) =>
    selectAnswers(await table(), { ...NO_FILTER, ...filter }, undefined);

  it('ask what they say', async () => {
    expect(await ask({})).toMatchObject({ answers: 300, tally: undefined });
    const of = (list: readonly StoredAnswer[], test: (answer: StoredAnswer) => boolean) =>
      list.filter(test).length;
    const wrong = (answer: StoredAnswer) => answer.measures.languageMatch === 0;
    expect((await ask({ answered: 'wrong' })).answers).toBe(of(lists.flat(), wrong));
    expect((await ask({ answered: 'wrong', lang: 'ar', seed: '1' })).answers).toBe(
      of([...lists[0]!, ...lists[2]!], (answer) => wrong(answer) && answer.lang === 'ar'),
    );
    expect((await ask({ answered: 'undecided', model: 'base' })).answers).toBe(30);
    expect((await ask({ answered: 'in:fi', model: 'base' })).answers).toBe(
      of(lists[0]!, ({ answerLang }) => answerLang === 'fi'),
    );
    expect((await ask({ lang: 'xx' })).answers).toBe(0);
    expect((await ask({ seed: '1', model: 'tuned' })).prompts).toHaveLength(60);
    expect((await ask({ verdict: 'A' })).answers).toBe(0);
  });

  it('have the words that were looked for', async () => {
    const words = new Uint8Array(300);
    words[17] = 1;
    const found = selectAnswers(await table(), NO_FILTER, words);
    expect([...found.found.keys()].filter((at) => found.found[at] === 1)).toEqual([17]);
  });

  it('judge by chrF and languages as the tables do', async () => {
    const { tally } = await ask({ model: 'tuned', beside: 'base', seed: '0' });
    const expected = { A: 0, tie: 0, B: 0, none: 0 };
    const base = new Map(lists[0]!.map((answer) => [answer.id, answer]));
    for (const answer of lists[1]!) {
      const points = pointsOf(answer, base.get(answer.id)!, { judge: 'chrf', gated: true });
      expected[points === undefined ? 'none' : points === 100 ? 'A' : points === 0 ? 'B' : 'tie'] += 1;
    }
    expect(expected.none).toBeGreaterThan(0);
    expect(tally).toEqual(expected);
    const worse = await ask({ model: 'tuned', beside: 'base', seed: '0', verdict: 'none' });
    expect(worse.answers).toBe(expected.none);
  });

  it('take a judge’s word from either side', async () => {
    const verdicts = new Map([
      [promptKey('i1', 'ar'), 1],
      [promptKey('i2', 'fi'), 2],
      [promptKey('i3', 'en'), 4],
    ]);
    const judged = [{ judge: 'j', protocol: 'tie', a: 0, b: 1, verdicts }];
    const made = await table({ judged });
    expect(made.meta.verdicts).toEqual([{ judge: 'j', protocol: 'tie', a: 0, b: 1, invalid: 1 }]);
    const say = verdictOf(made, { judge: 'j (tie)' });
    expect([say(1, 0, 1), say(1, 1, 0), say(2, 1, 0), say(3, 0, 1), say(1, 0, 2)]).toEqual([
      'A',
      'B',
      'tie',
      'none',
      'none',
    ]);
  });

  it('stand in an address', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 10 });
    const record = Object.fromEntries(Object.keys(NO_FILTER).map((name) => [name, text])) as Record<
      keyof AnswerFilter,
      typeof text
    >;
    fc.assert(
      fc.property(fc.record(record), fc.integer({ min: 1, max: 1000 }), (filter, page) => {
        expect(readPlace(placeFragment(filter, page))).toEqual({ filter, page });
      }),
    );
    expect(readPlace('#at=0123456789ab')).toEqual({ prompt: '0123456789ab' });
    for (const other of ['', '#tables', '#at=x', '#answers?page=-1', '#answers?page=1e99'])
      expect(readPlace(other)).toEqual({ filter: NO_FILTER, page: 1 });
  });
});

describe('the page', () => {
  const hostile = '</script><script>alert(1)</script>"><img src=x onerror=1>';

  it('has every name, caption and warning as text, and the same bytes each time', async () => {
    const odd = {
      ...results,
      experiment: hostile,
      question: hostile,
      warnings: [hostile, '[x](javascript:alert(1)) `<b>`'],
      tables: results.tables.map((table) => ({ ...table, title: hostile, caption: hostile })),
      provenance: {
        ...results.provenance,
        machine: hostile,
        jobs: { [hostile]: { '0': { train: hostile } } },
      },
    };
    const models = [
      modelOf(
        'base',
        undefined,
        answers(30, () => hostile),
      ),
      modelOf(
        hostile,
        0,
        answers(30, () => AWKWARD),
      ),
    ];
    const render = async () => {
      const jobs = { a: { '0': { sample: models[0]!.job } }, b: { '0': { sample: models[1]!.job } } };
      const whole = { ...odd, provenance: { ...odd.provenance, jobs: { ...odd.provenance.jobs, ...jobs } } };
      return (await renderReport(whole, { answers: { models, of: 3 } })).get('report.html') as string;
    };
    const page = await render();
    expect(await render()).toBe(page);
    expect(page).not.toContain('<script>alert');
    expect(page).not.toContain('<img src=x');
    expect(page).not.toMatch(/href="javascript/);
    expect(page.match(/<script(?: type="application\/octet-stream\+deflate" id="[\w-]+")?>/g)!.length).toBe(
      page.match(/<script/g)!.length,
    );
    expect(page).toContain('1 of 3 models is not finished and left out.');
  });

  it('shows grey cells by more than a colour', async () => {
    const page = (await renderReport(results)).get('report.html') as string;
    expect(page).toMatch(
      /<td class="number grey">50\.0<span aria-hidden="true">†<\/span><span class="unseen"> not to be relied upon/,
    );
    for (const hash of ['a', 'b', 'c'].map((letter) => letter.repeat(64))) expect(page).toContain(hash);
    expect(page).not.toContain('id="answers"');
  });

  it('makes marks of Markdown elements, and nothing else', () => {
    const of = (text: string): string => inlineMarkdown(text).toString();
    expect(of('a `<b>` **c *d* e** [e](tables/x.md) [f](https://g.h) \\*')).toBe(
      'a <code>&lt;b&gt;</code> <strong>c <em>d</em> e</strong> <a href="tables/x.md">e</a> <a href="https://g.h">f</a> *',
    );
    expect(of('2 * 3 * 4 a_b_c')).toBe('2 * 3 * 4 a_b_c');
    expect(of('[x](javascript:y)')).toBe('x (javascript:y)');
    expect(of('`a`'.repeat(20_000)).length).toBe('<code>a</code>'.length * 20_000);
  });
});

describe('a store that is being written', () => {
  let store: string;
  beforeAll(async () => {
    store = await simulateStore(join(folder, 'store'), { library, items: 4, unfinished: 1 });
  });

  it('gives the answers that are there, unmeasured ones among them', async () => {
    const { models, of } = await storedAnswers(store, 'simulated');
    expect([models.length, of]).toEqual([5, 5]);
    expect(models.map(({ arm, seed }) => [arm, seed])[0]).toEqual(['base', undefined]);
    const last = [];
    for await (const answer of models.at(-1)!.answers()) last.push(answer);
    expect(last).toHaveLength(32);
    expect(last[0]).toMatchObject({ id: 'item-00000.en', lang: 'en', measures: {} });
    expect(last.every(({ reference }) => reference !== undefined && reference.length > 3)).toBe(true);
    await expect(storedAnswers(store, 'other')).rejects.toMatchObject({ code: 'STORE_INVALID' });
  });

  it('has no references where the experiment was run before they were kept, and names a damaged line of them', async () => {
    const file = join(store, 'experiments/simulated/references.jsonl');
    const whole = readFileSync(file, 'utf8');
    const first = async () => {
      const { models } = await storedAnswers(store, 'simulated');
      return (await models[0]!.answers().next()).value as StoredAnswer;
    };
    rmSync(file);
    expect(await first()).not.toHaveProperty('reference');
    writeFileSync(file, `${whole}{"id":"x","lang":"en"}\n`);
    await expect(first()).rejects.toMatchObject({
      code: 'STORE_INVALID',
      message: expect.stringMatching(/references\.jsonl:33: reference.* Run the experiment/),
    });
    writeFileSync(file, whole);
  });

  it('names a damaged line', async () => {
    const { models } = await storedAnswers(store, 'simulated');
    const file = join(store, 'jobs', models[1]!.job, 'answers.jsonl');
    const whole = readFileSync(file, 'utf8');
    writeFileSync(file, whole.replace('"response":"', '"response":7,"x":"'));
    const read = async () => {
      for await (const _ of models[1]!.answers());
    };
    await expect(read()).rejects.toMatchObject({
      code: 'STORE_INVALID',
      message: expect.stringContaining('answers.jsonl:1: '),
    });
    writeFileSync(file, whole);
  });

  it('tells of trainings as they go on, also when they begin again', async () => {
    const place = await simulateStore(join(folder, 'training'), { library, items: 1 });
    const graph = JSON.parse(readFileSync(join(place, 'experiments/simulated/graph.json'), 'utf8'));
    const job = graph.models[1].jobs.train as string;
    const follower = new TrainingFollower(place, 'simulated');
    const [done] = await follower.read();
    expect(done).toMatchObject({ models: ['pinch-0'], state: 'finished', step: 60 });
    rmSync(join(place, 'jobs', job), { recursive: true });
    const run = join(place, 'jobs', `${job}.part`, 'run');
    const events = join(run, 'events.jsonl');
    const step = (at: number, loss: number): string =>
      `${JSON.stringify({ type: 'step', step: at, loss, tokensPerSecond: 10 * at })}\n`;
    const now = async () => (await follower.read())[0]!;
    expect(await now()).toMatchObject({ state: 'waiting' });
    mkdirSync(run, { recursive: true });
    writeFileSync(events, `${step(1, 3)}${step(2, 2)}{"type":"ev`);
    expect(await now()).toMatchObject({ state: 'begun', step: 2, loss: 2.5, tokensPerSecond: 15 });
    appendFileSync(events, `al","step":2,"loss":1.5}\n${step(3, 1)}`);
    expect(await now()).toMatchObject({ step: 3, loss: 2, dev: [{ step: 2, loss: 1.5 }] });
    writeFileSync(`${events}.new`, `${step(1, 3)}${step(2, 2)}${step(3, 1)}${step(4, 1)}${step(5, 1)}`);
    renameSync(`${events}.new`, events);
    expect(await now()).toMatchObject({ step: 5, losses: expect.objectContaining({ length: 5 }), dev: [] });
  });
});

describe('texts for a terminal', () => {
  it('have no control characters', () => {
    expect(printable('a\u001b[2J\r\nb\u009b\u202ec')).toBe('a\\u{1b}[2J\\u{d}\\u{a}b\\u{9b}\\u{202e}c');
    const status = {
      name: 'x\u001b]0;title\u0007',
      total: 2,
      finished: 1,
      secondsTaken: 1,
      secondsLeft: 65,
      now: { alive: true, kind: 'train', fraction: 0.5, detail: 'loss\u001b[31m' },
    } as unknown as ExperimentStatus;
    expect(statusLine(status, [])).toBe(
      'x\\u{1b}]0;title\\u{7}: 1/2 jobs; now: train 50 %  loss\\u{1b}[31m; 0:01 of work done, about 1:05 left',
    );
  });

  it('draw curves from low to high', () => {
    expect(curveOf([1])).toBe('');
    expect(curveOf([3, Number.NaN, 2, 1])).toBe('█▅▁');
    expect(curveOf([5, 5])).toBe('▁▁');
    expect(curveOf(Array.from({ length: 500 }, (_, at) => at))).toHaveLength(24);
  });
});

describe('tables of judges', () => {
  const line = (lang: string, order: 'AB' | 'BA', verdict: 'A' | 'B' | null) => ({
    ...{
      judge: 'local:m',
      protocol: 'forced' as const,
      a: 'x',
      b: 'y',
      id: `i.${lang}`,
      item: 'i',
      lang,
      sample: 0,
    },
    ...{ order, verdict, wording: 'abcdef01', at: '2026-01-01T00:00:00Z' },
  });
  const lines = [line('en', 'AB', 'A'), line('en', 'BA', 'A'), line('fi', 'AB', 'A'), line('fi', 'BA', null)];
  const qualification = (lang: string, qualified: boolean) => ({
    ...{ judge: 'local:m', protocol: 'forced' as const, wording: 'abcdef01', lang, pairs: 40, outOfForm: 1 },
    ...{ byKind: {}, qualified, at: '2026-01-01T00:00:00Z' },
    accuracy: { value: 0.9, low: 0.8, high: 0.95, n: 40 },
  });

  it('are grey where a judge has not qualified in a language of the row', () => {
    const scoreOf = (qualifications: Parameters<typeof judgeTables>[1]) =>
      judgeTables(lines, qualifications)[0]!.rows[0]!;
    expect(scoreOf([])).toMatchObject({
      a: 'x',
      languages: 'en, fi',
      leftOut: '1',
      score: { value: 100, grey: true },
    });
    expect(scoreOf([qualification('en', true), qualification('fi', false)]).score).toMatchObject({
      grey: true,
    });
    expect(scoreOf([qualification('en', true), qualification('fi', true)]).score).not.toHaveProperty('grey');
  });

  it('take a person at one order, and at the last word', () => {
    const people = [line('en', 'AB', 'B'), line('en', 'AB', 'A'), line('fi', 'BA', 'B')].map((each) => ({
      ...each,
      judge: 'person:Eve',
    }));
    const [row] = judgeTables(lastWords(people), [])[0]!.rows;
    expect(row).toMatchObject({ score: { value: 50 }, verdicts: '1 / 0 / 1', leftOut: '0' });
    expect(row!.score).not.toHaveProperty('grey');
    const models = [
      { arm: 'x', seed: 0 },
      { arm: 'y', seed: 0 },
    ];
    const [pair] = judgedPairs(models, lastWords(people)).pairs;
    expect([...pair!.verdicts.values()].map((at) => PAIR_VERDICTS[at])).toEqual(['A', 'B']);
  });

  it('have each judge’s planted pairs', () => {
    const [, table] = judgeTables(lines, [qualification('fi', false)]);
    expect(table!.rows[0]).toMatchObject({
      language: 'Finnish (fi)',
      qualified: 'no',
      accuracy: { value: 90, low: 80, high: 95, n: 40, grey: true },
      consistency: null,
    });
    expect(judgeTables([], [])).toEqual([]);
  });
});
