// `mlit compare` as scripts meet it, and the example that does the same by the API.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mlit } from '../support/cli';
import { fixture, root, scratch } from '../support/fixtures';

const folder = scratch();
const TEXTS: Record<string, string> = {
  en: 'The cat is sleeping on the warm roof of house',
  fi: 'Kissa nukkuu tänään lämpimällä katolla talon',
  ru: 'Кошка спит сегодня на тёплой крыше дома',
};

function write(name: string, lines: readonly object[]): string {
  writeFileSync(join(folder, name), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  return name;
}

const records = Array.from({ length: 12 }, (_, item) =>
  Object.entries(TEXTS).map(([lang, text]) => ({
    id: `${lang}-${item}`,
    lang,
    parallel_id: `p${item}`,
    instruction: `${item}?`,
    response: `${text} ${item}`,
  })),
).flat();
const answers = (answer: (lang: string, item: number, right: string) => string): object[] =>
  records.map(({ id, lang, response, parallel_id }) => ({
    id,
    lang,
    parallel_id,
    sample: 0,
    response: answer(lang, Number(id.split('-')[1]), response),
    tokens: [1],
    finishReason: 'end-of-turn',
  }));
const references = write('references.jsonl', records);
// A answers right but for every third item; B answers in English in every second one.
const a = write(
  'a.jsonl',
  answers((_lang, item, right) => (item % 3 === 0 ? '…' : right)),
);
const b = write(
  'b.jsonl',
  answers((_lang, item, right) => (item % 2 === 1 ? `${TEXTS.en} ${item}` : right)),
);
const compare = (...args: string[]) => mlit(['compare', ...args], { cwd: folder });

describe('mlit compare', () => {
  it('prints S by language and in all, and what the judge is', async () => {
    const { code, stdout, stderr } = await compare(a, b, '--judge', 'chrf', '--references', references);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain('judge: chrF against references (references.jsonl); ties: under 5 points');
    const rows = stdout.split('\n').filter((line) => /^(en|fi|ru|all) /.test(line));
    expect(rows.map((row) => row.split(/\s+/)[0])).toEqual(['en', 'fi', 'ru', 'all']);
    // A is wrong in 0 3 6 9, B in the odd ones (in English B is always right).
    expect(rows[0]).toMatch(/^en +12 +33\.3 +\S+–\S+ +0 +8 +4 +0 /);
    expect(rows[1]).toMatch(/^fi +12 +58\.3 +\S+–\S+ +4 +6 +2 +0 /);
  });

  it('--json: the whole of it, n in items, and S(B, A) is what is left of 100', async () => {
    const run = async (first: string, second: string) => {
      const { code, stdout, stderr } = await compare(
        ...[first, second, '--judge', 'exact', '--references', references, '--json'],
      );
      expect(code, stderr).toBe(0);
      return JSON.parse(stdout);
    };
    const [forward, backward] = [await run(a, b), await run(b, a)];
    expect(forward).toMatchObject({ a, b, judge: 'exact', gate: false, onlyA: 0, onlyB: 0 });
    expect(forward.all).toMatchObject({ pairs: 36, leftOut: 0, score: { n: 12 } });
    for (const lang of ['en', 'fi', 'ru']) {
      const [ab, ba] = [forward.byLanguage[lang], backward.byLanguage[lang]];
      expect(ab.score.value + ba.score.value).toBeCloseTo(100, 10);
      expect(ab.score.low).toBeLessThan(ab.score.value);
    }
    expect(forward.byLanguage.ru.languageMatch.b).toMatchObject({ value: 0.5, n: 12 });
    expect(forward.byLanguage.fi.undecided).toEqual({ a: 4, b: 0 });
  });

  it('a file against itself is at 50 in every language', async () => {
    const { stdout } = await compare(b, b, '--judge', 'rouge-l', '--references', references, '--json');
    const { byLanguage, all } = JSON.parse(stdout);
    for (const one of [...Object.values(byLanguage), all] as { score: object }[])
      expect(one.score).toMatchObject({ value: 50 });
  });

  it('--gate: the right language beats the wrong one where the measure calls it a tie', async () => {
    const bad = write(
      'bad.jsonl',
      answers((lang) => (lang === 'ru' ? 'Погода была очень плохая' : 'xyz')),
    );
    const worse = write(
      'worse.jsonl',
      answers(() => 'The weather was very bad'),
    );
    const of = async (...more: string[]) => {
      const { stdout } = await compare(
        ...[bad, worse, '--judge', 'rouge-l', '--references', references, '--json', ...more],
      );
      return JSON.parse(stdout).byLanguage.ru.score.value;
    };
    expect(await of()).toBe(50);
    expect(await of('--gate')).toBe(100);
  });

  it('refuses answers on one side only, or counts them', async () => {
    const part = write('part.jsonl', answers((_lang, _item, right) => right).slice(0, 30));
    const args = [part, b, '--judge', 'exact', '--references', references];
    const refused = await compare(...args);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('6 of B have no answer in A ("en-10", "fi-10", "ru-10", …)');
    expect(refused.stderr).toContain('--allow-missing');
    const counted = await compare(...args, '--allow-missing');
    expect(counted.code, counted.stderr).toBe(0);
    expect(counted.stdout).toContain('On one side only, not compared: 0 of A, 6 of B.');
    const other = write('other.jsonl', [{ id: 'elsewhere', lang: 'en', response: '' }]);
    const nothing = await compare(
      other,
      b,
      '--judge',
      'exact',
      '--references',
      references,
      '--allow-missing',
    );
    expect([nothing.code, nothing.stderr]).toEqual([1, expect.stringContaining('share no id and sample')]);
  });

  it('leaves out what has no reference, and says what it could change', async () => {
    const fewer = write(
      'fewer.jsonl',
      records.map(({ response, ...record }) => (record.id === 'fi-1' ? record : { ...record, response })),
    );
    const { code, stdout, stderr } = await compare(a, b, '--judge', 'chrf', '--references', fewer);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^fi +11 .* 1 +100\.0/m);
    expect(stdout).toMatch(/Left out for want of a reference; with them, S is between \d+\.\d and \d+\.\d/);
  });

  it.each([
    [['--judge', 'local:', '--references', references], "--judge: 'local:' names no model"],
    [['--judge', 'openai:m@h', '--references', references], 'expected openai:MODEL@URL'],
    [['--judge', 'openai:m@http://h/v1'], '--prompts: a model judges answers to prompts'],
    [
      ['--judge', 'exact', '--references', references, '--max-calls', '5'],
      "--max-calls: is for models that judge; 'exact' is a program",
    ],
    [['--judge', 'chfr', '--references', references], "did you mean 'chrf'?"],
    [
      ['--references', references],
      '--judge: is needed, but was not given; expected one of exact, chrf, rouge-l',
    ],
    [['--judge', 'chrf'], "the judge 'chrf' compares answers with reference answers; give --references FILE"],
    [['--judge', 'openai:m@http://h/v1', '--no-qualify'], "unknown option '--no-qualify'"],
    [['--judge', 'chrf', '--gates'], "unknown option '--gates'"],
  ])('%j is a usage error', async (args, message) => {
    const { code, stderr, stdout } = await compare(a, b, ...args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(message);
  });

  it('names file, line and field of what is no answer', async () => {
    const run = async (lines: readonly object[]) => {
      const file = write('damaged.jsonl', lines);
      return compare(file, b, '--judge', 'exact', '--references', references);
    };
    const missing = await run([{ id: 'en-0', response: 'x' }, { id: 'en-1' }]);
    expect([missing.code, missing.stderr]).toEqual([1, expect.stringContaining('damaged.jsonl:2: response')]);
    const empty = await run([]);
    expect([empty.code, empty.stderr]).toEqual([1, expect.stringContaining('there are no answers')]);
    const twice = answers((_lang, _item, right) => right);
    const repeated = await run([...twice, twice[0]!]);
    expect([repeated.code, repeated.stderr]).toEqual([1, expect.stringContaining('"en-0"')]);
    const gone = await compare('gone.jsonl', b, '--judge', 'exact', '--references', references);
    expect([gone.code, gone.stderr]).toEqual([
      1,
      expect.stringContaining('gone.jsonl: there is no such file'),
    ]);
  });
});

it('examples/compare-adapters.mjs samples two adapters and compares them', () => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      join(root, 'examples', 'compare-adapters.mjs'),
      fixture('smol-tiny', 'model'),
      fixture('smol-tiny', 'adapter'),
      fixture('smol-tiny', 'adapter-rslora'),
      join(folder, references),
    ],
    { encoding: 'utf8' },
  );
  expect(status, stderr).toBe(0);
  for (const lang of ['en', 'fi', 'ru', 'all'])
    expect(stdout).toMatch(
      new RegExp(`^${lang}: 12 items {2}S \\d+\\.\\d .*win/tie/lose \\d+/\\d+/\\d+`, 'm'),
    );
});
