// `mlit serve` as the endpoint of a judge: the whole road of a question over a real server, in front of a tiny model that never
// answers in form.
import { expect, it, vi } from 'vitest';
import { judgePairs } from '../../lib/eval/judges/judge-pairs';
import { OpenAIJudge } from '../../lib/eval/judges/openai-judge';
import { Model, ModelServer } from '../../lib/index';
import { roomyModel } from '../support/fixtures';

const folder = roomyModel('gemma3-tiny');

it('is asked as any endpoint: answers are counted, and out of form', async () => {
  vi.stubEnv('MLIT_JUDGE_API_KEY', '');
  vi.stubEnv('OPENAI_API_KEY', '');
  await using model = await Model.load({ model: folder, threads: 2 });
  await using server = await ModelServer.start({ model, name: 'tiny', port: 0 });
  await using judge = new OpenAIJudge({
    model: 'tiny',
    url: `${server.url}/v1`,
    maxNewTokens: 4,
    maxRetries: 0,
  });
  const pairs = ['r0', 'r1'].map((id) => ({
    ...{ id, item: id, lang: 'en', sample: 0 },
    ...{ turns: [{ role: 'user', content: `${id}?` }], a: 'x', b: 'y' },
  }));
  const { verdicts, failed, outOfForm, models } = await judgePairs(pairs, {
    judge,
    names: { a: 'a', b: 'b' },
  });
  expect(failed).toEqual({});
  expect(verdicts).toHaveLength(4);
  expect(Object.values(outOfForm).reduce((sum, n) => sum + n, 0)).toBe(4);
  expect(models).toEqual({ tiny: 4 });
  expect(judge.spending.tokens).toBeGreaterThan(4 * 100);
  const unknown = new OpenAIJudge({ model: 'gone', url: `${server.url}/v1`, maxRetries: 0 });
  await expect(judgePairs(pairs, { judge: unknown, names: { a: 'a', b: 'b' } })).rejects.toThrow(
    /has no model "gone"/,
  );
  vi.unstubAllEnvs();
});
