// `mlit mix`, and `--mix` of train and plan, as scripts meet them.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { mlit as run } from '../support/cli';
import { fixture, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();
const model = fixture('smol-tiny', 'model');
const data = writeRecords(join(folder, 'all.jsonl'), 36);
const mlit = (...args: string[]) => run(args, { cwd: folder });
const file = (name: string): string => readFileSync(join(folder, name), 'utf8');
const records = (name: string): Record<string, string>[] =>
  file(name)
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('mlit mix', () => {
  it('writes the set and its manifest, the same for any order of files and lines', async () => {
    const lines = file('all.jsonl').trim().split('\n');
    writeFileSync(
      join(folder, 'odd.jsonl'),
      `${lines
        .filter((_, i) => i % 2 === 1)
        .reverse()
        .join('\n')}\n`,
    );
    writeFileSync(join(folder, 'even.jsonl'), `${lines.filter((_, i) => i % 2 === 0).join('\n')}\n`);
    const spec = 'pinch:count=4,languages=fi+sw,n=12,seed=1';
    const one = await mlit('mix', '--data', data, '--mix', spec, '--out', 'one.jsonl', '--json');
    expect(one.code, one.stderr).toBe(0);
    const two = await mlit('mix', '--data', 'odd.jsonl', 'even.jsonl', '--mix', spec, '--out', 'two.jsonl');
    expect(two.code, two.stderr).toBe(0);
    expect(file('two.jsonl')).toBe(file('one.jsonl'));
    expect(file('two.jsonl.manifest.json')).toBe(file('one.jsonl.manifest.json'));
    const drawn = records('one.jsonl');
    expect(
      drawn
        .map(({ lang }) => lang)
        .sort()
        .join(' '),
    ).toBe('en en en en en en en en fi fi sw sw');
    expect(new Set(drawn.map((record) => record.parallel_id)).size).toBe(12);
    const manifest = JSON.parse(file('one.jsonl.manifest.json'));
    expect(manifest.spec).toBe('pinch:count=4,languages=fi+sw,hub=en,n=12,policy=disjoint,seed=1');
    expect(JSON.parse(one.stdout)).toEqual({
      out: 'one.jsonl',
      manifest: 'one.jsonl.manifest.json',
      available: { en: 12, fi: 12, sw: 12 },
      ...manifest,
    });
  });

  it('--dry-run prints the table, with tokens and rendered items where a model is given, and writes nothing', async () => {
    const before = readdirSync(folder);
    const args = ['mix', '--data', data, '--mix', 'uniform:languages=en+fi', '--dry-run'];
    const plain = await mlit(...args);
    expect(plain.code, plain.stderr).toBe(0);
    expect(plain.stdout).toMatch(
      /language +available +allocated +bytes\nen +12 +6 +\d+\nfi +12 +6 +\d+\nsw +12 +0 +0\nall +36 +12 +\d+\n/,
    );
    const counted = await mlit(...args, '--model', model, '--template', 'chatml', '--json');
    expect(counted.code, counted.stderr).toBe(0);
    const { out, languages } = JSON.parse(counted.stdout);
    expect(out).toBeNull();
    expect(languages.en).toMatchObject({
      examples: 6,
      rendered: expect.stringContaining('<|im_start|>user'),
    });
    expect(languages.en.tokens).toBeGreaterThan(languages.en.supervisedTokens);
    const table = await mlit(...args, '--model', model, '--template', 'chatml');
    expect(table.stdout).toMatch(/bytes +tokens +supervised/);
    expect(readdirSync(folder)).toEqual(before);
  });

  it('takes a YAML recipe, and says what 40 and 1 percent are', async () => {
    writeFileSync(join(folder, 'mono.yaml'), 'kind: pinch\npercent: 1\nlanguages: [fi, sw]\nn: 12\n');
    const { code, stdout, stderr } = await mlit('mix', '--data', data, '--mix', 'mono.yaml', '--dry-run');
    expect(code, stderr).toBe(0);
    expect(stdout).toContain('pinch:percent=1,languages=fi+sw,hub=en,n=12,policy=disjoint,seed=0');
    expect(stderr).toMatch(/percent=1: 0 of 12 examples.*count=40/);
  });

  it('refuses what is wrong: exit 2 for the call, 1 for the data, and nothing is written', async () => {
    const before = readdirSync(folder);
    const cases: [string[], number, RegExp][] = [
      [['--mix', 'pinsh:count=1'], 2, /--mix: .*'pinch'/],
      [['--mix', 'mono:language=english'], 2, /'en' \(English\)/],
      [['--mix', 'mono:language=de'], 1, /no records in de.*MIXTURE_INVALID/],
      [['--mix', 'mono:language=en,n=13'], 1, /en: 13 asked, 12 there, 1 missing/],
      [['--mix', 'uniform:languages=en+fi+sw,n=36'], 1, /together: 36 asked, 12 there, 24 missing/],
      [['--mix', 'mono:language=en', '--eval', 'held.jsonl'], 1, /DATA_INVALID/],
      [['--mix', 'mono:language=en', '--out', data], 2, /one of the files read/],
      [['--mix', 'mono:language=en', '--dryrun'], 2, /--dry-run/],
    ];
    writeFileSync(
      join(folder, 'held.jsonl'),
      '{"id":"x","lang":"de","parallel_id":"item3","instruction":"q"}\n',
    );
    for (const [args, code, message] of cases) {
      const out = args.includes('--out') ? [] : ['--out', 'refused.jsonl'];
      const ended = await mlit('mix', '--data', data, ...args, ...out);
      expect(ended, args.join(' ')).toMatchObject({
        code,
        stdout: '',
        stderr: expect.stringMatching(message),
      });
    }
    const missing = await mlit('mix', '--data', data, '--mix', 'mono:language=en');
    expect(missing).toMatchObject({ code: 2, stderr: expect.stringContaining('--out') });
    expect(readdirSync(folder)).toEqual([...before, 'held.jsonl'].sort());
    expect(existsSync(join(folder, 'refused.jsonl'))).toBe(false);
  });
});

describe('--mix of train and plan', () => {
  const small = [
    '--model',
    model,
    '--data',
    data,
    '--template',
    'chatml',
    '--threads',
    '1',
    '--batch-examples',
    '4',
    '--dev',
    '2',
  ];

  it('trains on what is drawn, keeps the recipe, and draws it again to resume', async () => {
    writeFileSync(join(folder, 'even.yaml'), 'kind: uniform\nlanguages: [sw, en]\nn: 10\nseed: 4\n');
    const first = await mlit('train', ...small, '--mix', 'even.yaml', '--out', 'run');
    expect(first.code, first.stderr).toBe(0);
    const canonical = 'uniform:languages=en+sw,n=10,policy=disjoint,seed=4';
    expect(first.stderr).toContain(`mixture ${canonical}: en 5, sw 5`);
    expect(parse(file('run/run.yaml')).options.mix).toBe(canonical);
    const { drawn, languages, dev } = JSON.parse(file('run/mixture.json'));
    expect(drawn).toMatchObject({
      spec: canonical,
      n: 10,
      languages: { en: { examples: 5 }, sw: { examples: 5 } },
    });
    const sum = (counts: number[]) => counts.reduce((a, b) => a + b, 0);
    const trained = Object.values(languages as Record<string, { examples: number }>).map(
      (each) => each.examples,
    );
    expect(sum(trained)).toBe(8);
    expect(sum(Object.values(dev))).toBe(2);
    const again = await mlit(
      'train',
      ...small,
      '--mix',
      'uniform:seed=4,n=10,languages=sw+en',
      '--out',
      'run',
      '--resume',
    );
    expect(again.code, again.stderr).toBe(0);
    const other = await mlit(
      'train',
      '--mix',
      'uniform:seed=5,n=10,languages=sw+en',
      '--out',
      'run',
      '--resume',
    );
    expect(other).toMatchObject({ code: 2, stderr: expect.stringMatching(/resume: --mix is/) });
  });

  it('plans what would be drawn', async () => {
    const plan = await mlit('plan', ...small, '--mix', 'explicit:fi=5,sw=1', '--json');
    expect(plan.code, plan.stderr).toBe(0);
    expect(JSON.parse(plan.stdout)).toMatchObject({ examples: 4 });
    const wrong = await mlit('plan', ...small, '--mix', 'explicit:fi=x');
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('--mix') });
  });
});
