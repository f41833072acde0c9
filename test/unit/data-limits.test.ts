// Data as people have it: files of one name in several folders, records longer than any model takes, part of a pass.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { planSteps, planTraining, readExamples, renderPrompt, Tokenizer } from '../../lib/index';
import { ChatTemplate } from '../../lib/model/template';
import { fixture, scratch } from '../support/fixtures';

const folder = scratch();
const model = fixture('llama-tiny', 'model');

function write(name: string, records: object[]): string {
  const file = join(folder, name);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  return file;
}
const unnamed = (text: string) => [
  { instruction: text, response: 'one' },
  { instruction: text, response: 'two' },
];
const plan = (options: object) =>
  planTraining({ model, template: 'alpaca', threads: 1, ...options } as never);

describe('records without ids', () => {
  const first = write('en/train.jsonl', unnamed('say'));
  const second = write('de/train.jsonl', unnamed('sag'));

  it('of two files of one name have two names', async () => {
    const ids = (await readExamples([first, second])).map((example) => example.id);
    expect(ids).toEqual(['train:1', 'train:2', 'train~2:1', 'train~2:2']);
    await expect(readExamples([first, first])).rejects.toMatchObject({ code: 'DATA_INVALID' });
  });

  it('may be trained on and scored from two files of one name, not from one file', async () => {
    const { data } = await plan({ data: [first], dev: second });
    expect(data.dev).toHaveLength(2);
    await expect(plan({ data: [first], dev: first })).rejects.toMatchObject({ code: 'DATA_INVALID' });
  });
});

describe('very long records', () => {
  it('are cut to the model’s context, and that is said', async () => {
    const file = write('long.jsonl', [{ id: 'long', instruction: 'go on', response: 'on '.repeat(2000) }]);
    const notes: string[] = [];
    const options = { model, data: [file], template: 'alpaca', threads: 1 };
    const { data, plan: planned } = await planTraining(options, { onNote: (note) => notes.push(note) });
    expect(data.train[0]).toMatchObject({ cut: true, tokens: { length: 512 } });
    expect(planned.microTokens).toBe(512);
    expect(notes.join('\n')).toMatch(/context is 512 tokens[\s\S]*cut to length: und 1/);
  });

  it('of hundreds of thousands of tokens do not overflow the stack', async () => {
    const tokenizer = await Tokenizer.fromHuggingFace(model);
    const template = await ChatTemplate.create({ template: 'alpaca', tokenizer });
    const turns = [{ role: 'user', content: 'x y '.repeat(100_000) }];
    const { tokens } = renderPrompt(turns, { tokenizer, template });
    expect(tokens.length).toBeGreaterThan(200_000);
    expect(tokens[0]).toBe(tokenizer.bosId);
    expect(tokens[1]).not.toBe(tokenizer.bosId);
  });
});

it('half an epoch is half of its steps, rounded up', () => {
  const count = (epochs: number) =>
    planSteps({ lengths: new Array(10).fill(1), seed: 1, batchExamples: 2, epochs }).length;
  expect([0.1, 0.5, 1, 1.2, 2].map(count)).toEqual([1, 3, 5, 6, 10]);
});

it.each([
  ['a record', (text: string) => JSON.stringify({ instruction: text, response: 'r' })],
  ['an array', (text: string) => JSON.stringify([{ instruction: text, response: 'r' }])],
])('one line of many pieces, %s, is put together once', async (_, json) => {
  // Pieces that are joined as each comes would copy the line once a piece: half the square of their number.
  const text = json('word '.repeat(2 ** 20));
  const file = join(folder, 'one-line.json');
  writeFileSync(file, text);
  const concat = vi.spyOn(Buffer, 'concat');
  try {
    expect(await readExamples([file])).toHaveLength(1);
    const copied = concat.mock.results.reduce((sum, { value }) => sum + (value as Buffer).length, 0);
    expect(concat.mock.calls[0]![0].length, 'the line came in one piece').toBeGreaterThan(10);
    expect(copied).toBe(text.length);
  } finally {
    concat.mockRestore();
  }
});
