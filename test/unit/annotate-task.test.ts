// What people are asked: how a task is made of files, what it refuses, and in which order each person meets it.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AnnotationTaskOptions, makeAnnotationTask } from '../../lib/annotate/make';
import { foldName, personName, questionsOf, turnsFor } from '../../lib/annotate/order';
import {
  type AnnotationTask,
  isIdentical,
  readAnnotationTask,
  writeAnnotationTask,
} from '../../lib/annotate/task';
import { answersTo, MODELS, prompts, taskOf } from '../support/annotation';
import { scratch } from '../support/fixtures';

const folder = scratch();
const asked = prompts(['en', 'es'], 10);
const file = { file: 'prompts.jsonl', sha256: 'f' };
const model = (name: string, answers = answersTo(asked, ({ id }) => `${name} ${id}`)) => ({
  name,
  file: `${name}.jsonl`,
  sha256: 'a',
  answers,
});
const make = (options: Partial<AnnotationTaskOptions> = {}) =>
  makeAnnotationTask({ models: [model('x'), model('y')], prompts: asked, promptsFile: file, ...options });

describe('makeAnnotationTask', () => {
  it('joins prompts and both answers, and chooses between two', () => {
    const { task, notes } = make();
    expect(notes).toEqual([]);
    expect(task).toMatchObject({
      kind: 'choose',
      ties: true,
      seed: 0,
      models: [{ name: 'x' }, { name: 'y' }],
    });
    expect(task.items).toHaveLength(20);
    expect(task.items[1]).toEqual({
      id: 'es-0',
      item: 'p0',
      lang: 'es',
      sample: 0,
      prompt: [{ role: 'user', content: '¿Cuál es la capital de la región 0?' }],
      answers: ['x es-0', 'y es-0'],
    });
  });

  it('rates where there is one model, or where that is asked for', () => {
    expect(make({ models: [model('x')] }).task).toMatchObject({ kind: 'rate', ties: false });
    expect(questionsOf(make({ kind: 'rate' }).task)).toHaveLength(40);
    expect(() => make({ models: [model('x')], kind: 'choose' })).toThrow(/two to choose between, got 1/);
  });

  it('draws as many of each language, of the same items, by the seed', () => {
    const drawn = (seed: number) => make({ sample: 4, seed }).task.items.map(({ id }) => id);
    const ids = drawn(1);
    expect(ids.filter((id) => id.startsWith('en')).map((id) => id.slice(3))).toEqual(
      ids.filter((id) => id.startsWith('es')).map((id) => id.slice(3)),
    );
    expect(ids).toHaveLength(8);
    expect(drawn(1)).toEqual(ids);
    expect(drawn(2)).not.toEqual(ids);
  });

  it('draws shared items first where a language lacks some, and says where there are too few', () => {
    const some = asked.filter(({ id }) => !/^es-[0-5]$/.test(id));
    const models = ['x', 'y'].map((name) =>
      model(
        name,
        answersTo(some, () => name),
      ),
    );
    const { task } = make({ models, prompts: some, sample: 4 });
    expect(task.items.map(({ item }) => item)).toEqual(['p6', 'p6', 'p7', 'p7', 'p8', 'p8', 'p9', 'p9']);
    expect(make({ models, prompts: some, sample: 6 }).notes).toEqual([
      'es: has 4 answered prompts, fewer than 6',
    ]);
  });

  it('takes the first of several answers to a prompt and says so', () => {
    const twice = [...answersTo(asked, () => 'later', 1), ...answersTo(asked, () => 'first', 0)];
    const { task, notes } = make({ models: [model('x', twice), model('y')] });
    expect(task.items[0]).toMatchObject({ sample: 0, answers: ['first', 'y en-0'] });
    expect(notes).toEqual([
      'x.jsonl: prompts were answered several times; people see the first answer to each',
    ]);
  });

  it('refuses what does not fit together, naming file and record', () => {
    const answers = answersTo(asked, () => 'x');
    const refused = (options: Partial<AnnotationTaskOptions>, message: RegExp, code = 'DATA_INVALID') => {
      const error = thrown(() => make(options));
      expect(error.message).toMatch(message);
      if (code !== '') expect(error).toMatchObject({ code });
    };
    refused(
      { models: [model('x', answers.slice(1)), model('y')] },
      /y\.jsonl: "en-0" is answered here and not/,
    );
    refused({ models: [model('x', [...answers, answers[0]!]), model('y')] }, /"en-0" has sample 0 twice/);
    refused({ prompts: asked.slice(2) }, /x\.jsonl: "en-0", "es-0" are in no record of the prompts/);
    refused({ languages: ['fi'] }, /no prompt in fi was answered; there are en, es/, 'DATA_EMPTY');
    refused({ models: [model('x'), model('x')] }, /both are called "x"/, '');
    refused({ sample: 0 }, /sample: expected a whole number from 1, got 0/, '');
    refused({ sampel: 3 } as never, /there is no option 'sampel'; did you mean 'sample'/, '');
  });
});

function thrown(act: () => unknown): Error {
  try {
    act();
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
}

describe('a task’s folder', () => {
  const place = (name: string): string => join(folder, name);

  it('gives back what was written, and takes the same task again', async () => {
    const { task } = make();
    await writeAnnotationTask(place('same'), task);
    const bytes = readFileSync(join(place('same'), 'task.json'));
    await writeAnnotationTask(place('same'), { ...make().task, created: 'later' });
    expect(readFileSync(join(place('same'), 'task.json'))).toEqual(bytes);
    expect(await readAnnotationTask(place('same'))).toEqual(task);
  });

  it('refuses another task in its place', async () => {
    await writeAnnotationTask(place('other'), make().task);
    await expect(writeAnnotationTask(place('other'), make({ seed: 1 }).task)).rejects.toMatchObject({
      code: 'STATE_MISMATCH',
      message: expect.stringMatching(
        /holds another task \(choose, ties allowed, seed 0, x and y, 20 prompts in en, es\)/,
      ),
    });
  });

  it('refuses a task whose texts were changed, and what is none', async () => {
    await writeAnnotationTask(place('changed'), make().task);
    const path = join(place('changed'), 'task.json');
    writeFileSync(path, readFileSync(path, 'utf8').replace('x en-0', 'z en-0'));
    await expect(readAnnotationTask(place('changed'))).rejects.toMatchObject({ code: 'FILE_DAMAGED' });
    await expect(readAnnotationTask(place('nothing'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
    mkdirSync(place('broken'), { recursive: true });
    for (const [text, message] of [
      ['{"version":', /expected a task as JSON/],
      ['{"version": 2}', /a newer mlit-native wrote/],
      ['{"version": 1}', /kind: is needed/],
    ] as const) {
      writeFileSync(join(place('broken'), 'task.json'), text);
      await expect(readAnnotationTask(place('broken'))).rejects.toThrow(message);
    }
  });
});

describe('turnsFor', () => {
  const people = fc.constantFrom('ana', 'Ben', 'שרה', 'محمد', 'Wei 2');
  const tasks = fc
    .record({
      items: fc.integer({ min: 1, max: 9 }),
      seed: fc.nat(1000),
      kind: fc.constantFrom('choose' as const, 'rate' as const),
      identical: fc.uniqueArray(fc.nat(8), { maxLength: 3 }),
    })
    .map((options) => taskOf({ ...options, languages: ['en', 'ar', 'es'] }));

  it('shows each person each question once', () => {
    fc.assert(
      fc.property(tasks, people, (task, person) => {
        const turns = turnsFor(task, person);
        const keys = turns.map(({ key }) => key).sort();
        expect(keys).toEqual(
          questionsOf(task)
            .map(({ key }) => key)
            .sort(),
        );
        expect(new Set(keys).size).toBe(keys.length);
        if (task.kind === 'choose')
          expect(turns.length).toBe(task.items.filter((item) => !isIdentical(item)).length);
      }),
      { numRuns: 50 },
    );
  });

  it('puts either model first as often, in every language', () => {
    fc.assert(
      fc.property(tasks, people, (task, person) => {
        for (const lang of ['en', 'ar', 'es']) {
          const own = turnsFor(task, person).filter(({ item }) => task.items[item]!.lang === lang);
          const swapped = own.filter((turn) => turn.swapped).length;
          if (task.kind === 'rate') expect(swapped).toBe(0);
          else expect(Math.abs(2 * swapped - own.length)).toBeLessThanOrEqual(1);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('depends on seed and person alone, and on neither’s capitals', () => {
    const order = (task: AnnotationTask, person: string) =>
      turnsFor(task, person)
        .map(({ item, swapped }) => `${item}${swapped}`)
        .join(' ');
    const task = taskOf({ items: 20 });
    expect(order(task, 'ana')).toBe(order(taskOf({ items: 20 }), 'Ana'));
    expect(order(task, 'ana')).not.toBe(order(task, 'ben'));
    expect(order(task, 'ana')).not.toBe(order(taskOf({ items: 20, seed: 1 }), 'ana'));
  });

  it('does not put a model where its place in the order would tell', () => {
    // Over many people each question has either model first about as often.
    const task = taskOf({ items: 4, languages: ['en'] });
    const swaps = new Map<number, number>();
    for (let person = 0; person < 400; person += 1)
      for (const { item, swapped } of turnsFor(task, `p${person}`))
        if (swapped) swaps.set(item, (swaps.get(item) ?? 0) + 1);
    for (let item = 0; item < 4; item += 1) {
      expect(swaps.get(item)).toBeGreaterThan(150);
      expect(swaps.get(item)).toBeLessThan(250);
    }
  });

  it('names questions by nothing that tells a model', () => {
    const { key } = questionsOf(taskOf({ kind: 'rate' }))[0]!;
    expect(key).toMatch(/^[0-9a-f]{16}$/);
    expect(MODELS.some((name) => key.includes(name))).toBe(false);
  });
});

describe('personName', () => {
  it.each([
    ['  Ana   Sofía ', 'Ana Sofía'],
    ['J. R.', 'J. R.'],
    ['מרים', 'מרים'],
    ['李', '李'],
  ])('keeps %j as %j', (typed, kept) => expect(personName(typed)).toBe(kept));

  it.each(['', '   ', '<b>', 'a\u0000b', '\u202eabc', '../x', 'x'.repeat(41), '"'])('refuses %j', (typed) =>
    expect(personName(typed)).toBeUndefined(),
  );

  it('takes capitals for the same person', () => expect(foldName('ANA')).toBe(foldName('ana')));
});
