// Models as judges from the command line: what is printed, what is paid, and that a run which was killed goes on where it stopped.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { mlit } from '../support/cli';
import {
  type FakeAnswer,
  type FakeCall,
  type FakeEndpoint,
  preferring,
  shownIn,
  startEndpoint,
} from '../support/fake-endpoint';
import { roomyModel, root, scratch } from '../support/fixtures';

const folder = scratch();
const roomy = roomyModel('gemma3-tiny');
const ITEMS = 3;
const TEXTS: Record<string, string> = { en: 'the number', fi: 'tämä luku on' };
const records = Array.from({ length: ITEMS }, (_, at) =>
  Object.entries(TEXTS).map(([lang, text]) => ({
    id: `${lang}-${at}`,
    lang,
    parallel_id: `p${at}`,
    instruction: `${lang}: say ${at}`,
    response: `${text} ${at} ${'z'.repeat(at)}`,
  })),
).flat();
const write = (name: string, lines: readonly object[]): string => {
  writeFileSync(join(folder, name), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  return name;
};
const answers = (name: string, answer: (right: string, at: number) => string) =>
  write(
    name,
    records.map(({ id, lang, response }, at) => ({ id, lang, sample: 0, response: answer(response, at) })),
  );
const references = write('references.jsonl', records);
const good = answers('good.jsonl', (right) => right);
// One of six is the same text: a tie without asking.
const bad = answers('bad.jsonl', (right, at) => (at === 0 ? right : `${at}`));
const rights = new Map(records.map(({ instruction, response }) => [instruction, response]));
/** Knows the references: right in both orders. */
const knowing = preferring((a, _, request) => (a === rights.get(request) ? 'A' : 'B'));
/** Pairs of a comparison that differ, and planted ones: 4 kinds of 3 items in 2 languages, both orders. */
const QUESTIONS = 2 * (2 * ITEMS - 1);
const PLANTED = 2 * 4 * ITEMS * 2;

let endpoint: FakeEndpoint;
let cache: string;
let run = 0;
beforeAll(async () => {
  endpoint = await startEndpoint(knowing);
});
afterAll(() => endpoint.stop());
beforeEach(() => {
  endpoint.answer = knowing;
  endpoint.calls.length = 0;
  cache = join(folder, `cache-${run++}`);
  vi.stubEnv('MLIT_CACHE', cache);
  vi.stubEnv('MLIT_JUDGE_API_KEY', 'sk-SECRET');
});
afterEach(() => vi.unstubAllEnvs());

const judge = () => `openai:gpt-x@${endpoint.url}`;
const args = (...more: string[]) => [
  'compare',
  good,
  bad,
  '--judge',
  judge(),
  '--references',
  references,
  ...more,
];
const compare = (...more: string[]) => mlit(args(...more), { cwd: folder });

describe('mlit compare --judge openai:…', () => {
  it('goes on after a budget, SIGKILL and Ctrl-C, pays for nothing twice, and prints what the judge is worth', async () => {
    const stopAt = (count: number, signal: 'SIGKILL' | 'SIGINT') =>
      new Promise<{ code: number | null; took: number }>((resolve) => {
        const child = spawn(
          process.execPath,
          [join(root, 'bin', 'mlit.mjs'), ...args('--concurrency', '1')],
          { cwd: folder, stdio: 'ignore' },
        );
        let since = 0;
        endpoint.answer = async (call) => {
          if (endpoint.calls.length !== count) return knowing(call);
          since = Date.now();
          child.kill(signal);
          return signal === 'SIGKILL' ? 'hang' : { status: 429, headers: { 'retry-after': '20' } };
        };
        child.on('close', (code) => resolve({ code, took: Date.now() - since }));
      });
    const limited = await compare('--max-calls', '5', '--concurrency', '1');
    expect(limited.code).toBe(1);
    expect(limited.stdout).toMatch(/^all +1 +50\.0† .* 5 /m); // the identical pair alone
    expect(limited.stderr).toMatch(/stopped at --max-calls \(5 calls\): 53 questions .* \[JUDGE_LIMIT\]/);
    await stopAt(9, 'SIGKILL');
    const stopped = await stopAt(20, 'SIGINT');
    expect(stopped.code).toBe(130);
    expect(stopped.took).toBeLessThan(15_000); // not the endpoint's twenty seconds
    endpoint.answer = knowing;
    const { code, stdout, stderr } = await compare();
    expect(code, stderr).toBe(0);
    expect(endpoint.paid()).toBe(QUESTIONS + PLANTED);
    expect(stdout).toContain(`judge: openai:gpt-x@${new URL(endpoint.url).host}, has to choose`);
    expect(stdout).toContain('answered as gpt-x (10)');
    expect(stdout).toMatch(/^en +12 +100\.0 +\d.* 0 +yes$/m);
    expect(stdout).toMatch(/^all +6 +91\.7 .* 5 +1 +0 +0 +100\.0 /m);
    expect(stdout).not.toContain('†');
    expect(stdout).toContain('Identical answers, ties without asking: 1 pairs.');
    const again = await compare('--json');
    expect(endpoint.paid()).toBe(QUESTIONS + PLANTED);
    const { judging, planting, qualifications, all } = JSON.parse(again.stdout);
    expect([judging.asked, judging.known, planting.asked]).toEqual([0, QUESTIONS, 0]);
    expect(qualifications).toHaveLength(2);
    expect(all.score.value).toBeCloseTo((100 * 5.5) / 6);
    expect(endpoint.calls[0]!.authorization).toBe('Bearer sk-SECRET');
    expect(stdout + stderr + again.stdout + again.stderr).not.toContain('SECRET');
    for (const name of readdirSync(cache, { recursive: true, withFileTypes: true }))
      if (name.isFile())
        expect(readFileSync(join(name.parentPath, name.name), 'utf8')).not.toContain('SECRET');
  });

  it('marks the numbers of a judge that does not qualify, and says so', async () => {
    endpoint.answer = () => ({ text: 'Verdict: A' });
    const { code, stdout, stderr } = await compare();
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^fi +12 +50\.0 .* no†$/m);
    expect(stdout).toMatch(/^all +6 +50\.0† .* 0\.0 /m);
    expect(stdout).toContain('† warning: not to be relied upon: the judge did not qualify in en, fi.');
  });

  it('keeps verdicts in a file of the shared form, fails where some are missing, and shows an endpoint’s words as text', async () => {
    endpoint.answer = (call: FakeCall): FakeAnswer =>
      Object.values(shownIn(call.prompt)).includes('5')
        ? { status: 400, error: { message: 'too long\u001b[2J' } }
        : { ...(knowing(call) as { text: string }), model: 'evil\u001b[2J' };
    const { code, stdout, stderr } = await compare(
      '--verdicts',
      'v/verdicts.jsonl',
      '--name-b',
      'b\u001b[2J',
    );
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /2 questions were not answered: HTTP 400 too long\\u\{1b\}\[2J \(2\).*\[JUDGE_FAILED\]/,
    );
    expect(stdout).toContain('answered as evil\\u{1b}[2J (8)');
    expect(stdout + stderr).not.toContain('\u001b[2J');
    const lines = (name: string) =>
      readFileSync(join(folder, 'v', name), 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines('verdicts.jsonl')).toHaveLength(QUESTIONS + 2 - 2);
    expect(lines('verdicts.jsonl')[0]).toMatchObject({ a: 'good', b: 'b\u001b[2J', protocol: 'forced' });
    expect(lines('verdicts.planted.jsonl')).toHaveLength(PLANTED);
    expect(lines('verdicts.qualifications.jsonl').map(({ lang }) => lang)).toEqual(['en', 'fi']);
    expect(existsSync(cache)).toBe(false);
  });
});

it('mlit compare --judge local:… judges by a model of this library', async () => {
  const [first] = records;
  const one = write('one.jsonl', [{ ...first, parallel_id: 'p' }]);
  const answer = (response: string) => [{ id: first!.id, lang: 'en', sample: 0, response }];
  const [a, b] = [write('a.jsonl', answer('x')), write('b.jsonl', answer('y'))];
  const { code, stdout, stderr } = await mlit(
    [
      ...['compare', a, b, '--judge', `local:${roomy}`, '--references', one],
      ...['--threads', '1', '--protocol', 'tie'],
    ],
    { cwd: folder },
  );
  expect(code, stderr).toBe(0);
  expect(stdout).toContain('may call it a tie, asked by wording');
  expect(stdout).toMatch(/^all +1 +\d+\.\d/m);
  expect(stdout).toContain('Verdicts: 2 asked now, 0 known before');
});

it('mlit rate prints means by language, and counts what is out of form', async () => {
  const facets = { language: 2, fluency: 2, helpfulness: 1, accuracy: 0, coherence: 2, harmlessness: 2 };
  endpoint.answer = ({ prompt }) => ({
    text: prompt.includes('say 1') ? 'All fine!' : `x\n${JSON.stringify(facets)}`,
  });
  const { code, stdout, stderr } = await mlit(
    ['rate', good, '--judge', judge(), '--prompts', references, '--rubric', 'facets'],
    { cwd: folder },
  );
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/^fi +2 +2\.00 .* 1$/m);
  expect(stdout).toContain('no rating on the last line (2)');
  expect(stdout).toContain('Ratings: 6 asked now, 0 known before; kept in ratings.jsonl.');
});

it('mlit rate --judge local:… rates by a model of this library, and remembers', async () => {
  const rate = () =>
    mlit(
      [
        ...['rate', good, '--judge', `local:${roomy}`, '--prompts', references, '--threads', '1'],
        ...['--name', 'good', '--ratings', 'local.jsonl'],
      ],
      { cwd: folder },
    );
  const { code, stdout, stderr } = await rate();
  expect(code, stderr).toBe(0);
  expect(stdout).toContain('expected, by the probability of each digit:');
  expect(stdout.match(/^all .*\d\.\d\d/gm)).toHaveLength(2);
  expect(stdout).toContain('Ratings: 6 asked now, 0 known before; kept in local.jsonl.');
  const lines = readFileSync(join(folder, 'local.jsonl'), 'utf8');
  expect(JSON.parse(lines.split('\n')[0]!)).toMatchObject({
    judge: `local:${roomy}`,
    rubric: 'helpfulness-1-6',
    model: 'good',
    rating: { helpfulness: expect.any(Number) },
    expected: { helpfulness: expect.any(Number) },
  });
  expect((await rate()).stdout).toContain('Ratings: 0 asked now, 6 known before');
  const program = await mlit(['rate', good, '--judge', 'chrf', '--prompts', references], { cwd: folder });
  expect(program).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("'chrf' can't rate: a rubric needs local:MODEL or openai:MODEL@URL"),
  });
});
