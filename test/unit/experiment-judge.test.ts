// Judges inside experiments, against an endpoint that answers, fails and changes as it is told: who is asked what, that nothing is
// paid twice, that what is missing is said, and what enters the tables.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type StoredAnswers, storedAnswers } from '../../lib/experiment/answers';
import { collectResults } from '../../lib/experiment/collect';
import { Experiment } from '../../lib/experiment/experiment';
import type { ExperimentResults } from '../../lib/experiment/results';
import { resolveExperiment } from '../../lib/experiment/spec';
import { experimentStatus } from '../../lib/experiment/status';
import { query } from '../../lib/experiment/store/read-model';
import { renderReport } from '../../lib/report/write-report';
import { smallExperiment } from '../support/experiment';
import {
  type FakeAnswer,
  type FakeCall,
  type FakeEndpoint,
  preferring,
  shownIn,
  startEndpoint,
} from '../support/fake-endpoint';
import { roomyModel, scratch } from '../support/fixtures';

const folder = scratch();
const ITEMS = 3;
const LANGUAGES = ['en', 'fi'];
/** Of one arm against the other: two orders of each prompt, identical answers among them. */
const VERDICTS = 2 * ITEMS * LANGUAGES.length;
/** Four kinds of each item and language, both orders. */
const PLANTED = 2 * 4 * ITEMS * LANGUAGES.length;

let endpoint: FakeEndpoint;
/** Prefers references, knows them by their form, and else the longer text: the same in both orders. */
const knowing = preferring((a, b) => (rank(a) > rank(b) ? 'A' : 'B'));
const rank = (text: string): number =>
  /^(the number|luku) \d+$/.test(text) ? 1e6 - text.length : text.length;
const right = (call: FakeCall): FakeAnswer => {
  const shown = shownIn(call.prompt);
  const wanted = shown.REQUEST!.startsWith('Say') ? /^the number \d+$/ : /^luku \d+$/;
  const number = /\d+$/.exec(shown.REQUEST!)![0];
  const isReference = (text: string): boolean => wanted.test(text) && text.endsWith(` ${number}`);
  const [a, b] = [shown['ANSWER A']!, shown['ANSWER B']!];
  if (isReference(a) || isReference(b)) return { text: `Verdict: ${isReference(a) ? 'A' : 'B'}` };
  return knowing(call);
};

beforeAll(async () => {
  endpoint = await startEndpoint(right);
});
afterAll(() => endpoint.stop());
beforeEach(() => {
  endpoint.answer = right;
  endpoint.calls.length = 0;
  vi.stubEnv('MLIT_JUDGE_API_KEY', '');
  vi.stubEnv('OPENAI_API_KEY', '');
});
afterEach(() => vi.unstubAllEnvs());

const judge = (more: object = {}) => ({ name: `openai:gpt-x@${endpoint.url}`, concurrency: 1, ...more });
const store = join(folder, 'runs');
const input = (overrides: object = {}) =>
  smallExperiment(folder, {
    store,
    languages: LANGUAGES,
    evalLanguages: LANGUAGES,
    evalItems: ITEMS,
    ticks: [0, 50],
    base: false,
    train: { learningRate: 0.05, steps: 4, batchExamples: 4, rank: 2 },
    sample: { maxNewTokens: 8, temperature: 1 },
    judge: judge(),
    ...overrides,
  } as never);

/** Runs it and says how it ended. */
async function run(
  overrides: object = {},
  signal?: AbortSignal,
): Promise<{ code?: string; message: string }> {
  await using experiment = await Experiment.open(input(overrides), {}, { signal });
  try {
    await experiment.run();
    return { message: '' };
  } catch (error) {
    return error as { code?: string; message: string };
  }
}

/** Takes back what was judged, and nothing else. */
function forget(): void {
  rmSync(join(store, 'verdicts'), { recursive: true, force: true });
  for (const line of existsSync(join(store, 'jobs.jsonl'))
    ? readFileSync(join(store, 'jobs.jsonl'), 'utf8').trim().split('\n')
    : []) {
    const { hash, kind } = JSON.parse(line) as { hash: string; kind: string };
    if (kind === 'judge') rmSync(join(store, 'jobs', hash), { recursive: true, force: true });
  }
}
/** Verdicts that somebody was asked for. */
const questions = ({ verdicts = [] }: Pick<StoredAnswers, 'verdicts'>): number =>
  verdicts.filter(({ identical }) => !identical).length;
const tableOf = (results: ExperimentResults, id: string) => results.tables.find((table) => table.id === id);

describe('judges of an experiment', () => {
  it('judge every arm against the opponent, and are in the tables, the page and the status', async () => {
    expect(await run()).toEqual({ message: '' });
    const answers = await storedAnswers(store, 'small');
    expect(answers.verdicts).toHaveLength(VERDICTS);
    expect(answers.verdicts!.find(({ identical }) => !identical)).toMatchObject({
      ...{ a: 'pinch-50', b: 'pinch-0', model: 'gpt-x' },
    });
    const asked = questions(answers);
    expect(asked).toBeGreaterThan(4);
    expect(endpoint.calls).toHaveLength(PLANTED + asked);
    const results = await collectResults(store, 'small');
    const score = tableOf(results, 'score-against-hub-judge')!;
    const host = new URL(endpoint.url).host;
    expect(score.title).toBe(`S against English, by openai:gpt-x@${host}`);
    expect(score.rows).toHaveLength(1);
    expect(score.rows[0]).toMatchObject({ arm: 'P = 50 %', en: { n: ITEMS }, fi: { n: ITEMS } });
    expect(score.rows[0]!.mean).not.toHaveProperty('grey');
    expect(tableOf(results, 'score-against-hub-judge-pairs')!.rows[0]).toMatchObject({
      score: { n: ITEMS * LANGUAGES.length },
      leftOut: '0',
      consistency: `100.0 % of ${asked / 2}`,
    });
    // A qualified judge comes first: figures and the summary show it.
    expect(tableOf(results, 'summary')!.caption).toContain('by openai:gpt-x');
    expect(results.warnings.join()).not.toContain('gpt-x');
    const files = await renderReport(results, { answers });
    expect(files.get('report.html')).toContain(`<option value="openai:gpt-x@${host} (forced)">`);
    expect(files.get('tables/judge-qualifications.csv')).toMatch(/English \(en\),100,/);
    const asRows = `SELECT a, b, count(*) AS n, count(*) FILTER (identical) AS same
      FROM judgements JOIN verdicts ON job = judge_job GROUP BY ALL`;
    expect((await query(store, asRows)).rows).toEqual([
      ['pinch-50', 'pinch-0', String(VERDICTS), String(VERDICTS - asked)].map((each, at) =>
        at < 2 ? each : Number(each),
      ),
    ]);
    const costs = await query(store, "SELECT jobs FROM costs WHERE kind = 'judge'");
    expect(costs.rows).toEqual([[1]]);
    const [status] = await experimentStatus(store);
    expect(status!.jobs.judge).toEqual({ total: 1, finished: 1 });
  });

  it('ask nothing again: not in the same experiment, not in another of the store', async () => {
    await run();
    endpoint.calls.length = 0;
    expect(await run()).toEqual({ message: '' });
    expect(await run({ name: 'other', judge: [judge({ maxCalls: 1 })] })).toEqual({ message: '' });
    forget();
    // The job is another where fewer items are evaluated; its questions are not.
    await run();
    const paid = endpoint.calls.length;
    expect(await run({ name: 'two', ticks: [0, 50, 100] })).toEqual({ message: '' });
    const { verdicts = [] } = await storedAnswers(store, 'two');
    const fresh = verdicts.filter(({ a, identical }) => a === 'pinch-100' && !identical).length;
    expect(fresh).toBeGreaterThan(0);
    expect(endpoint.calls).toHaveLength(paid + fresh);
  });

  it('stop at a budget with all else finished, say what is missing, and go on', async () => {
    await run();
    forget();
    endpoint.calls.length = 0;
    for (const [budget, calls] of [
      [{ maxCalls: 7 }, 7],
      [{ maxTokens: 1000 }, 10],
    ] as const) {
      const before = endpoint.calls.length;
      const { code, message } = await run({ judge: judge(budget) });
      expect(code).toBe('JUDGE_LIMIT');
      expect(message).toMatch(
        /^1 judgement is missing; judge of pinch-50 against pinch-0 in en, fi by openai:gpt-x@\S+: stopped at max\w+ \(\d+ (calls|tokens)\): \d+ questions are not answered\. .*same command goes on$/,
      );
      expect(endpoint.calls.length - before).toBe(calls);
    }
    const results = await collectResults(store, 'small');
    expect(tableOf(results, 'score-against-hub-judge')).toBeUndefined();
    expect(tableOf(results, 'score-against-hub-chrf')).toBeDefined();
    expect(results.warnings.join()).toContain('1 of 1 judgements are not finished');
    expect(await run()).toEqual({ message: '' });
    expect(endpoint.calls).toHaveLength(PLANTED + questions(await storedAnswers(store, 'small')));
  });

  it('that refuse to be asked keep nobody from finishing, and are asked no more', async () => {
    forget();
    endpoint.answer = () => ({ status: 401 });
    const bad = { ...judge(), name: `openai:bad@${endpoint.url}` };
    const good = { ...judge(), name: `openai:good@${endpoint.url}` };
    endpoint.answer = (call) => (call.body.model === 'bad' ? { status: 401 } : right(call));
    const { code, message } = await run({ name: 'two', ticks: [0, 50, 100], judge: [bad, good] });
    expect(code).toBe('JUDGE_FAILED');
    expect(message).toMatch(/^2 judgements are missing; judge of pinch-50 .* refuses to be asked/);
    expect(endpoint.calls.filter(({ body }) => body.model === 'bad')).toHaveLength(1);
    const results = await collectResults(store, 'two');
    expect(tableOf(results, 'score-against-hub-judge')).toBeUndefined();
    expect(tableOf(results, 'score-against-hub-judge-2')!.rows).toHaveLength(2);
  });

  it('leave a question open that was not answered, and ask it again', async () => {
    forget();
    endpoint.answer = (call) =>
      call.number === 3 ? { status: 400, error: { message: 'too\u001b[2J long' } } : right(call);
    const { code, message } = await run();
    expect(code).toBe('JUDGE_FAILED');
    expect(message).toMatch(/1 questions were not answered: HTTP 400 too\\u\{1b\}\[2J long/);
    const before = endpoint.calls.length;
    expect(await run()).toEqual({ message: '' });
    expect(endpoint.calls).toHaveLength(before + 1);
  });

  it('go on after a signal without asking again', async () => {
    forget();
    const stop = new AbortController();
    endpoint.answer = (call) => {
      if (call.number === 6) stop.abort(new Error('stopped'));
      return right(call);
    };
    expect((await run({}, stop.signal)).message).toBe('stopped');
    endpoint.answer = right;
    expect(await run()).toEqual({ message: '' });
    const asked = questions(await storedAnswers(store, 'small'));
    expect(endpoint.calls).toHaveLength(PLANTED + asked);
  });

  it('that never answer in form tie nothing: left out, counted, and grey', async () => {
    forget();
    endpoint.answer = () => ({ text: 'Both are `fine` <b>' });
    expect(await run()).toEqual({ message: '' });
    const results = await collectResults(store, 'small');
    // No cell has a pair but those of identical answers.
    const asked = questions(await storedAnswers(store, 'small'));
    const [row] = tableOf(results, 'score-against-hub-judge-pairs')?.rows ?? [];
    if (row !== undefined) expect(row).toMatchObject({ leftOut: String(asked / 2) });
    expect(results.warnings.join('\n')).toMatch(
      new RegExp(
        `\`openai:gpt-x@\\S+\`: ${asked} of ${asked} answers were out of form \\(\`no verdict on the last line\` ${asked}\\), which is no tie: ${asked / 2} pairs are left out`,
      ),
    );
    expect(results.warnings.join('\n')).toContain(
      'did not qualify on planted pairs in English (en), Finnish (fi)',
    );
    expect(tableOf(results, 'summary')!.caption).toContain('by chrF');
  });

  it('that go by the place of an answer do not qualify, and their model is told where it changes', async () => {
    forget();
    endpoint.answer = ({ number }) => ({ text: 'Verdict: A', model: number % 2 ? 'one`' : 'two' });
    expect(await run()).toEqual({ message: '' });
    const results = await collectResults(store, 'small');
    const [row] = tableOf(results, 'score-against-hub-judge')!.rows;
    expect(row).toMatchObject({
      en: { value: 50, grey: true },
      fi: { value: 50, grey: true },
      mean: { grey: true },
    });
    expect(tableOf(results, 'score-against-hub-judge-pairs')!.rows[0]).toMatchObject({
      ...{ score: { value: 50, grey: true }, bounds: '50.0 to 50.0' },
      consistency: expect.stringMatching(/^0\.0 % of/),
    });
    const warnings = results.warnings.join('\n');
    expect(warnings).toMatch(/answered as `(one'|two)` \d+, `(one'|two)` \d+: verdicts of several models/);
    expect(warnings).toContain('gave the same verdict in both orders in 0 % of the pairs');
    const files = await renderReport(results, { answers: await storedAnswers(store, 'small') });
    expect(files.get('tables/judge-qualifications.csv')).toMatch(/Finnish \(fi\),50,/);
  });

  it('compare each language with its own monolingual model, seed by seed: that is IF', async () => {
    const { graph } = (
      await Experiment.open(
        input({ protocol: 'monolingual', against: 'monolingual', seeds: 2, base: true, ticks: undefined }),
      )
    ).prepared;
    expect(graph.judgements.map(({ a, b, seed, languages }) => [a, b, seed, ...languages])).toEqual([
      ['base', 'mono-en', 0, 'en'],
      ['base', 'mono-fi', 0, 'fi'],
      ['mono-en', 'mono-fi', 0, 'fi'],
      ['mono-fi', 'mono-en', 0, 'en'],
      ['base', 'mono-en', 1, 'en'],
      ['base', 'mono-fi', 1, 'fi'],
      ['mono-en', 'mono-fi', 1, 'fi'],
      ['mono-fi', 'mono-en', 1, 'en'],
    ]);
    expect(graph.models.flatMap(({ jobs }) => Object.keys(jobs))).not.toContain('judge');
  });

  it('change no other job’s name, nor do their budgets change their own', async () => {
    const jobsOf = async (overrides: object): Promise<string[]> => {
      await using experiment = await Experiment.open(input(overrides));
      return [...experiment.prepared.graph.jobs.keys()].sort();
    };
    const without = await jobsOf({ judge: undefined });
    const judged = await jobsOf({});
    expect(judged).toHaveLength(without.length + 1);
    expect(judged).toEqual(expect.arrayContaining(without));
    expect(await jobsOf({ judge: judge({ maxCalls: 1, maxTokens: 1, concurrency: 3 }) })).toEqual(judged);
    expect(await jobsOf({ judge: judge({ protocol: 'tie' }) })).not.toEqual(judged);
    expect(await jobsOf({ judge: judge({ maxNewTokens: 100 }) })).not.toEqual(judged);
  });

  it('are told in the plan: calls at most', async () => {
    forget();
    await using experiment = await Experiment.open(input());
    const plan = await experiment.plan();
    expect(plan.judgeCalls).toBe(PLANTED + VERDICTS);
    expect(plan.jobs.judge).toMatchObject({ total: 1, todo: 1 });
    expect(endpoint.calls).toHaveLength(0);
  });

  it('are models that the file names rightly', () => {
    const refused = (more: object): string => {
      try {
        resolveExperiment({ ...input(), ...more });
        return '';
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(refused({ judge: 'chrf' })).toContain(
      "'chrf' is a program, whose scores stand in every experiment's tables",
    );
    expect(refused({ judge: 'opnai:x' })).toContain("did you mean 'openai:'");
    expect(refused({ judge: 'openai:m@http://user:secret@h/v1' })).not.toContain('secret');
    expect(refused({ judge: ['local:m', 'local:m'] })).toContain("'local:m' is there twice");
    expect(refused({ judge: { name: 'local:m', maxCals: 1 } })).toContain('maxCals');
    expect(refused({ judge: 'local:m', against: 'none' })).toContain(
      "judge: answers are judged beside those of what 'against' names",
    );
    expect(refused({ judge: [{ name: 'local:m' }, { name: 'local:m', protocol: 'tie' }] })).toBe('');
  });

  it('may be a local model', async () => {
    const model = roomyModel('gemma3-tiny');
    expect(await run({ judge: `local:${model}` })).toEqual({ message: '' });
    expect(endpoint.calls).toHaveLength(0);
    const results = await collectResults(store, 'small');
    const table = tableOf(results, 'score-against-hub-judge')!;
    expect(table.title).toMatch(/^S against English, by local:[\w-]+$/);
    expect(table.title).not.toContain('/');
    expect(table.rows[0]).toMatchObject({ en: { n: ITEMS }, mean: { grey: true } });
  });
});
