// Every form of records that people have, and every way in which a file of them can be wrong, by line.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { type ReadOptions, readExamples, streamExamples } from '../../lib/data/read';

const folder = mkdtempSync(join(tmpdir(), 'records-'));
let files = 0;

function write(content: string | Buffer, extension = 'jsonl'): string {
  files += 1;
  const file = join(folder, `set${files}.${extension}`);
  writeFileSync(file, content);
  return file;
}

const lines = (...records: unknown[]): string =>
  `${records.map((record) => JSON.stringify(record)).join('\n')}\n`;
const read = (content: string, options?: ReadOptions) => readExamples([write(content)], options);

describe('forms', () => {
  it('reads instruction, input and response', async () => {
    const file = write(
      lines(
        { id: 'a', lang: 'sw', instruction: 'Habari?', response: 'Nzuri', parallel_id: 'p1', topic: 'x' },
        { instruction: 'Sum', input: '1+1', response: '2' },
        { instruction: 'Sum', input: '', response: '' },
      ),
    );
    const stem = file.match(/set\d+/)?.[0];
    expect(await readExamples([file])).toEqual([
      {
        id: 'a',
        lang: 'sw',
        parallelId: 'p1',
        turns: [
          { role: 'user', content: 'Habari?' },
          { role: 'assistant', content: 'Nzuri' },
        ],
        source: { file, line: 1 },
      },
      expect.objectContaining({
        id: `${stem}:2`,
        lang: 'und',
        turns: [
          { role: 'user', content: 'Sum\n\n1+1' },
          { role: 'assistant', content: '2' },
        ],
      }),
      expect.objectContaining({
        id: `${stem}:3`,
        turns: [
          { role: 'user', content: 'Sum' },
          { role: 'assistant', content: '' },
        ],
      }),
    ]);
  });

  it('reads messages and ShareGPT conversations alike', async () => {
    const [messages, shared] = await read(
      lines(
        {
          messages: [
            { role: 'system', content: 's' },
            { role: 'user', content: [{ type: 'text', text: 'q' }] },
            { role: 'assistant', content: 'a' },
          ],
        },
        {
          conversations: [
            { from: 'system', value: 's' },
            { from: 'human', value: 'q' },
            { from: 'gpt', value: 'a' },
          ],
        },
      ),
    );
    expect(messages!.turns).toEqual([
      { role: 'system', content: 's' },
      { role: 'user', content: 'q' },
      { role: 'assistant', content: 'a' },
    ]);
    expect(shared!.turns).toEqual(messages!.turns);
  });

  it('takes a record’s system text, unless the conversation has its own', async () => {
    const human = { from: 'human', value: 'q' };
    const gpt = { from: 'gpt', value: 'a' };
    const own = { role: 'developer', content: 'own' };
    const messages = [own, { role: 'user', content: 'q' }, { role: 'assistant', content: 'a' }];
    const examples = await read(
      lines(
        { system: 'be brief', instruction: 'q', input: 'i', response: 'a' },
        { system: 'be brief', conversations: [human, gpt] },
        { system: 'be brief', messages },
        { system: '', instruction: 'q', response: 'a' },
      ),
    );
    const firsts = examples.map(({ turns }) => `${turns[0]!.role}: ${turns[0]!.content}`);
    expect(firsts).toEqual(['system: be brief', 'system: be brief', 'system: own', 'user: q']);
    expect(examples[0]!.turns[1]!.content).toBe('q\n\ni');
  });

  it('needs no response for a prompt, and takes a given one away', async () => {
    const prompts = await read(lines({ instruction: 'q', adapter: 1 }, { instruction: 'q', response: 'a' }), {
      need: 'prompt',
    });
    expect(prompts.map((one) => one.turns)).toEqual([
      [{ role: 'user', content: 'q' }],
      [{ role: 'user', content: 'q' }],
    ]);
    expect(prompts[0]!.adapter).toBe(1);
  });

  it('takes text as it stands when that is needed', async () => {
    const [one] = await read(lines({ text: ' as it is\n' }), { need: 'text' });
    expect(one).toMatchObject({ text: ' as it is\n', turns: [] });
  });

  it('renames fields', async () => {
    const [one] = await read(lines({ prompt: 'q', output: 'a', language: 'fi' }), {
      field: { instruction: 'prompt', response: 'output', lang: 'language' },
    });
    expect(one).toMatchObject({ lang: 'fi', turns: [{ content: 'q' }, { content: 'a' }] });
    await expect(read(lines({}), { field: { answer: 'output' } })).rejects.toThrow(/"answer" is no field/);
  });

  it.each([
    ['one form', [{ instruction: 'q', response: 'a' }], '1 record with instruction and response'],
    [
      'one form of many',
      [{ messages: [{ role: 'user', content: 'q' }] }, { messages: [{ role: 'user', content: 'r' }] }],
      '2 records with messages',
    ],
    [
      'several',
      [
        { instruction: 'q' },
        { instruction: 'q', response: 'a' },
        { conversations: [{ from: 'human', value: 'q' }] },
        { instruction: 'q', response: 'a' },
      ],
      '4 records: 2 with instruction and response, 1 with an instruction alone, 1 with conversations (ShareGPT)',
    ],
  ])('says what a file of %s holds, once', async (_, records, said) => {
    const notes: string[] = [];
    await read(lines(...records), { need: 'reference', onNote: (note) => notes.push(note) });
    expect(notes).toEqual([expect.stringMatching(/: /)]);
    expect(notes[0]!.slice(notes[0]!.indexOf(': ') + 2)).toBe(said);
  });

  it('says of a table with other signs between its columns what is expected', async () => {
    const file = write('instruction;response\nHi;Hello\n', 'csv');
    await expect(readExamples([file])).rejects.toThrow(
      /the record has instruction;response. The columns of a CSV are parted by commas/,
    );
  });

  it('speaks of answers, not of training: score reads them too', async () => {
    await expect(read(lines({ instruction: 'q' }))).rejects.toThrow(/"response" is missing \(the answer to/);
    await expect(read(lines({ messages: [{ role: 'user', content: 'q' }] }))).rejects.toThrow(
      /no assistant turn, so there is no answer in it/,
    );
  });
});

describe('files', () => {
  const record = { instruction: 'שלום\u2028🐈', response: 'b' };

  it('reads gzip, JSON arrays, CRLF, blank lines, a byte order mark and a last line without end', async () => {
    const text = `\ufeff${JSON.stringify(record).replace('\\u2028', '\u2028')}\r\n\r\n${JSON.stringify(record)}`;
    const inputs = [
      write(gzipSync(text), 'jsonl.gz'),
      write(JSON.stringify([record, record], null, 2), 'json'),
      write(text),
    ];
    const examples = await readExamples(inputs);
    expect(examples).toHaveLength(6);
    for (const example of examples) expect(example.turns[0]!.content).toBe(record.instruction);
    expect(examples.map((example) => example.source.line)).toEqual([1, 3, 1, 2, 1, 3]);
  });

  it('gives every record back, wherever the chunks of the file end', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: 'grapheme' }), { minLength: 1, maxLength: 20 }),
        async (texts) => {
          const examples = await read(
            lines(...texts.map((instruction) => ({ instruction, response: instruction }))),
          );
          expect(examples.map((one) => one.turns[0]!.content)).toEqual(texts);
        },
      ),
      { numRuns: 30 },
    );
    const big = Array.from({ length: 2000 }, (_, i) => ({
      instruction: `${'क'.repeat(i % 400)}${i}`,
      response: 'r',
    }));
    const examples = await read(lines(...big));
    expect(examples.map((one) => one.turns[0]!.content)).toEqual(big.map((one) => one.instruction));
  });

  it('copies a line that comes in many pieces once', async () => {
    const text = 'x'.repeat(8 << 20);
    const file = write(JSON.stringify([{ instruction: text, response: 'r' }]), 'json');
    const concat = vi.spyOn(Buffer, 'concat');
    const examples = await readExamples([file]);
    const copied = concat.mock.results.reduce((sum, { value }) => sum + (value as Buffer).length, 0);
    concat.mockRestore();
    expect(examples[0]!.turns[0]!.content).toBe(text);
    expect(copied).toBeLessThan(2 * text.length);
  });

  it('stops when the signal says so', async () => {
    const controller = new AbortController();
    const stream = streamExamples([write(lines(record, record)), write(lines({ ...record, id: 'z' }))], {
      signal: controller.signal,
    });
    await stream.next();
    controller.abort(new Error('enough'));
    await stream.next();
    await expect(stream.next()).rejects.toThrow('enough');
  });
});

describe('errors', () => {
  const ok = { instruction: 'q', response: 'a' };
  const invalid = (pattern: RegExp) =>
    expect.objectContaining({ code: 'DATA_INVALID', message: expect.stringMatching(pattern) });

  it.each([
    [
      'a broken line',
      `${lines(ok)}{"instruction": "q", \n${lines(ok)}`,
      /set\d+\.jsonl:2: expected one JSON object/,
    ],
    ['a line that is no object', `${lines(ok)}[1]\n`, /:2: expected a JSON object, got \[1\]/],
    [
      'a missing response',
      lines(ok, { instruction: 'q', output: 'a' }),
      /:2: the field "response" is missing.*--field response=output/,
    ],
    [
      'a missing instruction',
      lines({ prompt: 'q', response: 'a' }),
      /:1: the field "instruction" is missing.*the record has prompt, response.*instruction=prompt/,
    ],
    [
      'a response of another type',
      lines({ instruction: 'q', response: 5 }),
      /:1: response must be a string, got 5/,
    ],
    ['no turns', lines({ messages: [] }), /:1: messages must be a non-empty array/],
    [
      'an unknown role',
      lines({ messages: [{ role: 'tool', content: 'x' }] }),
      /messages\[0\]\.role must be one of system.*got "tool"/,
    ],
    [
      'content that is no text',
      lines({ messages: [{ role: 'user', content: [{ type: 'image' }] }] }),
      /messages\[0\]\.content must be a string/,
    ],
    [
      'no answer',
      lines({ messages: [{ role: 'user', content: 'x' }] }),
      /:1: the conversation has no assistant turn/,
    ],
    [
      'no question',
      lines({ messages: [{ role: 'assistant', content: 'x' }] }),
      /:1: the conversation has no user turn/,
    ],
    [
      'a late system turn',
      lines({
        messages: [
          { role: 'user', content: 'x' },
          { role: 'system', content: 'x' },
        ],
      }),
      /messages\[1\]: a system turn/,
    ],
    [
      'an id used twice',
      lines({ ...ok, id: 'x' }, ok, { ...ok, id: 'x' }),
      /:3: the id "x" was already used at .*:1/,
    ],
    ['a language that is no string', lines({ ...ok, lang: 3 }), /lang must be a string, got 3/],
    [
      'an adapter that is no index',
      lines({ ...ok, adapter: -1 }),
      /adapter must be a whole number from 0, got -1/,
    ],
  ])('names %s by file and line', async (_, content, pattern) => {
    await expect(read(content)).rejects.toEqual(invalid(pattern));
  });

  it('says of a folder what to name instead', async () => {
    await expect(readExamples([folder])).rejects.toMatchObject({
      code: 'FILE_IO',
      message: expect.stringContaining(`${folder}: this is a folder; name files, or a pattern`),
    });
  });

  it('names bytes that are not UTF-8', async () => {
    const file = write(Buffer.concat([Buffer.from(lines(ok)), Buffer.from([0x22, 0xff, 0x22, 10])]));
    await expect(readExamples([file])).rejects.toEqual(invalid(/:2: expected UTF-8/));
  });

  it('names empty and missing files, damaged gzip, other formats', async () => {
    await expect(read('\n\n')).rejects.toMatchObject({ code: 'DATA_EMPTY' });
    await expect(readExamples([write('[]', 'json')])).rejects.toMatchObject({ code: 'DATA_EMPTY' });
    await expect(readExamples([join(folder, 'absent.jsonl')])).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
    });
    await expect(readExamples([join(folder, 'absent.jsonl.gz')])).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
    });
    await expect(readExamples([folder])).rejects.toMatchObject({ code: 'FILE_IO' });
    const whole = gzipSync(lines(ok, ok, ok));
    await expect(readExamples([write(whole.subarray(0, 20), 'jsonl.gz')])).rejects.toMatchObject({
      code: 'FILE_DAMAGED',
    });
    await expect(readExamples([write('a,b', 'csv')])).rejects.toMatchObject({ code: 'DATA_EMPTY' });
    await expect(readExamples([write('[{"a":1}', 'json')])).rejects.toEqual(invalid(/a JSON array/));
    await expect(readExamples([])).rejects.toThrow(RangeError);
  });
});
