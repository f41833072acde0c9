// `mlit experiment query` as a shell runs it: three forms of an answer, and what a mistake looks like.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { Store } from '../../lib/experiment/store/store';
import { mlit } from '../support/cli';
import { scratch } from '../support/fixtures';

const parent = scratch();
const folder = join(parent, 'store');
const HASH = 'a'.repeat(32);

beforeAll(async () => {
  await using store = await Store.open(folder, { write: true });
  const line = (lang: string, response: string): string =>
    `${JSON.stringify({ id: lang, lang, parallel_id: 'i1', sample: 0, response, tokens: [1], finishReason: 'stop' })}\n`;
  const answers = line('en', 'a "cat",\nor two') + line('ru', 'кот');
  writeFileSync(join(await store.begin(HASH), 'answers.jsonl'), answers);
  await store.commit({
    hash: HASH,
    kind: 'sample',
    description: { kind: 'sample' },
    startedAt: '2024-05-06T07:08:09.000Z',
    seconds: 10,
    host: 'here',
    threads: 2,
    summary: {},
  });
});

describe('mlit experiment query', () => {
  const run = (...args: string[]) => mlit(['experiment', 'query', folder, ...args], { cwd: parent });

  it('prints a table, JSON or CSV', async () => {
    const sql = 'SELECT item, lang, response, NULL AS nothing FROM answers ORDER BY lang, item LIMIT 2';
    expect((await run(sql)).stdout).toBe(
      [
        'item  lang           response  nothing',
        'i1      en  a "cat", ⏎ or two     NULL',
        `i1      ru  ${'кот'.padStart(17)}     NULL`,
        '',
      ].join('\n'),
    );
    expect(JSON.parse((await run(sql, '--json')).stdout)).toEqual([
      { item: 'i1', lang: 'en', response: 'a "cat",\nor two', nothing: null },
      { item: 'i1', lang: 'ru', response: 'кот', nothing: null },
    ]);
    expect((await run(sql, '--csv')).stdout).toBe(
      'item,lang,response,nothing\ni1,en,"a ""cat"",\nor two",\ni1,ru,кот,\n',
    );
  });

  it('ends with 2 where the question is wrong, and with 1 where there is no store', async () => {
    const wrong = await run('SELECT nope FROM jobs');
    expect(wrong).toMatchObject({ code: 2, stdout: '' });
    expect(wrong.stderr).toMatch(/^mlit: SQL: .*"nope" not found/);
    expect(await run('SELECT 1', '--json', '--csv')).toMatchObject({ code: 2 });
    const none = await mlit(['experiment', 'query', 'none', 'SELECT 1'], { cwd: parent });
    expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining('[STORE_INVALID]') });
  });
});
