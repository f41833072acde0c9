// What is written as records reads back as the same examples.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Example } from '../../lib/data/example';
import { readExamples } from '../../lib/data/read';
import { toRecord, writeRecords } from '../../lib/data/write';
import { scratch } from '../support/fixtures';

const folder = scratch();
const text = fc.string({ unit: 'binary' });
const turns = fc.oneof(
  fc.tuple(text, text).map(([q, a]) => [
    { role: 'user', content: q },
    { role: 'assistant', content: a },
  ]),
  fc.tuple(text, text, text, text).map(([s, q, a, more]) => [
    { role: 'system', content: s },
    { role: 'user', content: q },
    { role: 'assistant', content: a },
    { role: 'user', content: more },
  ]),
);
const examples = fc
  .array(
    fc.record(
      {
        lang: fc.constantFrom('en', 'und', 'zh-Hant'),
        turns,
        parallelId: text,
        adapter: fc.nat(3),
        origin: fc.record({ source: text, translation: text }),
      },
      { requiredKeys: ['lang', 'turns'] },
    ),
    { minLength: 1, maxLength: 8 },
  )
  .map((list) =>
    list.map((each, i): Example => ({ id: `r${i}`, ...each, source: { file: 'x', line: i + 1 } })),
  );

it('round trips', async () => {
  await fc.assert(
    fc.asyncProperty(examples, async (list) => {
      const file = join(folder, 'out.jsonl');
      await writeRecords(file, list);
      expect(await readExamples([file])).toEqual(
        list.map((each, i) => ({ ...each, source: { file, line: i + 1 } })),
      );
    }),
    { numRuns: 60 },
  );
  expect(readdirSync(folder)).toEqual(['out.jsonl']);
});

it('keeps instruction and response where that is all, messages where it is not, and plain texts', async () => {
  const source = { file: 'x', line: 1 };
  const user = { role: 'user', content: 'q' };
  const assistant = { role: 'assistant', content: 'a' };
  const base = { id: '1', lang: 'en', source };
  expect(toRecord({ ...base, turns: [user, assistant], origin: { source: 's', translation: 't' } })).toEqual({
    id: '1',
    lang: 'en',
    instruction: 'q',
    response: 'a',
    source: 's',
    translation: 't',
  });
  expect(toRecord({ ...base, turns: [user] })).toEqual({ id: '1', lang: 'en', instruction: 'q' });
  expect(toRecord({ ...base, turns: [user, assistant, user] })).toHaveProperty('messages');
  const plain = { ...base, turns: [], text: 'words' };
  const file = join(folder, 'plain.jsonl');
  await writeRecords(file, [plain]);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ id: '1', lang: 'en', text: 'words' });
  const [again] = await readExamples([file], { need: 'text' });
  expect(again).toEqual({ ...plain, source: { file, line: 1 } });
});

it('leaves nothing behind where it can’t write', async () => {
  await expect(writeRecords(join(folder, 'no', 'out.jsonl'), [])).rejects.toMatchObject({ code: 'FILE_IO' });
  function* failing(): Generator<Example> {
    yield { id: 'a', lang: 'en', turns: [], text: 't', source: { file: 'x', line: 1 } };
    throw new Error('in the middle');
  }
  await expect(writeRecords(join(folder, 'half.jsonl'), failing())).rejects.toThrow('in the middle');
  expect(readdirSync(folder).filter((name) => name.startsWith('half'))).toEqual([]);
});
