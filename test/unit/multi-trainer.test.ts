// Many runs over one base: each has to come out as it does alone, to the bit, whatever the others are and do.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MultiTrainer, type MultiTrainerRun, Trainer } from '../../lib/index';
import { planRuns } from '../../lib/train/multi-plan';
import { fixture, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();
const data = [12, 20, 9].map((count, i) => writeRecords(join(folder, `train-${i}.jsonl`), count));
const common = { model: fixture('smol-tiny', 'model'), threads: 1, warmupSteps: 2, saveEvery: 3 };

/** Runs that differ in all that runs may differ in. */
const unlike: Omit<MultiTrainerRun, 'out'>[] = [
  { ...common, data: [data[0]!], rank: 4, learningRate: 1e-2, batchExamples: 4, dropout: 0.2, seed: 1 },
  {
    ...common,
    data: [data[1]!],
    rank: 8,
    alpha: 4,
    learningRate: 3e-3,
    batchExamples: 7,
    dev: 4,
    evalEvery: 2,
    seed: 2,
  },
  {
    ...common,
    data: [data[2]!],
    rank: 2,
    batchTokens: 200,
    microTokens: 100,
    epochs: 2,
    target: ['q_proj', 'down_proj'],
  },
  {
    ...common,
    data: [data[0]!],
    rank: 3,
    batchExamples: 3,
    target: ['all-linear', 'lm_head'],
    schedule: 'cosine',
  },
];

let places = 0;
const out = (): string => join(folder, `run-${++places}`);
const inPlaces = (runs: readonly Omit<MultiTrainerRun, 'out'>[]): MultiTrainerRun[] =>
  runs.map((run) => ({ ...run, out: out() }));

const sha = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

/** All that is the same of a run every time: what it said but the clock, its adapter and its last checkpoint. */
function traceOf(run: string) {
  const events = readFileSync(join(run, 'events.jsonl'), 'utf8').trim().split('\n');
  return {
    events: events.map((line) => {
      const { seconds: _, tokensPerSecond: __, path: ___, adapter: ____, ...event } = JSON.parse(line);
      return event;
    }),
    adapter: sha(join(run, 'adapter', 'adapter_model.safetensors')),
  };
}

async function alone(run: MultiTrainerRun) {
  await using trainer = await Trainer.create(run);
  await trainer.start().done;
  return traceOf(run.out);
}

async function together(runs: MultiTrainerRun[], atOnce?: number) {
  await using trainer = await MultiTrainer.create({ runs, ...(atOnce !== undefined && { atOnce }) });
  return await trainer.start().done;
}

/** What the runs get alone; asked for by several tests, found out once. */
let expected: Promise<ReturnType<typeof traceOf>[]> | undefined;
async function allAlone(): Promise<ReturnType<typeof traceOf>[]> {
  const traces = [];
  for (const run of inPlaces(unlike)) traces.push(await alone(run));
  return traces;
}

describe('MultiTrainer', () => {
  it.each([4, 2])('gives every run what it gets alone, to the bit: %i at once', async (atOnce) => {
    const runs = inPlaces(unlike);
    const results = await together(runs, atOnce);
    expect(results.map(({ reason }) => reason)).toEqual(runs.map(() => 'finished'));
    expected ??= allAlone();
    expect(runs.map(({ out }) => traceOf(out))).toEqual(await expected);
  });

  it('is so in integers as well, where only the run that trains the head takes logits', async () => {
    const runs = inPlaces([unlike[0]!, unlike[3]!].map((run) => ({ ...run, compute: 'int8' as const })));
    await together(runs);
    const traces = runs.map(({ out: place }) => traceOf(place));
    for (const [i, run] of runs.entries()) expect(traces[i]).toEqual(await alone({ ...run, out: out() }));
  });

  it('stops with every state saved; runs go on together or alone, to the same bytes', async () => {
    const runs = inPlaces(unlike);
    {
      await using trainer = await MultiTrainer.create({ runs, atOnce: 3 });
      const run = trainer.start();
      for await (const event of run) if (event.type === 'step') break;
      const reasons = (await run.done).map(({ reason }) => reason);
      expect(reasons.slice(0, 3)).toContain('stopped');
      expect(reasons[3]).toBe('waiting');
    }
    {
      await using trainer = await Trainer.create({ ...runs[0]!, resume: true });
      await trainer.start().done;
    }
    await using trainer = await MultiTrainer.create({ runs, resume: true });
    const results = await trainer.start().done;
    expect(results.map(({ reason }) => reason)).toEqual(runs.map(() => 'finished'));
    expected ??= allAlone();
    const adapters = (await expected).map(({ adapter }) => adapter);
    expect(runs.map(({ out }) => traceOf(out).adapter)).toEqual(adapters);
  });

  it('a run whose loss is not finite ends alone; the others get what they get alone', async () => {
    const diverging = { ...unlike[2]!, learningRate: 1e30, maxGradNorm: 0, warmupSteps: 0 };
    const runs = inPlaces([unlike[0]!, diverging, unlike[1]!]);
    const results = await together(runs);
    expect(results.map(({ reason }) => reason)).toEqual(['finished', 'failed', 'finished']);
    expect(results[1]!.error).toMatchObject({ code: 'NOT_FINITE' });
    expected ??= allAlone();
    const [first, second] = await expected;
    expect([traceOf(runs[0]!.out), traceOf(runs[2]!.out)]).toEqual([first, second]);
    // Its last good state is saved, as of a run alone.
    const own = { ...diverging, out: out() };
    await expect(alone(own)).rejects.toThrow((results[1]!.error as Error).message);
    const [step] = readdirSync(join(own.out, 'checkpoints'));
    const state = (run: string): string => sha(join(run, 'checkpoints', step!, 'state.safetensors'));
    expect(state(runs[1]!.out)).toBe(state(own.out));
  });

  it.each([
    ['none at all', [], /runs: expected at least one run/],
    [
      'one folder for two',
      [{ out: 'a' }, { out: './a' }],
      /runs\[1\]\.out: \.\/a is the folder of runs\[0\] too/,
    ],
    ['full tuning', [{}, { method: 'full' as const }], /runs\[1\]\.method: is full/],
    ['other threads', [{}, { threads: 3 }], /runs\[1\]\.threads: is 3, but 1 in runs\[0\]/],
    ['a wrong value', [{}, { rank: 0 }], /runs\[1\]\.rank: expected at least 1, got 0/],
    ['data that is not there', [{ data: ['nowhere.jsonl'] }], /run-.*: .*nowhere\.jsonl/],
  ])('refuses %s before anything begins', async (_, changes, message) => {
    const runs = changes.map((change) => ({ ...common, data: [data[0]!], out: out(), ...change }));
    await expect(MultiTrainer.create({ runs })).rejects.toThrow(message);
    for (const run of runs) expect(existsSync(run.out)).toBe(false);
  });

  it('tells how many fit, and takes so many by itself', async () => {
    const shape = {
      largest: { tokens: 100, targets: 60 },
      steps: 1,
      examples: 1,
      tokens: 100,
      measuringBytes: 0,
    };
    const spec = { rank: 4, alpha: 8, rslora: false, dropout: 0, targetModules: ['q_proj'] };
    const shapes = Array.from({ length: 6 }, (_, i) => ({ ...shape, out: `${i}`, spec, ownBytes: i }));
    const context = {
      path: common.model,
      load: { device: 'cpu', threads: 1, isa: 'auto', format: 'f32' as const },
      atOnce: 4,
      recompute: 'none' as const,
      availableBytes: Number.POSITIVE_INFINITY,
    };
    const four = await planRuns(shapes, context);
    expect(four).toMatchObject({ atOnce: 4, largestBatch: { tokens: 400, targets: 240 } });
    const tight = { ...context, availableBytes: four.nativeBytes - 1 };
    await expect(planRuns(shapes, tight)).rejects.toThrow(/4 runs at once need .* 3 fit: give --at-once 3/);
    expect((await planRuns(shapes, { ...tight, atOnce: 'auto' })).atOnce).toBe(3);
    await expect(planRuns(shapes, { ...tight, availableBytes: 1 })).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
    });
  });
});
