// Labels on the disk: nothing that was taken is ever lost, whoever sends it, how often, and from how many windows.
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { LabelStore } from '../../lib/annotate/labels';
import type { Label } from '../../lib/annotate/protocol';
import { readAnnotationTask, writeAnnotationTask } from '../../lib/annotate/task';
import { lastWords } from '../../lib/eval/people';
import { readRatings, readVerdicts } from '../../lib/eval/verdicts';
import { MODELS, type TaskOptions, taskOf } from '../support/annotation';
import { scratch } from '../support/fixtures';

const folder = scratch();
let count = 0;
const stores: LabelStore[] = [];

async function place(options: TaskOptions = {}): Promise<string> {
  count += 1;
  const path = join(folder, `task${count}`);
  await writeAnnotationTask(path, taskOf(options));
  return path;
}
async function open(path: string): Promise<LabelStore> {
  const store = await LabelStore.open(path, await readAnnotationTask(path));
  stores.push(store);
  return store;
}
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
});
const linesOf = (path: string): string[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '');

describe('LabelStore', () => {
  it('writes what was chosen in terms of the models, with the order in which they were seen', async () => {
    const path = await place();
    const store = await open(path);
    for (const { key } of store.questions('Ana'))
      await store.submit('Ana', { key, label: 'first', was: null });
    const verdicts = await readVerdicts(join(path, 'verdicts.jsonl'));
    expect(verdicts).toHaveLength(12);
    for (const { order, verdict, judge, protocol, a, b } of verdicts) {
      expect({ judge, protocol, a, b }).toEqual({
        judge: 'person:Ana',
        protocol: 'tie',
        a: MODELS[0],
        b: MODELS[1],
      });
      expect(verdict).toBe(order === 'AB' ? 'A' : 'B');
    }
    expect(new Set(verdicts.map(({ order }) => order))).toEqual(new Set(['AB', 'BA']));
  });

  it('takes the same label twice as one, also while the first is being written', async () => {
    const path = await place();
    const store = await open(path);
    const { key } = store.questions('ana')[0]!;
    const label = { key, label: 'tie' as Label, was: null };
    const answers = await Promise.all([
      store.submit('ana', label),
      store.submit('ana', label),
      store.submit('Ana', label),
    ]);
    expect(answers).toEqual([
      { came: 'new', label: 'tie' },
      { came: 'again', label: 'tie' },
      { came: 'again', label: 'tie' },
    ]);
    expect(linesOf(join(path, 'verdicts.jsonl'))).toHaveLength(1);
  });

  it('says that it has a label again only when it is on the disk', async () => {
    const path = await place();
    const store = await open(path);
    const label = { key: store.questions('ana')[0]!.key, label: 'tie' as Label, was: null };
    const order: string[] = [];
    await Promise.all(
      ['written', 'again'].map((what) => store.submit('ana', label).then(() => order.push(what))),
    );
    expect(order).toEqual(['written', 'again']);
  });

  it('does not let one window overwrite another’s answer that it has not seen', async () => {
    const path = await place();
    const store = await open(path);
    const { key } = store.questions('ana')[0]!;
    await store.submit('ana', { key, label: 'first', was: null });
    expect(await store.submit('ana', { key, label: 'second', was: null })).toEqual({
      came: 'late',
      label: 'first',
    });
    expect(linesOf(join(path, 'verdicts.jsonl'))).toHaveLength(1);
    expect(await store.submit('ana', { key, label: 'second', was: 'first' })).toMatchObject({ came: 'new' });
    expect(await store.submit('ana', { key, label: null, was: 'second' })).toEqual({
      came: 'new',
      label: null,
    });
    expect(linesOf(join(path, 'verdicts.jsonl'))).toHaveLength(3);
    expect(lastWords(await readVerdicts(join(path, 'verdicts.jsonl')))).toEqual([]);
  });

  it('keeps two people at once apart and loses nothing', async () => {
    const path = await place({ items: 10 });
    const store = await open(path);
    await Promise.all(
      ['ana', 'ben'].flatMap((name) =>
        store.questions(name).map(({ key }) => store.submit(name, { key, label: 'second', was: null })),
      ),
    );
    const verdicts = await readVerdicts(join(path, 'verdicts.jsonl'));
    const own = (name: string) =>
      new Set(verdicts.filter(({ judge }) => judge === `person:${name}`).map(({ id }) => id));
    expect(own('ana').size).toBe(20);
    expect(own('ben').size).toBe(20);
    expect(verdicts).toHaveLength(40);
  });

  it('goes on where each person was, in terms of the page', async () => {
    const path = await place();
    const labels: Label[] = ['first', 'second', 'tie', 'none'];
    const before = await open(path);
    const asked = before.questions('Ana').map(({ key }) => key);
    for (const [at, label] of labels.entries())
      await before.submit('Ana', { key: asked[at]!, label, was: null });
    await before.submit('Ana', { key: asked[5]!, label: 'first', was: null });
    await before.submit('Ana', { key: asked[5]!, label: null, was: 'first' });
    await before.close();
    const after = await open(path);
    expect(after.questions('ana').map(({ label }) => label)).toEqual([...labels, ...Array(8).fill(null)]);
    expect(after.spelling('ANA')).toBe('Ana');
  });

  it('keeps grades by model', async () => {
    const path = await place({ kind: 'rate' });
    const store = await open(path);
    for (const [at, { key }] of store.questions('ana').entries())
      await store.submit('ana', { key, label: (['excellent', 'pass', 'none'] as const)[at % 3]!, was: null });
    const ratings = await readRatings(join(path, 'ratings.jsonl'));
    expect(ratings).toHaveLength(24);
    expect(ratings.filter(({ model }) => model === MODELS[0])).toHaveLength(12);
    expect(ratings.filter(({ rating }) => rating === null).map(({ reason }) => reason)).toEqual(
      Array(8).fill('cannot say'),
    );
    await store.close();
    expect((await open(path)).questions('ana').map(({ label }) => label)).toContain('excellent');
  });

  it('cuts off half a line and goes on behind the last whole one', async () => {
    const path = await place();
    const first = await open(path);
    const [one, two] = first.questions('ana');
    await first.submit('ana', { key: one!.key, label: 'first', was: null });
    await first.close();
    appendFileSync(join(path, 'verdicts.jsonl'), '{"judge":"person:ana","protocol":"tie","a":"sec');
    const second = await open(path);
    expect(second.questions('ana').filter(({ label }) => label !== null)).toHaveLength(1);
    await second.submit('ana', { key: two!.key, label: 'tie', was: null });
    expect(await readVerdicts(join(path, 'verdicts.jsonl'))).toHaveLength(2);
  });

  it('lets one process in at a time', async () => {
    const path = await place();
    await open(path);
    await expect(open(path)).rejects.toMatchObject({ code: 'STORE_LOCKED' });
  });

  it('leaves lines of others in the file alone', async () => {
    const path = await place();
    const store = await open(path);
    const { key } = store.questions('ana')[0]!;
    await store.submit('ana', { key, label: 'first', was: null });
    await store.close();
    const [line] = linesOf(join(path, 'verdicts.jsonl'));
    const others = [{ judge: 'local:judge' }, { id: 'gone' }, { a: 'x', b: 'y' }].map((over) =>
      JSON.stringify({ ...JSON.parse(line!), ...over }),
    );
    writeFileSync(join(path, 'verdicts.jsonl'), `${[line, ...others].join('\n')}\n`);
    expect((await open(path)).questions('ana').filter(({ label }) => label !== null)).toHaveLength(1);
  });
});
