// Parquet, CSV and TSV become the same records as JSONL, whatever wrote them, and what is wrong is told with row and column.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { DuckDBInstance } from '@duckdb/node-api';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { expandGlob, globToRegExp } from '../../lib/data/glob';
import { type ReadOptions, readExamples } from '../../lib/data/read';
import { openDuckDB, readTable } from '../../lib/data/read-table';

const folder = mkdtempSync(join(tmpdir(), 'tables-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;

const fresh = (extension: string): string => {
  files += 1;
  return join(folder, `table${files}.${extension}`);
};

function write(content: string | Buffer, extension = 'csv'): string {
  const file = fresh(extension);
  writeFileSync(file, content);
  return file;
}

async function parquet(select: string, file = fresh('parquet')): Promise<string> {
  const connection = await (await DuckDBInstance.create(':memory:', { threads: '1' })).connect();
  await connection.run(`COPY (${select}) TO '${file.replaceAll("'", "''")}' (FORMAT parquet)`);
  connection.closeSync();
  return file;
}

async function rows(file: string): Promise<{ value: Record<string, unknown>; line: number }[]> {
  const all = [];
  for await (const row of readTable(file, { lists: ['messages'] })) all.push(row);
  return all;
}

const read = (content: string, options?: ReadOptions) => readExamples([write(content)], options);

describe('Parquet', () => {
  it('turns nested columns into turns, whole numbers into numbers, and leaves nothing out', async () => {
    const file = await parquet(
      `SELECT 7::BIGINT AS id, 'fi' AS lang, NULL::VARCHAR AS input, [{role: 'user', content: 'Mitä?'}, {role: 'assistant', content: 'Ei'}] AS messages
       UNION ALL SELECT 8, 'sw', NULL, [{role: 'user', content: 'Nini?'}, {role: 'assistant', content: ''}]`,
    );
    const [first, second] = await readExamples([file]);
    expect(first).toEqual({
      id: '7',
      lang: 'fi',
      turns: [
        { role: 'user', content: 'Mitä?' },
        { role: 'assistant', content: 'Ei' },
      ],
      source: { file, line: 1 },
    });
    expect(second).toMatchObject({ id: '8', source: { line: 2 }, turns: [{}, { content: '' }] });
  });

  it('reads ShareGPT’s conversations', async () => {
    const file = await parquet(
      'SELECT [{"from": \'human\', "value": \'q\'}, {"from": \'gpt\', "value": \'a\'}] AS conversations',
    );
    const [one] = await readExamples([file]);
    expect(one!.turns).toEqual([
      { role: 'user', content: 'q' },
      { role: 'assistant', content: 'a' },
    ]);
  });

  it('makes JSON values of every type', async () => {
    const file = await parquet(
      `SELECT 9007199254740993::BIGINT AS big, 12::UBIGINT AS small, 1.5::DECIMAL(4, 2) AS price, DATE '2024-02-29' AS day,
       TIMESTAMP '2024-02-29 12:00:00' AS time, true AS yes, NULL::INT AS nothing, 'text'::BLOB AS bytes, '\\xFF\\xD8'::BLOB AS picture,
       {a: 1, b: [2, 3]} AS nested, '["x"]' AS messages`,
    );
    expect(await rows(file)).toEqual([
      {
        line: 1,
        value: {
          big: '9007199254740993',
          small: 12,
          price: 1.5,
          day: '2024-02-29T00:00:00.000Z',
          time: '2024-02-29T12:00:00.000Z',
          yes: true,
          bytes: 'text',
          nested: { a: 1, b: [2, 3] },
          messages: ['x'],
        },
      },
    ]);
  });

  it('reads more rows than one of DuckDB’s chunks, in order', async () => {
    const file = await parquet("SELECT i AS id, 'q' AS instruction, 'a' AS response FROM range(5000) t(i)");
    const ids = (await readExamples([file])).map(({ id }) => Number(id));
    expect(ids).toEqual(Array.from({ length: 5000 }, (_, i) => i));
  });

  it('says that a file is damaged or cut short', async () => {
    const whole = readFileSync(
      await parquet("SELECT repeat('text ', 1000) || i AS text FROM range(3000) t(i)"),
    );
    const damaged = { code: 'FILE_DAMAGED', message: expect.stringContaining('damaged or cut short') };
    for (const bytes of [whole.subarray(0, whole.length - 20), whole.subarray(20), Buffer.from('no table')]) {
      await expect(rows(write(bytes, 'parquet'))).rejects.toMatchObject(damaged);
    }
    const middle = Buffer.from(whole);
    middle.fill(0xff, 100, Math.floor(whole.length / 2));
    await expect(rows(write(middle, 'parquet'))).rejects.toMatchObject(damaged);
  });

  it('names the row of a record that is not whole, and a text column of other bytes', async () => {
    const half = await parquet("SELECT 'q' AS instruction, 'a' AS response UNION ALL SELECT 'q2', NULL");
    await expect(readExamples([half])).rejects.toThrow(`${half}:2: the field "response" is missing`);
    const bytes = await parquet("SELECT '\\xFF'::BLOB AS instruction, 'a' AS response");
    await expect(readExamples([bytes])).rejects.toThrow(`${bytes}:1: column "instruction": expected UTF-8`);
  });
});

describe('CSV and TSV', () => {
  it('keeps texts as they are: quotes, line breaks, leading zeros, words that look like numbers', async () => {
    const [one, two] = await read(
      'id,lang,instruction,response\n001,en,"Say ""hi"",\nplease",1.50\nx,fi, a ,true\n',
    );
    expect(one).toMatchObject({ id: '001', turns: [{ content: 'Say "hi",\nplease' }, { content: '1.50' }] });
    expect(two!.turns).toEqual([
      { role: 'user', content: ' a ' },
      { role: 'assistant', content: 'true' },
    ]);
  });

  it('takes an empty cell for absent and "" for an empty text', async () => {
    const content = 'id,parallel_id,instruction,input,response\n,,q,,""\n';
    const [one] = await read(content);
    expect(one!.id).toMatch(/^table\d+:1$/);
    expect(one).not.toHaveProperty('parallelId');
    expect(one!.turns.at(-1)).toEqual({ role: 'assistant', content: '' });
    await expect(read('instruction,response\nq,\n')).rejects.toThrow(/:1: the field "response" is missing/);
  });

  it('reads tabs, gzip, a byte order mark and Windows line ends', async () => {
    const tsv = write('instruction\tresponse\nq, or\ta\n', 'tsv');
    const gz = write(gzipSync('instruction,response\r\nq,"a\r\nb"\r\n'), 'csv.gz');
    const bom = write('\ufeffinstruction,response\nq,a\n');
    const [a, b, c] = await readExamples([tsv, gz, bom]);
    expect(a!.turns[0]!.content).toBe('q, or');
    expect(b!.turns[1]!.content).toBe('a\r\nb');
    expect(c!.turns[0]!.content).toBe('q');
  });

  it('reads conversations that are written as JSON', async () => {
    const turns = JSON.stringify([
      { role: 'user', content: 'q' },
      { role: 'assistant', content: 'a, "b"' },
    ]);
    const cell = `"${turns.replaceAll('"', '""')}"`;
    const [one] = await read(`messages\n${cell}\n`);
    expect(one!.turns[1]!.content).toBe('a, "b"');
    const [other] = await read(`chat\n${cell}\n`, { field: { messages: 'chat' } });
    expect(other!.turns).toHaveLength(2);
    await expect(read('messages,x\nnot json,1\n')).rejects.toThrow(
      /:1: column "messages": expected a JSON array/,
    );
  });

  it('names the line and column of a row that does not fit, also far behind what is sampled', async () => {
    const many = Array.from({ length: 30_000 }, (_, i) => `q${i},a\n`).join('');
    const invalid = (message: RegExp) => ({ code: 'DATA_INVALID', message: expect.stringMatching(message) });
    await expect(read(`instruction,response\n${many}alone\n`)).rejects.toMatchObject(
      invalid(/line 30002, column "response": Expected Number of Columns: 2 Found: 1.*"alone"/),
    );
    await expect(read('instruction,response\nq,a\nq,a,b\n')).rejects.toMatchObject(
      invalid(/line 3.*Found: 3/),
    );
    await expect(read('instruction,response\nq,"a\nq,a\n')).rejects.toMatchObject(
      invalid(/quotes inside doubled/),
    );
    const latin1 = write(Buffer.from('instruction,response\nq,caf\xe9\n', 'latin1'));
    await expect(readExamples([latin1])).rejects.toMatchObject(invalid(/line 2, column "response": .*utf-8/));
  });

  it('says which columns there are where the wanted one is not', async () => {
    await expect(read('prompt,answer\nq,a\n')).rejects.toThrow(/"instruction" is missing.*prompt, answer/);
    await expect(read('instruction,response\n')).rejects.toMatchObject({ code: 'DATA_EMPTY' });
    await expect(read('')).rejects.toMatchObject({ code: 'DATA_EMPTY' });
  });

  it('says that gzip is damaged', async () => {
    const cut = write(gzipSync('instruction,response\nq,a\n'.repeat(500)).subarray(0, 30), 'csv.gz');
    await expect(readExamples([cut])).rejects.toMatchObject({ code: 'FILE_DAMAGED' });
  });

  it('gives back every text that was written by the rules', async () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((t) => !t.includes('\0'));
    const quoted = (cell: string): string => `"${cell.replaceAll('"', '""')}"`;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 8 }), async (pairs) => {
        const content = pairs.map(([q, a]) => `${quoted(q)},${quoted(a)}\n`).join('');
        const file = write(`instruction,response\n${content}`);
        const values = (await rows(file)).map(({ value }) => [value.instruction, value.response]);
        expect(values).toEqual(pairs);
      }),
      { numRuns: 40 },
    );
  });
});

describe('files', () => {
  it('expands patterns, sorted, and takes a file of that very name for itself', async () => {
    const place = join(folder, 'many');
    mkdirSync(join(place, 'deep', 'er'), { recursive: true });
    for (const name of [
      'b.jsonl',
      'a.jsonl',
      '.hidden.jsonl',
      'deep/c.jsonl',
      'deep/er/d.jsonl',
      'e[1]*.jsonl',
    ])
      writeFileSync(join(place, name), '{"instruction":"q","response":"a"}\n');
    const names = async (pattern: string) =>
      (await expandGlob(join(place, pattern))).map((path) => path.slice(place.length + 1));
    expect(await names('?.jsonl')).toEqual(['a.jsonl', 'b.jsonl']);
    expect(await names('**/*.jsonl')).toEqual([
      'a.jsonl',
      'b.jsonl',
      'deep/c.jsonl',
      'deep/er/d.jsonl',
      'e[1]*.jsonl',
    ]);
    expect(await names('*/c.jsonl')).toEqual(['deep/c.jsonl']);
    expect(await names('e[1]*.jsonl')).toEqual(['e[1]*.jsonl']);
    await expect(names('*.parquet')).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
    expect(await readExamples([join(place, '[ab].jsonl')]).catch((error) => error.code)).toBe(
      'FILE_NOT_FOUND',
    );
    expect((await readExamples([join(place, '?.jsonl')])).map(({ id }) => id)).toEqual(['a:1', 'b:1']);
  });

  it('matches whole paths only', () => {
    expect(globToRegExp('data/train-*.parquet').test('data/train-0.parquet')).toBe(true);
    expect(globToRegExp('data/train-*.parquet').test('data/train/0.parquet')).toBe(false);
    expect(globToRegExp('*.json').test('axjson')).toBe(false);
    expect(globToRegExp('**/x').test('x')).toBe(true);
    expect(globToRegExp('a/**').test('a/b/c')).toBe(true);
  });

  it('reads a table whose name has a pattern’s signs or a quote in it', async () => {
    const csv = join(folder, "it's [1]*?.csv");
    writeFileSync(csv, 'instruction,response\nq,a\n');
    expect(await readExamples([csv])).toHaveLength(1);
    const table = await parquet(
      "SELECT 'q' AS instruction, 'a' AS response",
      join(folder, "it's [2]*.parquet"),
    );
    expect(await readExamples([table])).toHaveLength(1);
  });

  it('lets DuckDB see that one file and nothing else', async () => {
    const [seen, other] = [write('a\n1\n'), write('a\n2\n')];
    const connection = await openDuckDB([seen]);
    await connection.run(`SELECT * FROM read_csv('${seen}')`);
    await expect(connection.run(`SELECT * FROM read_csv('${other}')`)).rejects.toThrow(/disabled/);
    await expect(connection.run('SET enable_external_access = true')).rejects.toThrow();
    await expect(connection.run('INSTALL httpfs')).rejects.toThrow();
    connection.closeSync();
  });

  it('says that there is no such file, and stops when told', async () => {
    await expect(readExamples([join(folder, 'absent.parquet')])).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
    });
    mkdirSync(join(folder, 'folder.csv'));
    await expect(readExamples([join(folder, 'folder.csv')])).rejects.toMatchObject({ code: 'FILE_IO' });
    const control = new AbortController();
    control.abort(new Error('enough'));
    const file = write('instruction,response\nq,a\n');
    await expect(readExamples([file], { signal: control.signal })).rejects.toThrow('enough');
  });
});
