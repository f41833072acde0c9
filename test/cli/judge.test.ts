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
import { fixture, roomyModel, root, scratch } from '../support/fixtures';

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
  it('prints the judge’s qualification beside its verdicts, and pays for none twice', async () => {
    const { code, stdout, stderr } = await compare();
    expect(code, stderr).toBe(0);
    expect(stdout).toContain(`judge: openai:gpt-x@${new URL(endpoint.url).host}, has to choose`);
    expect(stdout).toContain('answered as gpt-x (10)');
    expect(stdout).toMatch(/^en +12 +100\.0 +\d.* 0 +yes$/m);
    expect(stdout).toMatch(/^all +6 +91\.7 .* 5 +1 +0 +0 +100\.0 /m);
    expect(stdout).not.toContain('†');
    expect(stdout).toContain('Identical answers, ties without asking: 1 pairs.');
    expect(endpoint.calls).toHaveLength(QUESTIONS + PLANTED);
    expect(endpoint.calls[0]!.authorization).toBe('Bearer sk-SECRET');
    const again = await compare('--json');
    expect(endpoint.calls).toHaveLength(QUESTIONS + PLANTED);
    const { judging, planting, qualifications, all } = JSON.parse(again.stdout);
    expect([judging.asked, judging.known, planting.asked]).toEqual([0, QUESTIONS, 0]);
    expect(qualifications).toHaveLength(2);
    expect(all.score.value).toBeCloseTo((100 * 5.5) / 6);
    for (const { stdout: out, stderr: err } of [{ stdout, stderr }, again])
      expect(out + err).not.toContain('SECRET');
    for (const name of readdirSync(cache, { recursive: true, withFileTypes: true }))
      if (name.isFile())
        expect(readFileSync(join(name.parentPath, name.name), 'utf8')).not.toContain('SECRET');
  });

  it('marks the numbers of a judge that does not qualify, and says so; nothing turns that off', async () => {
    endpoint.answer = () => ({ text: 'Verdict: A' });
    const { code, stdout, stderr } = await compare();
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^fi +12 +50\.0 .* no†$/m);
    expect(stdout).toMatch(/^all +6 +50\.0† .* 0\.0 /m);
    expect(stdout).toContain('† warning: not to be relied upon: the judge did not qualify in en, fi.');
    expect(await compare('--no-qualify')).toMatchObject({ code: 2, stdout: '' });
    const prompts = write(
      'prompts.jsonl',
      records.map(({ response: _, ...record }) => record),
    );
    const without = await mlit(['compare', good, bad, '--judge', judge(), '--prompts', prompts], {
      cwd: folder,
    });
    expect(without.stdout).toContain('qualification: none.');
    expect(without.stdout).toMatch(/^all +6 +50\.0† /m);
  });

  it('keeps verdicts in a file of the shared form, with planted ones and qualifications beside it', async () => {
    const { code, stderr } = await compare('--verdicts', 'v/verdicts.jsonl', '--name-b', 'b\u001b[31m');
    expect(code, stderr).toBe(0);
    const lines = (name: string) =>
      readFileSync(join(folder, 'v', name), 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines('verdicts.jsonl')).toHaveLength(QUESTIONS + 2);
    expect(lines('verdicts.jsonl')[0]).toMatchObject({ a: 'good', b: 'b\u001b[31m', protocol: 'forced' });
    expect(lines('verdicts.planted.jsonl')).toHaveLength(PLANTED);
    expect(lines('verdicts.qualifications.jsonl').map(({ lang }) => lang)).toEqual(['en', 'fi']);
    expect(existsSync(cache)).toBe(false);
  });

  it('goes on after SIGKILL and after Ctrl-C without paying twice', async () => {
    const stopAt = (count: number, signal: 'SIGKILL' | 'SIGINT') =>
      new Promise<{ code: number | null; took: number }>((resolve) => {
        const child = spawn(
          process.execPath,
          [join(root, 'bin', 'mlit.mjs'), ...args('--concurrency', '1')],
          {
            cwd: folder,
            stdio: 'ignore',
          },
        );
        let since = 0;
        endpoint.answer = async (call) => {
          if (endpoint.calls.length === count) {
            since = Date.now();
            child.kill(signal);
            if (signal === 'SIGKILL') return 'hang';
            return { status: 429, headers: { 'retry-after': '20' } };
          }
          return knowing(call);
        };
        child.on('close', (code) => resolve({ code, took: Date.now() - since }));
      });
    const paid = endpoint.paid();
    await stopAt(9, 'SIGKILL');
    const stopped = await stopAt(20, 'SIGINT');
    expect(stopped.code).toBe(130);
    expect(stopped.took).toBeLessThan(8000); // not the endpoint's twenty seconds
    endpoint.answer = knowing;
    const { code, stderr } = await compare();
    expect(code, stderr).toBe(0);
    expect(endpoint.paid() - paid).toBe(QUESTIONS + PLANTED);
  });

  it('stops at a budget with what it has, fails, and goes on when run again', async () => {
    const stopped = await compare('--max-calls', String(PLANTED + 4), '--concurrency', '1');
    expect(stopped.code).toBe(1);
    expect(stopped.stdout).toMatch(/^all +\d .* 3 +\d/m);
    expect(stopped.stderr).toMatch(/stopped at --max-calls \(52 calls\): 6 questions .* \[JUDGE_LIMIT\]/);
    const { code, stdout } = await compare();
    expect(code).toBe(0);
    expect(stdout).toContain(`Verdicts: 6 asked now, 4 known before`);
  });

  it('fails where questions were not answered, and shows what an endpoint says as text', async () => {
    const fails = (call: FakeCall): FakeAnswer =>
      Object.values(shownIn(call.prompt)).includes('5')
        ? { status: 400, error: { message: 'too long\u001b[2J' } }
        : { ...(knowing(call) as { text: string }), model: 'evil\u001b[2J' };
    endpoint.answer = fails;
    const { code, stdout, stderr } = await compare();
    expect(code).toBe(1);
    expect(stderr).toContain('HTTP 400 too long\\u{1b}[2J');
    expect(stderr).toContain('[JUDGE_FAILED]');
    expect(stdout).toContain('answered as evil\\u{1b}[2J');
    expect(stdout + stderr).not.toContain('\u001b[2J');
  });
});

describe('mlit compare --judge local:…', () => {
  it('judges by a model of this library, and prints what it is worth', async () => {
    const { code, stdout, stderr } = await mlit(
      [
        'compare',
        good,
        bad,
        '--judge',
        `local:${roomy}`,
        '--references',
        references,
        '--threads',
        '1',
        '--protocol',
        'tie',
      ],
      { cwd: folder },
    );
    expect(code, stderr).toBe(0);
    expect(stdout).toContain('may call it a tie, asked by wording');
    expect(stdout).toMatch(/^all +6 +\d+\.\d†/m);
    expect(stdout).toContain(`Verdicts: ${QUESTIONS} asked now, 0 known before`);
    const refused = await mlit(['compare', good, bad, '--judge', 'local:gone', '--references', references], {
      cwd: folder,
    });
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('UNKNOWN_MODEL')]);
  });
});

describe('mlit rate', () => {
  const rate = (...more: string[]) =>
    mlit(['rate', good, '--judge', judge(), '--prompts', references, ...more], { cwd: folder });

  it('prints means by language with intervals, and asks for no rating twice', async () => {
    endpoint.answer = ({ prompt }) => ({ text: prompt.includes('say 0') ? 'Good.\nRating: 5' : 'Rating: 2' });
    const { code, stdout, stderr } = await rate();
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^en +3 +3\.00 +\d\.\d\d–\d\.\d\d +0$/m);
    expect(stdout).toMatch(/^all +6 +3\.00 /m);
    expect(stdout).toContain('Ratings: 6 asked now, 0 known before; kept in ratings.jsonl.');
    const again = JSON.parse((await rate('--json')).stdout);
    expect(again).toMatchObject({ asked: 0, known: 6, rubric: 'helpfulness-1-6', name: 'good' });
    expect(endpoint.calls).toHaveLength(6);
    const other = await mlit(['rate', bad, '--name', 'good', '--judge', judge(), '--prompts', references], {
      cwd: folder,
    });
    expect([other.code, other.stderr]).toEqual([
      1,
      expect.stringMatching(/ratings\.jsonl:\d: .* another answer/),
    ]);
  });

  it('rates six facets, and counts what is out of form', async () => {
    const facets = { language: 2, fluency: 2, helpfulness: 1, accuracy: 0, coherence: 2, harmlessness: 2 };
    endpoint.answer = ({ prompt }) => ({
      text: prompt.includes('say 1') ? 'All fine!' : `x\n${JSON.stringify(facets)}`,
    });
    const { code, stdout, stderr } = await rate('--rubric', 'facets', '--ratings', 'facets.jsonl');
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^fi +2 +2\.00 .* 1$/m);
    expect(stdout).toContain('no rating on the last line (2)');
  });

  it('needs an endpoint, and prompts that were answered', async () => {
    const local = await mlit(['rate', good, '--judge', 'local:x', '--prompts', references], { cwd: folder });
    expect([local.code, local.stderr]).toEqual([2, expect.stringContaining("'local:x' can't rate")]);
    const elsewhere = await mlit(
      ['rate', good, '--judge', judge(), '--prompts', fixture('..', 'fixtures', 'README.md')],
      { cwd: folder },
    );
    expect(elsewhere.code).toBe(1);
  });
});
