// Published sets in the forms that their authors write, on small files of this test's own words.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, describe, expect, it } from 'vitest';
import { importData } from '../../lib/data/importers/import';

const folder = mkdtempSync(join(tmpdir(), 'importers-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;

function write(records: unknown, extension = 'jsonl'): string {
  files += 1;
  const file = join(folder, `set${files}.${extension}`);
  const lines = (records as unknown[]).map((record) => `${JSON.stringify(record)}\n`).join('');
  const text = extension.startsWith('jsonl') ? lines : JSON.stringify(records);
  writeFileSync(file, extension.endsWith('.gz') ? gzipSync(text) : text);
  return file;
}

const sum = (counts: Record<string, number>): number => Object.values(counts).reduce((a, b) => a + b, 0);

describe('LIMA', () => {
  const records = [
    { conversations: ['How do I boil an egg?', 'In water, for eight minutes.'], source: 'wikihow' },
    { conversations: ['Hello', 'Hi!', 'And you?', 'Fine.'], source: 'multi_turn' },
    { conversations: ['Is it late?', 'Yes.', 'Really?'], source: 'multi_turn' },
    { conversations: ['Only a prompt'], source: 'test' },
    { conversations: ['An empty answer', ' '] },
  ];

  it('gives instruction and response, messages where there is more, and counts the rest', async () => {
    const result = await importData('lima', [write(records)]);
    expect(result.records).toEqual([
      {
        id: 'lima-0',
        lang: 'en',
        parallel_id: 'lima-0',
        instruction: 'How do I boil an egg?',
        response: 'In water, for eight minutes.',
        source: 'lima/wikihow',
      },
      {
        id: 'lima-1',
        lang: 'en',
        parallel_id: 'lima-1',
        messages: [
          { role: 'user', content: 'Hello' },
          { role: 'assistant', content: 'Hi!' },
          { role: 'user', content: 'And you?' },
          { role: 'assistant', content: 'Fine.' },
        ],
        source: 'lima/multi_turn',
      },
      expect.objectContaining({ id: 'lima-2', instruction: 'Is it late?', response: 'Yes.' }),
    ]);
    expect(result.skipped).toEqual({ 'a prompt without an answer': 1, 'an empty turn': 1 });
    expect(result.read).toBe(result.records.length + sum(result.skipped));
    expect(result.notes.join()).toMatch(/not known here/);
  });

  it('takes another language and a limit', async () => {
    const result = await importData('lima', [write(records)], { lang: 'fi', max: 1 });
    expect(result.records.map(({ id, lang }) => [id, lang])).toEqual([['lima-0', 'fi']]);
    expect(result.skipped['over --max']).toBe(2);
    await expect(importData('lima', [write(records)], { lang: 'finnish' })).rejects.toThrow(/'fi'/);
    await expect(importData('lima', [write(records)], { max: 0 })).rejects.toThrow(RangeError);
  });

  it('names what is of another form', async () => {
    const chat = write([records[0], { conversations: [{ from: 'human', value: 'q' }] }]);
    await expect(importData('lima', [chat])).rejects.toThrow(
      /set\d+\.jsonl:2: no record of LIMA .*"conversations\[0\]" to be a string, got \{"from"/,
    );
    await expect(importData('lima', [write([{ text: 'x' }])])).rejects.toMatchObject({
      code: 'DATA_INVALID',
    });
    await expect(importData('lima', [write(['text'])])).rejects.toThrow(/expected a JSON object, got "text"/);
  });
});

const message = (id: string, role: string, text: string, more: object = {}) => ({
  message_id: id,
  role,
  text,
  lang: 'en',
  review_count: 3,
  review_result: true,
  deleted: false,
  ...more,
});

/** Trees of the kinds that there are, each with what should come of it. */
const TREES = [
  {
    prompt: message('a', 'prompter', 'Why is the sea salty?'),
    replies: [
      message('a1', 'assistant', 'Rivers.', { rank: 1 }),
      message('a2', 'assistant', 'Rivers carry salt into it.', { rank: 0 }),
      message('a3', 'assistant', 'No idea.', { rank: 2 }),
    ],
  },
  {
    prompt: message('b', 'prompter', '¿Qué hora es?', { lang: 'es' }),
    replies: [message('b1', 'assistant', 'No lo sé.', { lang: 'es' })],
  },
  {
    prompt: message('c', 'prompter', 'The best one is deleted'),
    replies: [
      message('c1', 'assistant', 'deleted', { rank: 0, deleted: true }),
      message('c2', 'assistant', 'rejected', { rank: 1, review_result: false }),
      message('c3', 'assistant', 'kept', { rank: 2 }),
    ],
  },
  {
    prompt: message('d', 'prompter', 'Deleted', { deleted: true }),
    replies: [message('d1', 'assistant', 'x')],
  },
  {
    prompt: message('e', 'prompter', 'Not reviewed', { review_result: null }),
    replies: [message('e1', 'assistant', 'x')],
  },
  { prompt: message('f', 'prompter', 'Nobody answers'), replies: [] },
  {
    prompt: message('g', 'prompter', 'Nobody ranks'),
    replies: [message('g1', 'assistant', 'x'), message('g2', 'assistant', 'y')],
  },
  {
    prompt: message('h', 'prompter', 'All rejected'),
    replies: [message('h1', 'assistant', 'x', { review_result: false })],
  },
  {
    prompt: message('i', 'prompter', 'Growing'),
    replies: [message('i1', 'assistant', 'x')],
    state: 'growing',
  },
  {
    prompt: message('j', 'prompter', 'Answered in German'),
    replies: [message('j1', 'assistant', 'Nein', { lang: 'de' })],
  },
];

const asTrees = TREES.map(({ prompt, replies, state = 'ready_for_export' }) => ({
  message_tree_id: prompt.message_id,
  tree_state: state,
  prompt: {
    ...prompt,
    replies: replies.map((reply) => ({ ...reply, replies: [message('deep', 'prompter', 'More?')] })),
  },
}));

const asMessages = TREES.flatMap(({ prompt, replies, state = 'ready_for_export' }) => {
  const common = { message_tree_id: prompt.message_id, tree_state: state };
  return [
    ...replies.map((reply) => ({ ...reply, parent_id: prompt.message_id, ...common })),
    { ...prompt, parent_id: null, ...common },
    ...replies.map((reply) => ({
      ...message(`${reply.message_id}x`, 'prompter', 'More?'),
      parent_id: reply.message_id,
      ...common,
    })),
  ];
});

const KEPT = [
  ['oasst-a', 'en', 'Why is the sea salty?', 'Rivers carry salt into it.'],
  ['oasst-b', 'es', '¿Qué hora es?', 'No lo sé.'],
  ['oasst-c', 'en', 'The best one is deleted', 'kept'],
];

const SKIPPED = {
  'a prompt deleted or not accepted in review': 2,
  'no reply': 1,
  'several replies, none of them ranked': 1,
  'every reply deleted or not accepted in review': 1,
  'a tree that is not ready for export': 1,
  'a reply in another language': 1,
};

describe('OpenAssistant', () => {
  async function flatParquet(): Promise<string> {
    const json = write(asMessages);
    const file = `${json}.parquet`;
    const connection = await (await DuckDBInstance.create(':memory:', { threads: '1' })).connect();
    await connection.run(`COPY (SELECT * FROM read_json('${json}')) TO '${file}' (FORMAT parquet)`);
    connection.closeSync();
    return file;
  }

  it.each([
    ['trees', async () => write(asTrees)],
    ['trees, compressed', async () => write(asTrees, 'jsonl.gz')],
    ['messages', async () => write(asMessages)],
    ['messages in Parquet', flatParquet],
  ])('takes the first turn with its top-ranked reply and counts what it leaves out: %s', async (_, file) => {
    const result = await importData('oasst', [await file()]);
    expect(
      result.records.map(({ id, lang, instruction, response }) => [id, lang, instruction, response]),
    ).toEqual(KEPT);
    expect(result.records[0]).toMatchObject({ parallel_id: 'oasst-a', source: 'oasst' });
    expect(result.skipped).toEqual(SKIPPED);
    expect(result.read).toBe(TREES.length);
  });

  it('keeps one language, and takes no review for granted where none is told', async () => {
    const result = await importData('oasst', [write(asTrees)], { lang: 'es' });
    expect(result.records.map(({ id }) => id)).toEqual(['oasst-b']);
    expect(result.skipped['in another language than es']).toBe(TREES.length - 1);
    const bare = { message_id: 'z', parent_id: null, role: 'prompter', text: 'q', lang: 'en' };
    const reply = { message_id: 'z1', parent_id: 'z', role: 'assistant', text: 'a', lang: 'en' };
    expect((await importData('oasst', [write([bare, reply])])).records).toHaveLength(1);
  });

  it('names what is of another form', async () => {
    const wrong = (record: object) => importData('oasst', [write([record])]);
    await expect(wrong({ text: 'x' })).rejects.toThrow(
      /:1: no record of OpenAssistant .*"message_id" to be a string/,
    );
    await expect(wrong({ ...asMessages[1], rank: 'first' })).rejects.toThrow(
      /"rank" to be a number, got "first"/,
    );
    await expect(wrong({ prompt: { ...TREES[0]!.prompt, replies: 1 } })).rejects.toThrow(/"prompt.replies"/);
    await expect(wrong({ prompt: message('a', 'assistant', 'x') })).rejects.toThrow(/role "prompter"/);
    await expect(importData('oasst', [write([asTrees[0], asTrees[0]])])).rejects.toThrow(
      /:2: .*each "message_id" once/,
    );
  });
});

describe('AlpacaFarm', () => {
  const parts = ['helpful_base', 'oasst', 'vicuna', 'oasst', 'koala'];
  const set = parts.map((dataset, i) => ({
    instruction: `Task ${i}`,
    input: i === 2 ? 'with input' : '',
    output: `Output ${i}`,
    generator: 'a_model',
    dataset,
  }));

  it('gives prompts, names them by their place in the whole set, and leaves parts out', async () => {
    const result = await importData('alpaca-farm', [write(set, 'json')], { excludeDataset: ['oasst'] });
    expect(result.records).toEqual([
      {
        id: 'alpaca-farm-0',
        lang: 'en',
        parallel_id: 'alpaca-farm-0',
        instruction: 'Task 0',
        source: 'alpaca-farm/helpful_base',
      },
      expect.objectContaining({ id: 'alpaca-farm-2', input: 'with input', source: 'alpaca-farm/vicuna' }),
      expect.objectContaining({ id: 'alpaca-farm-4' }),
    ]);
    expect(result.skipped).toEqual({ 'of the part oasst': 2 });
    expect(result.notes[0]).toBe('parts: helpful_base 1, koala 1, oasst 2, vicuna 1');
    expect(result.notes.join()).toMatch(/617.*derived by arithmetic/);
  });

  it('has as many as the paper where the set has its parts', async () => {
    const sizes = { selfinstruct: 252, helpful_base: 129, oasst: 188, koala: 156, vicuna: 80 };
    const whole = Object.entries(sizes).flatMap(([dataset, n]) =>
      Array.from({ length: n }, (_, i) => ({ ...set[0], instruction: `${dataset} ${i}`, dataset })),
    );
    const file = write(whole, 'json');
    expect((await importData('alpaca-farm', [file])).records).toHaveLength(805);
    expect((await importData('alpaca-farm', [file], { excludeDataset: ['oasst'] })).records).toHaveLength(
      617,
    );
  });

  it('keeps outputs where that is asked, and says whose they are', async () => {
    const result = await importData('alpaca-farm', [write(set, 'json')], { withOutput: true });
    expect(result.records[1]).toMatchObject({ response: 'Output 1' });
    expect(result.notes.join()).toMatch(/one model’s outputs, not references/);
  });

  it('refuses parts that there are not, and other forms', async () => {
    await expect(
      importData('alpaca-farm', [write(set, 'json')], { excludeDataset: ['oast'] }),
    ).rejects.toThrow(
      /no record is of the part "oast"; there are helpful_base, koala, oasst, vicuna; did you mean 'oasst'/,
    );
    await expect(importData('alpaca-farm', [write([{ prompt: 'x' }])])).rejects.toThrow(
      /no record of AlpacaFarm .*"instruction" to be a string, got nothing/,
    );
  });
});
