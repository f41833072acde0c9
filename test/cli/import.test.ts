// `mlit import` as a script meets it: the file is whole or not there, counts are on stdout, what to know on stderr.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mlit } from '../support/cli';
import { scratch } from '../support/fixtures';

const folder = scratch();
const lima = join(folder, 'lima.jsonl');
writeFileSync(
  lima,
  [
    { conversations: ['How?', 'So.'], source: 'wikihow' },
    { conversations: ['Alone'] },
    { conversations: ['Why?', 'Because.'], source: 'wikihow' },
  ]
    .map((record) => `${JSON.stringify(record)}\n`)
    .join(''),
);
const farm = join(folder, 'farm.json');
writeFileSync(
  farm,
  JSON.stringify(
    ['koala', 'oasst'].map((dataset) => ({
      instruction: `${dataset}?`,
      input: '',
      output: 'x',
      generator: 'g',
      dataset,
    })),
  ),
);
const run = (...args: string[]) => mlit(['import', ...args], { cwd: folder });

describe('mlit import', () => {
  it('writes records that every command reads, and says what it left out', async () => {
    const { code, stdout, stderr } = await run(
      'lima',
      lima,
      '--out',
      'out.jsonl',
      '--lang',
      'en',
      '--max',
      '1',
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining('not known here') });
    expect(stdout.split('\n')).toEqual([
      'out.jsonl: 1 of 3 records (en 1)',
      'left out: 1 a prompt without an answer',
      'left out: 1 over --max',
      '',
    ]);
    const written = readFileSync(join(folder, 'out.jsonl'), 'utf8').trimEnd().split('\n');
    expect(written.map((line) => JSON.parse(line))).toEqual([
      {
        id: 'lima-0',
        lang: 'en',
        parallel_id: 'lima-0',
        instruction: 'How?',
        response: 'So.',
        source: 'lima/wikihow',
      },
    ]);
    const inspected = await mlit(['inspect', '--data', 'out.jsonl'], { cwd: folder });
    expect(inspected.stdout).toContain('train: 1 records, 1 items, 1 language');
  });

  it('gives counts as JSON, and leaves parts out', async () => {
    const { code, stdout } = await run(
      'alpaca-farm',
      farm,
      '--out',
      'farm.jsonl',
      '--exclude-dataset',
      'oasst',
      '--json',
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      out: 'farm.jsonl',
      read: 2,
      records: 1,
      languages: { en: 1 },
      skipped: { 'of the part oasst': 1 },
    });
  });

  it('writes nothing where it fails, and says why', async () => {
    const form = await run('oasst', lima, '--out', 'none.jsonl');
    expect(form).toMatchObject({ code: 1, stdout: '' });
    expect(form.stderr).toMatch(/lima\.jsonl:1: no record of OpenAssistant.*\[DATA_INVALID\]/);
    const empty = await run(
      'alpaca-farm',
      farm,
      '--out',
      'none.jsonl',
      '--exclude-dataset',
      'oasst',
      'koala',
    );
    expect(empty).toMatchObject({ code: 1 });
    expect(empty.stderr).toMatch(
      /no record is left to write: 1 of the part koala; 1 of the part oasst.*\[DATA_EMPTY\]/,
    );
    const folderThere = await run('lima', lima, '--out', join('absent', 'none.jsonl'));
    expect(folderThere.stderr).toMatch(/cannot write .*\[FILE_IO\]/);
    expect(existsSync(join(folder, 'none.jsonl'))).toBe(false);
  });

  it('refuses sets, flags and numbers that are none', async () => {
    const usage = async (...args: string[]) => {
      const { code, stderr } = await run(...args);
      expect(code).toBe(2);
      return stderr;
    };
    expect(await usage('dolly', lima, '--out', 'x')).toMatch(/Allowed choices are lima, oasst, alpaca-farm/);
    expect(await usage('lima', lima)).toMatch(/--out/);
    expect(await usage('lima', lima, '--out', 'x', '--with-output')).toMatch(
      /--with-output is for alpaca-farm only/,
    );
    expect(await usage('lima', lima, '--out', 'x', '--max', '0')).toMatch(
      /max: expected a whole number from 1/,
    );
  });
});
