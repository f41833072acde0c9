// Many runs over one base: each has to come out as it does alone, to the bit, whatever the others are and do.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MultiTrainer, type MultiTrainerRun, Trainer } from '../../lib/index';
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
});
