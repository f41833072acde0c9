// Answers rated one by one: means with intervals, nothing asked twice, and a rating out of form is none.
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Example } from '../../lib/data/example';
import { OpenAIRater } from '../../lib/eval/judges/openai-rater';
import { type RateAnswersOptions, rateAnswers } from '../../lib/eval/judges/rate';
import { openRatings, type RatingFile, readRatings } from '../../lib/eval/verdicts';
import { type FakeEndpoint, startEndpoint } from '../support/fake-endpoint';
import { scratch } from '../support/fixtures';

const folder = scratch();
let endpoint: FakeEndpoint;
beforeEach(async () => {
  vi.stubEnv('MLIT_JUDGE_API_KEY', '');
  vi.stubEnv('OPENAI_API_KEY', '');
  endpoint = await startEndpoint(({ prompt }) => ({
    text: prompt.includes('Ask 0') ? 'Good.\nRating: 5' : 'Rating: 2',
  }));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await endpoint.stop();
});

const prompts: Example[] = [0, 1, 2].flatMap((at) =>
  ['en', 'fi'].map((lang) => ({
    id: `${lang}-${at}`,
    lang,
    parallelId: `p${at}`,
    turns: [{ role: 'user', content: `${lang}: Ask ${at}` }],
    source: { file: 'x', line: 1 },
  })),
);
const answers = (text: string) =>
  prompts.map(({ id, lang }) => ({ id, lang, sample: 0, response: text, tokens: [], finishReason: '' }));
const rater = () =>
  new OpenAIRater({ model: 'm', url: endpoint.url, rubric: 'helpfulness-1-6', maxRetries: 0 });
const rate = (text: string, more: Partial<RateAnswersOptions> = {}) =>
  rateAnswers(answers(text), { rater: rater(), prompts, resamples: 200, ...more });
const withFile = async <T>(work: (file: RatingFile) => Promise<T>): Promise<T> => {
  await using file = await openRatings(join(folder, 'ratings.jsonl'));
  return await work(file);
};

it('has means by language over items, and asks for no rating twice', async () => {
  const first = await withFile((ratings) => rate('x', { ratings, name: 'one' }));
  expect(first.rated).toMatchObject({ asked: 6, known: 0, unasked: 0, models: { m: 6 } });
  expect(first.rated.byLanguage.fi).toMatchObject({ rated: 3, means: { helpfulness: { value: 3, n: 3 } } });
  const again = await withFile((ratings) => rate('x', { ratings, name: 'one' }));
  expect(again.rated).toMatchObject({ asked: 0, known: 6 });
  const renamed = await withFile((ratings) => rate('x', { ratings, name: 'two' }));
  expect(renamed.rated).toMatchObject({ asked: 0, known: 6 });
  expect(endpoint.calls).toHaveLength(6);
  const lines = await readRatings(join(folder, 'ratings.jsonl'));
  expect(lines.map(({ model }) => model).sort()).toEqual([...Array(6).fill('one'), ...Array(6).fill('two')]);
  expect(lines.reduce((sum, { tokens = 0 }) => sum + tokens, 0)).toBe(600);
  await expect(withFile((ratings) => rate('other', { ratings, name: 'one' }))).rejects.toThrow(
    /ratings\.jsonl:\d+: .* another answer of one/,
  );
});

it('counts what is out of form or not answered, and takes neither for a rating', async () => {
  endpoint.answer = ({ prompt }) =>
    prompt.includes('fi: Ask')
      ? { text: 'Rating: 7' }
      : prompt.includes('Ask 1')
        ? { status: 400 }
        : { text: 'Rating: 6' };
  const { rated, ratings } = await rate('x');
  expect(rated).toMatchObject({ unasked: 1, failed: { 'HTTP 400 no': 1 } });
  expect(rated.byLanguage.fi).toMatchObject({ rated: 0, outOfForm: 3 });
  expect(rated.byLanguage.fi!.means.helpfulness!.value).toBeNaN();
  expect(rated.all.means.helpfulness).toMatchObject({ value: 6, n: 2 });
  expect(ratings.filter(({ rating }) => rating === null)).toHaveLength(3);
});

it('names answers to prompts that are not there, and answers that come twice', async () => {
  await expect(rate('x', { prompts: prompts.slice(1) })).rejects.toThrow(
    /record "en-0", which the prompts do not have/,
  );
  await expect(rateAnswers([...answers('x'), ...answers('x')], { rater: rater(), prompts })).rejects.toThrow(
    /record "en-0" has two answers of sample 0/,
  );
});

it('asks once about samples that are one text, and has a line for each', async () => {
  const twice = answers('x').flatMap((answer) => [answer, { ...answer, sample: 1 }]);
  const file = join(folder, 'samples.jsonl');
  {
    await using ratings = await openRatings(file);
    const { rated } = await rateAnswers(twice, { rater: rater(), prompts, ratings, resamples: 200 });
    expect(rated).toMatchObject({ asked: 12, unasked: 0, all: { rated: 12 } });
  }
  expect(endpoint.calls).toHaveLength(6);
  const lines = await readRatings(file);
  expect(lines.map(({ sample }) => sample).sort()).toEqual([...Array(6).fill(0), ...Array(6).fill(1)]);
  expect(lines.reduce((sum, { tokens = 0 }) => sum + tokens, 0)).toBe(600);
});
