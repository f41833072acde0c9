// An endpoint as a judge, with everything that endpoints do: it is asked once for each question, paid once, and what is not an
// answer is never taken for one.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type AnswerPair, judgePairs } from '../../lib/eval/judges/judge-pairs';
import { VerdictMemory } from '../../lib/eval/judges/memory';
import { OpenAIJudge, type OpenAIJudgeOptions } from '../../lib/eval/judges/openai-judge';
import { OUT_OF_FORM } from '../../lib/eval/judges/parse';
import { sideBySide } from '../../lib/eval/side-by-side';
import { readVerdicts, verdictPairs } from '../../lib/eval/verdicts';
import { type FakeAnswer, type FakeEndpoint, preferring, startEndpoint } from '../support/fake-endpoint';
import { scratch } from '../support/fixtures';

const folder = scratch();
let endpoint: FakeEndpoint;
const longer = preferring((a, b) => (a.length >= b.length ? 'A' : 'B'));
const verdict = (text: string): FakeAnswer => ({ text });

beforeEach(async () => {
  vi.stubEnv('MLIT_JUDGE_API_KEY', '');
  vi.stubEnv('OPENAI_API_KEY', '');
  endpoint = await startEndpoint(longer);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await endpoint.stop();
});

const open = (more: Partial<OpenAIJudgeOptions> = {}) =>
  new OpenAIJudge({ model: 'm', url: endpoint.url, maxRetries: 0, timeoutMs: 2000, ...more });
const pair = (at: number, a: string, b: string): AnswerPair => ({
  id: `r${at}`,
  item: `p${at}`,
  lang: 'en',
  sample: 0,
  turns: [{ role: 'user', content: `Question ${at}?` }],
  a,
  b,
});
const pairs = (count: number) =>
  Array.from({ length: count }, (_, at) =>
    pair(at, `${'x'.repeat(at % 5)} a`, `${'x'.repeat((at * 3) % 7)} b`),
  );
const judge = (
  these: readonly AnswerPair[],
  more: Partial<OpenAIJudgeOptions> = {},
  memory?: VerdictMemory,
) => judgePairs(these, { judge: open(more), names: { a: 'ours', b: 'theirs' }, memory });
const score = (verdicts: Awaited<ReturnType<typeof judge>>['verdicts']) =>
  sideBySide(verdictPairs({ judge: 'j', a: 'ours', b: 'theirs', verdicts }), { resamples: 10 });

describe('judging', () => {
  it('asks in both orders, and says whose answer was better wherever it stood', async () => {
    const { verdicts, asked } = await judge([pair(0, 'long answer', 'short'), pair(1, 'no', 'yes indeed')]);
    expect(asked).toBe(4);
    expect(verdicts.map(({ id, order, verdict: said }) => [id, order, said])).toEqual([
      ['r0', 'AB', 'A'],
      ['r0', 'BA', 'A'],
      ['r1', 'AB', 'B'],
      ['r1', 'BA', 'B'],
    ]);
    const { host } = new URL(endpoint.url);
    expect(verdicts[0]).toMatchObject({
      judge: `openai:m@${host}`,
      protocol: 'forced',
      a: 'ours',
      b: 'theirs',
    });
    expect(verdicts[0]).toMatchObject({ item: 'p0', lang: 'en', sample: 0, model: 'm', tokens: 100 });
  });

  it('S(A, B) + S(B, A) = 100 and S(X, X) = 50, whatever the judge’s rule', async () => {
    const text = fc.string({ maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 6 }),
        fc.boolean(),
        async (texts, byPlace) => {
          endpoint.answer = byPlace ? preferring((a) => (a.length % 2 ? 'A' : 'B')) : longer;
          const these = texts.map(([a, b], at) => pair(at, a, b));
          const turned = these.map(({ a, b, ...rest }) => ({ ...rest, a: b, b: a }));
          const same = these.map((one) => ({ ...one, b: one.a }));
          const [forward, backward, self] = [await judge(these), await judge(turned), await judge(same)];
          expect(score(forward.verdicts).score.value + score(backward.verdicts).score.value).toBeCloseTo(
            100,
            9,
          );
          expect(score(self.verdicts).score.value).toBe(50);
          expect(self).toMatchObject({ asked: 0, identical: these.length });
        },
      ),
      { numRuns: 15 },
    );
  });

  it('by a judge that always says A ties everything, and has no consistency', async () => {
    endpoint.answer = () => verdict('Verdict: A');
    const { verdicts } = await judge(pairs(6).filter(({ a, b }) => a !== b));
    expect(score(verdicts)).toMatchObject({ wins: 0, losses: 0, positionConsistency: { value: 0 } });
    expect(score(verdicts).score.value).toBe(50);
  });

  it('by one that never answers in form has no score: counted by reason, and no tie', async () => {
    const nonsense = ['Both are fine.', '', 'Verdict: A\nBye!', 'Verdict: tie'];
    endpoint.answer = ({ number }) => verdict(nonsense[number % 4]!);
    const { verdicts, outOfForm } = await judge([pair(0, 'a', 'b'), pair(1, 'c', 'd')], { concurrency: 1 });
    expect(verdicts.map((line) => line.verdict)).toEqual([null, null, null, null]);
    expect(score(verdicts)).toMatchObject({ pairs: 0, leftOut: 2, ties: 0 });
    expect(outOfForm).toEqual({
      [OUT_OF_FORM.empty]: 1,
      [OUT_OF_FORM.noVerdict]: 2,
      [OUT_OF_FORM.tie]: 1,
    });
  });

  it('asks about equal questions once, and not at all about identical texts', async () => {
    const one = pair(0, 'long one', 'no');
    const { verdicts, asked, identical } = await judge([
      one,
      { ...one, sample: 1 },
      { ...one, sample: 2, a: 'no' },
    ]);
    expect(endpoint.calls).toHaveLength(2);
    expect([asked, identical]).toEqual([4, 1]);
    expect(verdicts.map((line) => line.verdict)).toEqual(['A', 'A', 'A', 'A', 'tie', 'tie']);
  });
});

describe('an endpoint', () => {
  it('gets the key of the environment, the judges’ own first, and none where there is none', async () => {
    await judge([pair(0, 'a', 'bb')]);
    vi.stubEnv('OPENAI_API_KEY', 'general');
    await judge([pair(0, 'a', 'bb')]);
    vi.stubEnv('MLIT_JUDGE_API_KEY', 'own');
    await judge([pair(0, 'a', 'bb')]);
    const sent = endpoint.calls.map(({ authorization }) => authorization);
    expect(sent).toEqual([
      undefined,
      undefined,
      'Bearer general',
      'Bearer general',
      'Bearer own',
      'Bearer own',
    ]);
    expect(endpoint.calls[0]!.body).toMatchObject({ model: 'm', temperature: 0, max_tokens: 2048 });
  });

  it('is not asked with a key that is none, and blanks around one are taken off', async () => {
    vi.stubEnv('MLIT_JUDGE_API_KEY', 'sk-SECRET and more');
    expect(() => open()).toThrow(/characters that no key has/);
    expect(() => open()).not.toThrow(/SECRET/);
    vi.stubEnv('MLIT_JUDGE_API_KEY', ' own\n');
    await judge([pair(0, 'a', 'bb')]);
    expect(endpoint.calls[0]!.authorization).toBe('Bearer own');
  });

  it.each<[string, FakeAnswer]>([
    ['429 that says when', { status: 429, headers: { 'retry-after': '0.05' } }],
    ['500', { status: 500, headers: { 'retry-after-ms': '10' } }],
    ['a connection that is cut', 'cut'],
    ['half a body', 'half'],
    ['a page of a proxy', { raw: '<html>busy</html>' }],
  ])('is asked again after %s, and every request is counted', async (_, fault) => {
    endpoint.answer = (call) => (call.number === 1 ? fault : longer(call));
    const asking = open({ maxRetries: 2, concurrency: 1 });
    const { verdicts, failed } = await judgePairs([pair(0, 'a', 'bb')], {
      judge: asking,
      names: { a: 'a', b: 'b' },
    });
    expect(verdicts.map((line) => line.verdict)).toEqual(['B', 'B']);
    expect([failed, asking.spending.calls, endpoint.calls.length]).toEqual([{}, 3, 3]);
  });

  it('that does not answer in time leaves a question unasked, never a tie', async () => {
    endpoint.answer = (call) => (call.prompt.includes('Question 0') ? 'hang' : longer(call));
    const these = [pair(0, 'a', 'bb'), pair(1, 'a', 'bb')];
    const { verdicts, unasked, failed } = await judge(these, { timeoutMs: 80 });
    expect(verdicts.map(({ id }) => id)).toEqual(['r1', 'r1']);
    expect([unasked, failed]).toEqual([2, { 'no answer in time': 2 }]);
  });

  it('whose answers are cut or withheld gives no verdict by them', async () => {
    const reasons = ['length', 'content_filter'];
    endpoint.answer = ({ number }) => ({ text: 'Verdict: A', finishReason: reasons[number % 2]! });
    const { outOfForm } = await judge([pair(0, 'a', 'bb')]);
    expect(outOfForm).toEqual({ [OUT_OF_FORM.cut]: 1, [OUT_OF_FORM.filtered]: 1 });
    endpoint.answer = () => ({ text: null });
    expect((await judge([pair(0, 'a', 'bb')])).outOfForm).toEqual({ [OUT_OF_FORM.empty]: 2 });
  });

  it('that changes its model under way is told of, and each verdict says which it was', async () => {
    endpoint.answer = (call) => ({
      ...(longer(call) as { text: string }),
      model: call.number < 4 ? 'm-old' : 'm-new',
    });
    const notes: string[] = [];
    const { verdicts, models } = await judge(pairs(4).slice(1), {
      concurrency: 1,
      onNote: (note) => notes.push(note),
    });
    expect(models).toEqual({ 'm-old': 3, 'm-new': 3 });
    expect(verdicts.map(({ model }) => model)).toEqual([
      'm-old',
      'm-old',
      'm-old',
      'm-new',
      'm-new',
      'm-new',
    ]);
    expect(notes).toEqual([expect.stringContaining('answered as "m-old" and now as "m-new"')]);
  });

  it('that refuses a parameter by name is asked without it', async () => {
    endpoint.answer = (call) => {
      for (const param of ['temperature', 'max_tokens'])
        if (param in call.body) return { status: 400, error: { param, message: `no ${param}` } };
      return longer(call);
    };
    const notes: string[] = [];
    const { verdicts } = await judge([pair(0, 'a', 'bb')], { onNote: (note) => notes.push(note) });
    expect(verdicts.map((line) => line.verdict)).toEqual(['B', 'B']);
    expect(endpoint.calls.at(-1)!.body).toMatchObject({ max_completion_tokens: 2048 });
    expect(endpoint.calls.at(-1)!.body).not.toHaveProperty('temperature');
    expect(notes).toHaveLength(2);
  });

  it.each<[string, FakeAnswer, RegExp]>([
    [
      'the key',
      { status: 401, error: { message: 'bad key sk-SECRET given' } },
      /refuses to be asked: HTTP 401 bad key \(key\) given/,
    ],
    ['the model', { status: 404 }, /has no model "m" there/],
    ['for want of money', { status: 429, error: { code: 'insufficient_quota' } }, /has no quota left/],
    ['for an hour', { status: 429, headers: { 'retry-after': '3600' } }, /asks to wait 3600 s/],
  ])('that refuses %s ends the work at once, and the key is in no message', async (_, refusal, message) => {
    vi.stubEnv('MLIT_JUDGE_API_KEY', 'sk-SECRET');
    endpoint.answer = () => refusal;
    const judged = judge(pairs(40), { concurrency: 2, maxRetries: 3 });
    await expect(judged).rejects.toMatchObject({
      code: 'JUDGE_FAILED',
      message: expect.stringMatching(message),
    });
    await expect(judged).rejects.not.toThrow(/SECRET/);
    expect(endpoint.calls.length).toBeLessThanOrEqual(2);
  });

  it('that answers nothing many times in a row is given up', async () => {
    endpoint.answer = () => ({ status: 500 });
    await expect(
      judge(
        pairs(40).filter(({ a, b }) => a !== b),
        { concurrency: 4 },
      ),
    ).rejects.toMatchObject({
      code: 'JUDGE_FAILED',
      message: expect.stringMatching(/1\d questions in a row were not answered, the last with: HTTP 500/),
    });
    expect(endpoint.calls.length).toBeLessThan(20);
  });

  it('that says things a terminal would obey is quoted as text', async () => {
    endpoint.answer = () => ({ status: 401, error: { message: 'no\u001b[2J\u202e' } });
    const failure = await judge([pair(0, 'a', 'b')]).catch((error: Error) => error.message);
    expect(failure).not.toMatch(/[\u001b\u202e]/);
  });
});

describe('a budget', () => {
  it('of calls is kept to the call, what is sent again included, and can be gone on from', async () => {
    const path = join(folder, 'budget.jsonl');
    const these = pairs(12).filter(({ a, b }) => a !== b);
    endpoint.answer = (call) =>
      call.number === 2 ? { status: 503, headers: { 'retry-after-ms': '1' } } : longer(call);
    {
      await using memory = await VerdictMemory.open(path, { named: false });
      const asking = open({ maxCalls: 7, maxRetries: 3, concurrency: 3 });
      const { unasked, failed } = await judgePairs(these, {
        judge: asking,
        names: { a: 'a', b: 'b' },
        memory,
      });
      expect(asking.spending).toEqual({ calls: 7, tokens: 600, reached: 'calls' });
      expect([endpoint.calls.length, unasked, failed]).toEqual([7, 2 * these.length - 6, {}]);
    }
    await using memory = await VerdictMemory.open(path, { named: false });
    const { known, asked, unasked } = await judge(these, {}, memory);
    expect([known, asked, unasked]).toEqual([6, 2 * these.length - 6, 0]);
    expect(endpoint.paid()).toBe(2 * these.length);
  });

  it('of tokens stops new questions, and can’t be kept where no usage is told', async () => {
    const asking = open({ maxTokens: 250, concurrency: 1 });
    const { unasked } = await judgePairs(pairs(9), { judge: asking, names: { a: 'a', b: 'b' } });
    expect(asking.spending).toEqual({ calls: 3, tokens: 300, reached: 'tokens' });
    expect(unasked).toBeGreaterThan(0);
    endpoint.answer = () => ({ text: 'Verdict: A', tokens: null });
    await expect(judge([pair(0, 'a', 'b')], { maxTokens: 250 })).rejects.toThrow(/reports no usage/);
    expect((await judge([pair(0, 'a', 'b')])).asked).toBe(2);
  });
});

describe('what was said', () => {
  it('is not asked again, by whatever names, nor the other way round; other texts are', async () => {
    const path = join(folder, 'known.jsonl');
    const these = pairs(8).filter(({ a, b }) => a !== b);
    await using memory = await VerdictMemory.open(path, { named: false });
    const first = await judge(these, {}, memory);
    const calls = endpoint.calls.length;
    const turned = these.map(({ a, b, ...rest }) => ({ ...rest, id: `x${rest.id}`, a: b, b: a }));
    const again = await judgePairs(turned, { judge: open(), names: { a: 'b', b: 'a' }, memory });
    expect([again.asked, endpoint.calls.length]).toEqual([0, calls]);
    expect(score(again.verdicts).score.value).toBeCloseTo(100 - score(first.verdicts).score.value, 9);
    const other = { ...these[0]!, turns: [{ role: 'user', content: 'Another question?' }] };
    expect((await judge([other], {}, memory)).asked).toBe(2);
    expect((await judge(these, { protocol: 'tie' }, memory)).known).toBe(0);
    expect((await judge(these, { model: 'other' }, memory)).known).toBe(0);
  });

  it('under other words is not used, and is counted', async () => {
    const path = join(folder, 'wording.jsonl');
    {
      await using memory = await VerdictMemory.open(path, { named: true });
      await judge([pair(0, 'a', 'bb')], {}, memory);
      const line = (await readVerdicts(path))[0]!;
      await memory.add({ ...line, id: 'r1', wording: 'aaaaaaaaaaaa', key: 'bbbbbbbbbbbb' });
    }
    await using memory = await VerdictMemory.open(path, { named: true });
    expect(memory.ofOtherWordings(open())).toBe(1);
    expect((await judge([pair(1, 'a', 'bb')], {}, memory)).asked).toBe(2);
  });

  it('stands in a named file under every name that it was asked for, and not twice', async () => {
    const path = join(folder, 'named.jsonl');
    const one = pair(0, 'long one', 'no');
    const these = [one, { ...one, sample: 1 }, { ...one, sample: 2, b: one.a }];
    for (let round = 0; round < 2; round += 1) {
      await using memory = await VerdictMemory.open(path, { named: true });
      await judge(these, {}, memory);
      await judgePairs(these, { judge: open(), names: { a: 'ours', b: 'others' }, memory });
    }
    expect(endpoint.calls).toHaveLength(2);
    const lines = await readVerdicts(path);
    expect(lines).toHaveLength(12);
    for (const b of ['theirs', 'others']) {
      const verdicts = lines.filter((line) => line.b === b);
      expect(score(verdicts)).toMatchObject({ wins: 2, ties: 1, losses: 0 });
    }
    expect(lines.reduce((sum, { tokens = 0 }) => sum + tokens, 0)).toBe(200);
  });

  it('on answers that are others by now is refused in a named file, with its line', async () => {
    const path = join(folder, 'changed.jsonl');
    {
      await using memory = await VerdictMemory.open(path, { named: true });
      await judge([pair(0, 'a', 'bb')], {}, memory);
    }
    await using again = await VerdictMemory.open(path, { named: true });
    await expect(judge([pair(0, 'changed', 'bb')], {}, again)).rejects.toMatchObject({
      code: 'DATA_INVALID',
      message: expect.stringMatching(/changed\.jsonl:1: .* other answers of ours and theirs/),
    });
  });

  it('before an abort is kept, also what was under way; what waits for another try is not waited for', async () => {
    const path = join(folder, 'aborted.jsonl');
    const these = pairs(20).filter(({ a, b }) => a !== b);
    const abort = new AbortController();
    const reason = new Error('enough');
    endpoint.answer = async (call) => {
      if (call.number === 2) return { status: 429, headers: { 'retry-after': '30' } };
      if (call.number === 6) abort.abort(reason);
      if (call.number >= 5) await new Promise((resolve) => setTimeout(resolve, 60));
      return longer(call);
    };
    {
      await using memory = await VerdictMemory.open(path, { named: false });
      const judged = judgePairs(these, {
        judge: open({ concurrency: 3, maxRetries: 2 }),
        names: { a: 'a', b: 'b' },
        memory,
        signal: abort.signal,
      });
      await expect(judged).rejects.toBe(reason);
    }
    const paid = endpoint.paid();
    expect(paid).toBeGreaterThanOrEqual(5);
    expect(readFileSync(path, 'utf8').trimEnd().split('\n')).toHaveLength(paid);
    await using memory = await VerdictMemory.open(path, { named: false });
    endpoint.answer = longer;
    const { known, unasked } = await judge(these, {}, memory);
    expect([known, unasked, endpoint.paid()]).toEqual([paid, 0, 2 * these.length]);
  });
});
