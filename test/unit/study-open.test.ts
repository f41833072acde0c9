// The open-ended run's data: English from one set only, a pinch's worth of others, and no item of the references in training.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { buildOpen, LONGEST, PROMPTS, TRAINING } from '../../examples/study/open.mjs';
import { readExamples } from '../../lib/data/read';
import { scratch } from '../support/fixtures';

interface Line {
  id: string;
  lang: string;
  parallel_id?: string;
  instruction: string;
  response?: string;
  source: string;
}

const lines = (file: string, languages: readonly string[], count: number, parallel = true): Line[] =>
  languages.flatMap((lang) =>
    Array.from({ length: count }, (_, at) => ({
      id: `${file}-${lang}-${at}`,
      lang,
      ...(parallel && { parallel_id: `${file}-${at}` }),
      instruction: `question ${at}`,
      response: at === 3 ? 'x'.repeat(LONGEST) : `answer ${at}`,
      source: file,
    })),
  );

const SETS: Record<string, Line[]> = {
  'train-oasst.jsonl': lines('train-oasst.jsonl', ['en', 'fi'], 60),
  'train-llamafactory-demo.jsonl': lines('train-llamafactory-demo.jsonl', ['en', 'zh'], 10, false),
  'train-seed-tasks.jsonl': lines('train-seed-tasks.jsonl', ['en', 'et', 'ru'], 50),
  'train-afriqa.jsonl': lines('train-afriqa.jsonl', ['en', 'sw'], 10),
  'train-mgsm-exemplars.jsonl': lines('train-mgsm-exemplars.jsonl', ['en', 'es', 'ru'], 8),
  'eval-afriqa.jsonl': lines('eval-afriqa.jsonl', ['en', 'sw'], 70),
  ...Object.fromEntries(
    Object.values(PROMPTS).map((file) => [
      file,
      lines(file, ['en', 'ar'], 5).map(({ response: _, ...prompt }) => prompt),
    ]),
  ),
};

it('trains on English of one set alone and keeps the references out', async () => {
  const sets = scratch();
  for (const [file, records] of Object.entries(SETS))
    writeFileSync(join(sets, file), records.map((record) => JSON.stringify(record)).join('\n'));
  const paths = buildOpen(sets, join(scratch(), 'open'));
  const read = (path: string): Line[] =>
    readFileSync(path, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));

  const train = read(paths.train);
  const references = read(paths.references);
  for (const [file, languages] of Object.entries(TRAINING)) {
    const langs = train.filter(({ source }) => source === file).map(({ lang }) => lang);
    expect([...new Set(langs)].sort(), file).toEqual([...languages].sort());
  }
  const items = new Set(references.map(({ parallel_id }) => parallel_id));
  expect(items.size).toBe(120);
  expect(references.filter(({ source }) => source === 'train-seed-tasks.jsonl')).toHaveLength(40 * 3);
  expect(train.filter(({ parallel_id }) => parallel_id && items.has(parallel_id))).toEqual([]);
  // 60 items, of which 40 are held out and one is too long, in two languages.
  expect(train.filter(({ source }) => source === 'train-oasst.jsonl')).toHaveLength(19 * 2);
  expect([...train, ...references].every(({ response }) => response!.length < LONGEST)).toBe(true);

  expect(await readExamples([paths.train], { need: 'reference' })).toHaveLength(train.length);
  expect(read(paths.multiq)).toEqual(SETS[PROMPTS.multiq!]);
  const again = buildOpen(sets, join(scratch(), 'again'));
  expect(readFileSync(again.references, 'utf8')).toBe(readFileSync(paths.references, 'utf8'));
});
