// Files that grow by lines while people and judges work, and the tasks that people are given: what is read, and what the next
// writer makes of a file that somebody has damaged.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LabelStore, RATINGS_FILE, VERDICTS_FILE } from '../../lib/annotate/labels';
import { turnsFor } from '../../lib/annotate/order';
import { type AnnotationTask, describeTask, findTask, TASK_FILE, taskHash } from '../../lib/annotate/task';
import {
  qualificationsFile,
  readQualifications,
  storeQualifications,
} from '../../lib/eval/judges/qualification';
import { gradesOf, lastWords, machineChoices, personChoices, personPairs } from '../../lib/eval/people';
import {
  groupVerdicts,
  openRatings,
  openVerdicts,
  type RatingLine,
  readRatings,
  readVerdicts,
  turnedAbout,
  type VerdictLine,
  verdictPairs,
} from '../../lib/eval/verdicts';
import { Journal, readJournal } from '../../lib/experiment/store/journal';
import { Store } from '../../lib/experiment/store/store';
import type { FinishedJob } from '../../lib/experiment/store/types';
import { taskOf } from '../support/annotation';
import { answers, damaged, deep, hostileFolder, property as longProperty, mutated, textOf } from './hostile';

/** Most of these wait for the disk. */
const property = <T>(name: string, inputs: fc.Arbitrary<T>, check: (input: T) => Promise<void>): void =>
  longProperty(name, inputs, check, 20);
const write = hostileFolder();
const lines = (...values: unknown[]): string => values.map((value) => `${textOf(value)}\n`).join('');

/** Damaged in any way, or cut where its writer was killed. */
const torn = (valid: string): fc.Arbitrary<Buffer> =>
  fc.oneof(
    damaged(valid),
    fc.nat(valid.length).map((length) => Buffer.from(valid.slice(0, length))),
  );

/**
 * A writer who opens a file either refuses it, which changes no byte, or keeps its whole lines and puts `line` behind them; so also
 * the second time.
 */
async function keepsWhatIsWhole(file: string, line: unknown, append: () => Promise<void>): Promise<void> {
  const before = readFileSync(file);
  if (!(await answers(() => append().then(() => true)))) {
    expect(readFileSync(file).equals(before)).toBe(true);
    return;
  }
  // Blocks of zeros that a machine without power has left are no line, although one may end like it.
  const whole = before.includes(0) ? undefined : before.subarray(0, before.lastIndexOf(10) + 1).toString();
  const after = readFileSync(file, 'utf8');
  expect(after.endsWith(lines(line))).toBe(true);
  const kept = after.slice(0, -lines(line).length);
  expect(before.toString().startsWith(kept)).toBe(true);
  if (whole !== undefined) expect(kept).toBe(whole);
  await append();
  expect(readFileSync(file, 'utf8')).toBe(after + lines(line));
}

const at = '2026-01-31T12:00:00Z';
const place = { id: 'fi-1', item: '1', lang: 'fi', sample: 0 };
const hash = 'ab'.repeat(8);
const verdict: VerdictLine = {
  judge: 'openai:m@host',
  protocol: 'tie',
  a: 'base',
  b: 'tuned',
  ...place,
  order: 'AB',
  verdict: 'A',
  reason: 'r',
  model: 'm-1',
  wording: hash,
  key: hash,
  tokens: 7,
  at,
};
const byPerson: VerdictLine = { ...verdict, judge: 'person:ana', verdict: null, reason: 'taken back' };

describe('verdicts', () => {
  /** All that is made of lines. */
  const use = (read: readonly VerdictLine[]): void => {
    const last = lastWords(read);
    personPairs(last);
    personChoices(last);
    machineChoices(last);
    for (const line of read) {
      expect(['A', 'B', 'tie', null]).toContain(line.verdict);
      expect(turnedAbout(turnedAbout(line))).toEqual(line);
    }
  };
  for (const [name, line] of [
    ['a judge', verdict],
    ['a person', byPerson],
  ] as const)
    property(`of ${name}, with places replaced`, mutated([line, { ...line, order: 'BA' }]), async (value) => {
      const file = write('verdicts.jsonl', lines(...(Array.isArray(value) ? value : [value]), verdict));
      const read = await answers(() => readVerdicts(file), 'verdicts.jsonl:');
      if (read === undefined) return;
      use(read);
      for (const group of groupVerdicts(read)) await answers(() => verdictPairs(group), 'verdicts:');
    });
  property(
    'of damaged bytes, read and written on',
    torn(lines(verdict, byPerson, { ...verdict, order: 'BA' })),
    async (bytes) => {
      const file = write('verdicts.jsonl', bytes);
      const read = await answers(() => readVerdicts(file), 'verdicts.jsonl:');
      use(read ?? []);
      await keepsWhatIsWhole(file, verdict, async () => {
        await using open = await openVerdicts(file);
        await open.append([verdict]);
      });
    },
  );
});

describe('ratings', () => {
  const rating = { judge: 'local:m', model: 'base', ...place, judgeModel: 'm', wording: hash, key: hash, at };
  const facets = { language: 1, fluency: 2, helpfulness: 0, accuracy: 1, coherence: 2, harmlessness: 2 };
  const all: RatingLine[] = [
    { ...rating, rubric: 'excellent-pass-fail', rating: { grade: 'pass' } },
    { ...rating, rubric: 'helpfulness-1-6', rating: { helpfulness: 4 } },
    { ...rating, rubric: 'facets-0-2', rating: facets },
    { ...rating, rubric: 'facets-0-2', rating: null, reason: 'out of form' },
  ];
  property('with places replaced', mutated(all), async (value) => {
    const file = write('ratings.jsonl', lines(...(Array.isArray(value) ? value : [value])));
    const read = await answers(() => readRatings(file), 'ratings.jsonl:');
    for (const { sample } of gradesOf(lastWords(read ?? []))) expect(sample).toBeGreaterThanOrEqual(0);
  });
  property('of damaged bytes, read and written on', torn(lines(...all)), async (bytes) => {
    const file = write('ratings.jsonl', bytes);
    await answers(() => readRatings(file), 'ratings.jsonl:');
    await keepsWhatIsWhole(file, all[0], async () => {
      await using open = await openRatings(file);
      await open.append([all[0]!]);
    });
  });
});

describe('qualifications', () => {
  const estimate = { value: 0.9, low: 0.8, high: 0.95, n: 20 };
  const one = {
    judge: 'local:m',
    protocol: 'forced' as const,
    wording: hash,
    lang: 'fi',
    pairs: 20,
    accuracy: estimate,
    consistency: estimate,
    outOfForm: 0,
    byKind: { shuffled: estimate, empty: { value: 1, n: 5 } },
    qualified: true,
    at,
  };
  const verdicts = write('v.jsonl', '');
  const name = qualificationsFile('v.jsonl');
  property('with places replaced', mutated(one), async (value) => {
    write(name, lines(one, value));
    const read = await answers(() => readQualifications(verdicts), `${name}:`);
    for (const { pairs } of read ?? []) expect(pairs).toBeGreaterThan(0);
  });
  property('of damaged bytes, read and written on', torn(lines(one, one)), async (bytes) => {
    const file = write(name, bytes);
    await answers(() => readQualifications(verdicts), `${name}:`);
    await keepsWhatIsWhole(file, one, () => storeQualifications(verdicts, [one]));
  });
});

describe('a task for people', () => {
  for (const kind of ['choose', 'rate'] as const) {
    const task = taskOf({ kind, items: 2, languages: ['en', 'ar'], identical: [1] });
    const folder = join(write('x', ''), '..', kind);
    mkdirSync(folder, { recursive: true });
    const put = (content: string | Uint8Array): string => write(join(kind, TASK_FILE), content);

    property(
      `(${kind}) with places replaced, under a hash that vouches for it`,
      fc.tuple(mutated(task), fc.boolean()),
      async ([value, vouched]) => {
        if (vouched) {
          try {
            (value as AnnotationTask).hash = taskHash(value as AnnotationTask);
          } catch {
            return; // not near enough to a task to have one
          }
        }
        put(textOf(value));
        const read = await answers(() => findTask(folder), TASK_FILE);
        if (read === undefined) return;
        for (const { item, model = 0 } of turnsFor(read, 'ana'))
          expect(typeof read.items[item]!.answers[model]).toBe('string');
        for (const item of read.items) expect(item.answers).toHaveLength(read.models.length);
        expect(describeTask(read)).not.toMatch(/[\0\u001b]/);
      },
    );
    property(`(${kind}) of damaged bytes`, damaged(JSON.stringify(task)), async (bytes) => {
      put(bytes);
      await answers(() => findTask(folder), TASK_FILE);
    });

    const line = {
      judge: 'person:Ana',
      ...place,
      id: task.items[0]!.id,
      lang: task.items[0]!.lang,
      at,
      ...(kind === 'choose'
        ? { protocol: 'tie', a: task.models[0]!.name, b: task.models[1]!.name, order: 'AB', verdict: 'A' }
        : { rubric: 'excellent-pass-fail', model: task.models[0]!.name, rating: { grade: 'pass' } }),
    };
    property(`(${kind}) beside labels with places replaced`, mutated([line, line]), async (value) => {
      const file = kind === 'choose' ? VERDICTS_FILE : RATINGS_FILE;
      write(join(kind, file), lines(...(Array.isArray(value) ? value : [value])));
      const store = await answers(() => LabelStore.open(folder, task), `${file}:`);
      if (store === undefined) return;
      const questions = store.questions('ana');
      const key = questions[0]!.key;
      const was = questions[0]!.label;
      const label = kind === 'choose' ? 'first' : 'fail';
      expect(await store.submit('ana', { key, label, was })).toMatchObject({ label });
      await store.close();
      await using again = await LabelStore.open(folder, task);
      expect(again.questions('ANA').find((each) => each.key === key)?.label).toBe(label);
    });
  }
});

describe('an experiment’s journal', () => {
  const job: FinishedJob = {
    version: 1,
    hash: 'ab'.repeat(16),
    kind: 'train',
    description: {},
    outputs: { 'a/b.json': { bytes: 3, sha256: 'x' } },
    startedAt: at,
    seconds: 1,
    host: 'h',
    threads: 1,
    summary: {},
  } as unknown as FinishedJob;
  property('of damaged bytes, read and written on', torn(lines(job, job)), async (bytes) => {
    const file = write('journal.jsonl', bytes);
    await keepsWhatIsWhole(file, job, async () => {
      const { length } = await readJournal(file);
      const journal = await Journal.open(file, length);
      await journal.append(job);
      await journal.close();
    });
  });
  property('with places replaced, as its writer opens it', mutated(job), async (value) => {
    write('store.json', '{"version":1}');
    const file = write('jobs.jsonl', lines(job, value));
    const store = await answers(() => Store.open(join(file, '..'), { write: true }), 'jobs.jsonl:');
    await store?.close();
  });
  property(
    'whose store.json has places replaced',
    mutated({ version: 2, created: at, packageVersion: '9.0.0' }),
    async (value) => {
      write('jobs.jsonl', '');
      const file = write('store.json', textOf(value));
      const store = await answers(() => Store.open(join(file, '..'), { write: false }), 'store.json');
      await store?.close();
    },
  );
});

it('lines that nest without end are refused by their number', async () => {
  for (const read of [readVerdicts, readRatings, readJournal])
    await expect(read(write('deep.jsonl', `\n${deep('[', ']')}\n`))).rejects.toMatchObject({
      name: 'MlitError',
    });
});
