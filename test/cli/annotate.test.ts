// `mlit annotate` as a shell meets it: a task made, served, labelled, ended by Ctrl-C and reported.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { AnnotationReport } from '../../lib/annotate/report';
import { mlit } from '../support/cli';
import { root, scratch } from '../support/fixtures';

const folder = scratch();
const jsonl = (name: string, lines: readonly object[]): void =>
  writeFileSync(join(folder, name), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));

const records = Array.from({ length: 8 }, (_, item) =>
  ['en', 'he'].map((lang) => ({
    id: `${lang}-${item}`,
    lang,
    parallel_id: `p${item}`,
    instruction: `${lang} ${item}?`,
  })),
).flat();
const answers = (name: string) =>
  records.map(({ id, lang }) => ({
    id,
    lang,
    sample: 0,
    response: `${name} says ${id}`,
    tokens: [],
    finishReason: '',
  }));
jsonl('prompts.jsonl', records);
jsonl('base.jsonl', answers('x'));
jsonl('\u001b[31mred.jsonl', answers('y'));
const MAKE = [
  '--a',
  'base.jsonl',
  '--b',
  '\u001b[31mred.jsonl',
  '--prompts',
  'prompts.jsonl',
  '--sample',
  '5',
];

interface Serving {
  url: string;
  first: { kind: string; questions: number; languages: string[] };
  child: ChildProcess;
  ended: Promise<{ code: number | null; stderr: string }>;
}

/** Starts a server and resolves with what it says first. */
function serve(...args: string[]): Promise<Serving> {
  const child = spawn(
    process.execPath,
    [join(root, 'bin', 'mlit.mjs'), 'annotate', ...args, '--port', '0', '--json'],
    {
      cwd: folder,
    },
  );
  let stdout = '';
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk;
  });
  const ended = new Promise<{ code: number | null; stderr: string }>((resolve) =>
    child.on('close', (code) => resolve({ code, stderr })),
  );
  return new Promise((resolve, reject) => {
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk;
      if (!stdout.includes('\n')) return;
      const first = JSON.parse(stdout) as Serving['first'] & { urls: string[] };
      resolve({ url: first.urls[0]!, first, child, ended });
    });
    void ended.then(({ code }) => reject(new Error(`ended with ${code}: ${stderr}`)));
  });
}

interface Asked {
  key: string;
  answers: string[];
  label: string | null;
}

async function questions(url: string, person: string): Promise<Asked[]> {
  const response = await fetch(`${url}api/questions?person=${person}`);
  return ((await response.json()) as { questions: Asked[] }).questions;
}

async function label(url: string, body: object): Promise<Response> {
  const { token } = (await (await fetch(`${url}api/session`)).json()) as { token: string };
  return fetch(`${url}api/label`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-mlit-token': token },
    body: JSON.stringify(body),
  });
}

/** Answers all that a person is asked, by the page's own addresses. */
async function answerAll(url: string, person: string, say: (texts: string[]) => string): Promise<void> {
  for (const { key, answers: texts } of await questions(url, person)) {
    const response = await label(url, { person, key, label: say(texts), was: null });
    expect(response.status).toBe(200);
  }
}

describe('mlit annotate', () => {
  it('makes a task, serves it, keeps what people say, ends by Ctrl-C, and reports', async () => {
    const serving = await serve('task', ...MAKE);
    expect(serving.first).toMatchObject({ kind: 'choose', questions: 10, languages: ['en', 'he'] });
    await answerAll(serving.url, 'ana', ([first]) => (first!.startsWith('x') ? 'first' : 'second'));
    await answerAll(serving.url, 'ben', ([first]) =>
      /-[01]$/.test(first!) ? 'tie' : first!.startsWith('x') ? 'first' : 'second',
    );
    serving.child.kill('SIGINT');
    const { code, stderr } = await serving.ended;
    expect(code, stderr).toBe(0);
    expect(stderr).toContain('ana: 10 answers in this sitting');
    expect(stderr).not.toContain('\u001b');

    const verdicts = readFileSync(join(folder, 'task', 'verdicts.jsonl'), 'utf8')
      .trimEnd()
      .split('\n');
    expect(verdicts).toHaveLength(20);
    // A judge of the same pairs, who has the models the other way about and prefers A in both orders but for one pair.
    const judged = verdicts
      .map((line) => JSON.parse(line) as Record<string, string>)
      .filter(({ judge }) => judge === 'person:ana')
      .flatMap((line, at) =>
        (['AB', 'BA'] as const).map((order) => ({
          ...line,
          judge: 'local:m',
          wording: 'abcdef01',
          a: line.b,
          b: line.a,
          order,
          verdict: at === 0 && order === 'AB' ? 'A' : 'B',
        })),
      );
    jsonl('judge.jsonl', judged);
    const text = await mlit(['annotate', 'task', '--report', '--judge-verdicts', 'judge.jsonl'], {
      cwd: folder,
    });
    expect(text.code, text.stderr).toBe(0);
    expect(text.stdout).toContain('A: base\nB: \\u{1b}[31mred\n');
    expect(text.stdout).not.toContain('\u001b');
    expect(text.stdout).toMatch(/^person:ana +all +10 +100\.0 /m);
    expect(text.stdout).toMatch(/^local:m +people +all +20 /m);
    expect(text.stdout).toMatch(/^local:m +all +10 +95\.0† /m);
    expect(text.stdout).toContain(
      '† not to be relied upon: local:m did not qualify on planted pairs in en, he,',
    );
    const accuracy = { value: 1, n: 4 };
    jsonl('judge.qualifications.jsonl', [
      {
        ...{
          judge: 'local:m',
          protocol: 'tie',
          wording: 'abcdef01',
          lang: 'en',
          pairs: 4,
          accuracy,
          outOfForm: 0,
        },
        ...{ byKind: {}, qualified: true, at: '2026-01-01T00:00:00Z' },
      },
    ]);
    const json = await mlit(['annotate', 'task', '--report', '--judge-verdicts', 'judge.jsonl', '--json'], {
      cwd: folder,
    });
    const report = JSON.parse(json.stdout) as AnnotationReport;
    expect(report.people).toEqual([
      { person: 'ana', answered: 10, cannotSay: 0 },
      { person: 'ben', answered: 10, cannotSay: 0 },
    ]);
    const [judge, people] = report.agreement;
    expect(judge).toMatchObject({ first: 'local:m', second: 'people', all: { pairs: 20 } });
    // Of ana's ten all are A; ben's are A but for the ties; the judge's are A but for one tie.
    const ties = verdicts.filter((line) => line.includes('"verdict":"tie"')).length;
    expect(people!.all.tieDiscounted.value).toBeCloseTo(1 - ties / 2 / 10, 12);
    expect(report.preferences.map(({ rater }) => rater)).toEqual([
      'people',
      'person:ana',
      'person:ben',
      'local:m',
    ]);
    expect(report.preferences[3]!.all.score.value).toBe(95);
    expect(report.preferences.map(({ unqualified }) => unqualified)).toEqual([
      ...[undefined, undefined, undefined],
      ['he'],
    ]);
  }, 60_000);

  it('has on the disk whatever it took when it is killed, and goes on', async () => {
    const first = await serve('killed', ...MAKE);
    const asked = await questions(first.url, 'ana');
    const taken: string[] = [];
    const sent = asked.map(async ({ key }) => {
      const response = await label(first.url, { person: 'ana', key, label: 'second', was: null });
      if (response.ok) taken.push(key);
      if (taken.length === 4) first.child.kill('SIGKILL');
    });
    await Promise.allSettled(sent);
    expect((await first.ended).code).toBeNull();
    expect(taken.length).toBeGreaterThanOrEqual(4);
    const again = await serve('killed');
    const labels = new Map((await questions(again.url, 'ana')).map((one) => [one.key, one.label]));
    for (const key of taken) expect(labels.get(key)).toBe('second');
    again.child.kill('SIGTERM');
    expect((await again.ended).code).toBe(0);
  }, 60_000);

  it('prints a link for each name that --links has', async () => {
    const { first, child, ended } = await serve(
      'named',
      ...MAKE,
      '--host',
      '0.0.0.0',
      '--links',
      'Maria, omar',
    );
    const { people, urls } = first as unknown as { people: string[]; urls: string[] };
    expect(people).toEqual(['Maria', 'omar']);
    expect(new Set(urls).size).toBe(2);
    child.kill('SIGTERM');
    expect((await ended).code).toBe(0);
  }, 60_000);

  it('refuses another task in a task’s place', async () => {
    const args = [
      'annotate',
      'again',
      '--a',
      'one=base.jsonl',
      '--prompts',
      'prompts.jsonl',
      '--languages',
      'he',
    ];
    const { code, stdout, stderr } = await mlit([...args, '--report'], { cwd: folder });
    expect(code, stderr).toBe(0);
    expect(stdout).toContain('task: excellent, pass or fail; 8 questions\n\nNobody has answered yet.');
    const other = await mlit([...args, '--seed', '1'], { cwd: folder });
    expect(other.code).toBe(2);
    expect(other.stderr).toMatch(
      /again holds another task \(rate, seed 0, one, 8 prompts in he\).*STATE_MISMATCH/,
    );
  }, 60_000);

  it.each([
    [['t'], 1, /holds no task .*make one with --a FILE/],
    [['t', '--links', 'maria'], 2, /--links: this machine needs none/],
    [['t', '--host', '0.0.0.0', '--links', 'a,b', '--name', 'c'], 2, /--name: says who labels alone/],
    [['t', '--a', 'base.jsonl'], 2, /--prompts: people have to see what was asked/],
    [['t', '--a', 'base.jsonl', '--prompts', 'prompts.jsonl', '--languages', 'iw'], 1, /did you mean 'he'/],
  ] as const)('refuses %j', async (args, code, message) => {
    const ended = await mlit(['annotate', ...args], { cwd: folder });
    expect(ended.stderr).toMatch(message);
    expect(ended.code).toBe(code);
    expect(existsSync(join(folder, 't'))).toBe(false);
  });
});
