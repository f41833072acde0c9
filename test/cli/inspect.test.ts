// `mlit inspect` as a person and a script meet it.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mlit } from '../support/cli';
import { fixture, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();
writeRecords(join(folder, 'train.jsonl'), 24);
writeFileSync(
  join(folder, 'eval.csv'),
  'id,parallel_id,lang,prompt\ne1,item0,en,New question\ne2,new,fi,"Say kissa again again again please!"\n',
);
const run = (...args: string[]) => mlit(['inspect', ...args], { cwd: folder });
const all = ['--data', 'train.jsonl', '--eval', 'eval.csv', '--field', 'instruction=prompt'];

describe('mlit inspect', () => {
  it('prints the report by language, in tokens of the model', async () => {
    const model = fixture('smol-tiny', 'model');
    const { code, stdout } = await run('--data', 'train.jsonl', '--model', model, '--template', 'chatml');
    expect(code).toBe(0);
    expect(stdout).toContain('train: 24 records, 8 items, 3 languages');
    expect(stdout).toMatch(
      /language +records +prompt tokens +response tokens +supervised +tokens\/word\nen +8 +\d/,
    );
    expect(stdout).toMatch(/recall/);
  });

  it('compares with an evaluation set, whatever its form and without responses', async () => {
    writeFileSync(join(folder, 'renamed.jsonl'), '{"id":"r3","parallel_id":"x","lang":"en","prompt":"q"}\n');
    writeRecords(join(folder, 'other.jsonl'), 3);
    const { code, stdout } = await run('--data', 'train.jsonl', '--eval', 'other.jsonl', '--json');
    expect(code).toBe(1);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ version: 1, train: { records: 24 }, evaluation: { records: 3 } });
    expect(report.leaks.counts).toEqual({ id: { en: 1, fi: 1, sw: 1 } });
    const renamed = await run(
      '--data',
      'renamed.jsonl',
      '--eval',
      'eval.csv',
      '--field',
      'instruction=prompt',
    );
    expect(renamed.stdout).toMatch(/train × eval: no shared ids/);
    expect(renamed.stdout).toMatch(/eval: 2 records, 2 items, 2 languages/);
  });

  it('says what is wrong with the command or the data', async () => {
    expect(await run()).toMatchObject({ code: 2, stderr: expect.stringContaining('--data: expected') });
    expect(await run('--data', 'train.jsonl', '--near', '2')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--near: expected a number from 0 to 1, got 2'),
    });
    expect(await run('--data', 'train.jsonl', '--template', 'gemma')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--template needs --model'),
    });
    expect(await run(...all)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/train\.jsonl:1: .*"prompt" is missing|train\.jsonl:1: .*instruction/),
    });
    expect(await run('--data', 'train.jsonl', '--eval', 'absent-*.parquet')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no file matches this pattern [FILE_NOT_FOUND]'),
    });
  });
});
