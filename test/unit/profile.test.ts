// A run under observation learns the very same; its table adds up, and its trace is what Perfetto takes.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  profileText,
  rougeEvaluator,
  Trainer,
  type TrainerOptions,
  type TrainProfile,
} from '../../lib/index';
import type { NativeProfile } from '../../lib/native/types';
import { shareOfRate, stepRows } from '../../lib/train/profile-rows';
import { type HostSpan, traceText } from '../../lib/train/trace';
import { fixture, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();
const base = {
  model: fixture('smol-tiny', 'model'),
  data: [writeRecords(join(folder, 'train.jsonl'), 12)],
  rank: 2,
  learningRate: 1e-2,
  warmupSteps: 1,
  batchExamples: 4,
  threads: 2,
} satisfies Partial<TrainerOptions>;

interface TraceEvent {
  ph: string;
  tid: number;
  name: string;
  cat?: string;
  ts: number;
  dur: number;
  args?: Record<string, unknown>;
}

const eventsOf = (text: string): TraceEvent[] =>
  (JSON.parse(text) as { traceEvents: TraceEvent[] }).traceEvents.filter(({ ph }) => ph === 'X');

/** Names of what lies around each event on its row; throws where two overlap without one in the other. */
function nested(events: TraceEvent[]): Map<TraceEvent, string[]> {
  const around = new Map<TraceEvent, string[]>();
  for (const tid of new Set(events.map((event) => event.tid))) {
    const row = events
      .filter((event) => event.tid === tid)
      .sort((a, b) => a.ts - b.ts || b.dur - a.dur || (a.cat === 'phase' ? -1 : 1));
    const open: TraceEvent[] = [];
    const end = ({ ts, dur }: TraceEvent): number => Math.round(1e3 * (ts + dur));
    for (const event of row) {
      while (open.length > 0 && end(open.at(-1)!) <= Math.round(1e3 * event.ts)) open.pop();
      if (open.length > 0 && end(event) > end(open.at(-1)!))
        throw new Error(`${event.name} reaches out of ${open.at(-1)!.name}`);
      around.set(
        event,
        open.map(({ name }) => name),
      );
      open.push(event);
    }
  }
  return around;
}

let runs = 0;
async function train(
  options: Partial<TrainerOptions>,
): Promise<{ sha: string; out: string; profile: TrainProfile | undefined }> {
  const out = options.out ?? join(folder, `run-${++runs}`);
  await using trainer = await Trainer.create({ ...base, ...options, out } as TrainerOptions);
  const { profile, adapter } = await trainer.start().done;
  const file = adapter
    ? join(out, 'adapter', 'adapter_model.safetensors')
    : join(out, 'model', 'model.safetensors');
  return { sha: createHash('sha256').update(readFileSync(file)).digest('hex'), out, profile };
}

const op = (given: Partial<NativeProfile['ops'][number]>): NativeProfile['ops'][number] => ({
  ...{ phase: 'forward', op: 'rope', weight: '', out: 0, in: 0, calls: 1, seconds: 1, rows: 8 },
  ...{ bytes: 0, flops: 0, integerFlops: 0 },
  ...given,
});

describe('the rows of a profile', () => {
  const ops = [
    op({
      op: 'linearForward',
      weight: 'qkv',
      out: 3,
      in: 2,
      calls: 2,
      seconds: 2,
      rows: 20,
      integerFlops: 4e9,
      flops: 1e9,
    }),
    op({ op: 'linearForward', weight: 'qkv', out: 3, in: 2, phase: 'backward', seconds: 1 }),
    op({ op: 'linearBackward', weight: 'head', out: 9, in: 2, phase: 'loss', seconds: 3 }),
    op({ op: 'weightGradient', weight: '', out: 9, in: 2, phase: 'backward', seconds: 0.5 }),
    op({ op: 'sumSquares', phase: 'optimiser', seconds: 0.25 }),
    op({ op: 'adamW', phase: 'optimiser', seconds: 0.25 }),
    op({ op: 'newOp', phase: 'forward', seconds: 0.5 }),
    op({ op: 'attentionForward', phase: 'score', seconds: 50 }),
  ];
  const phases = [
    { name: 'forward', calls: 1, seconds: 4 },
    { name: 'loss', calls: 1, seconds: 3 },
    { name: 'backward', calls: 1, seconds: 2 },
    { name: 'optimiser', calls: 1, seconds: 0.5 },
    { name: 'score', calls: 1, seconds: 60 },
  ];
  const rows = stepRows({ ops, phases }, 10, { f32: 1, int8: 4 });
  const row = (name: string) => rows.find((each) => each.name === name);

  it('name products by matrix and direction, and add up to the steps', () => {
    expect(rows.map(({ name, kind }) => `${kind}: ${name}`)).toEqual([
      'product: head backward',
      'product: qkv forward',
      'product: qkv forward again',
      'product: 9×2 gradient',
      'op: optimiser',
      'op: sums, copies and fills',
      'rest: between operations',
      'rest: waiting for JavaScript',
    ]);
    expect(rows.reduce((sum, { seconds }) => sum + seconds, 0)).toBeCloseTo(10, 12);
    expect(rows.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 12);
    expect(row('qkv forward')).toMatchObject({ calls: 2, rows: 10, shape: { out: 3, in: 2 } });
    expect(row('optimiser')).toMatchObject({ calls: 2, seconds: 0.5 });
    expect(row('between operations')!.seconds).toBeCloseTo(2, 12);
    expect(row('waiting for JavaScript')!.seconds).toBeCloseTo(0.5, 12);
  });

  it('hold arithmetic against the rate of its own kind', () => {
    expect(row('qkv forward')!.ofRate).toBeCloseTo((4 / 4 + 1 / 1) / 2, 12);
    expect(row('optimiser')!.ofRate).toBeUndefined();
    expect(shareOfRate({ flops: 1, integerFlops: 1, seconds: 1 }, { f32: 1 })).toBeUndefined();
  });
});

describe('a trace', () => {
  it('keeps what lies within another there, whatever the clock shows', () => {
    const at = 9.3e15; // beyond what doubles tell apart by one
    const host: HostSpan[] = [{ name: 'step 1', start: at, end: at + 1000, args: { tokens: 3 } }];
    const span = (name: string, phase: boolean, start: number, end: number) => ({
      name,
      phase,
      start: at + start,
      end: at + end,
    });
    const native = [
      { ...span('rope', false, 2, 8), rows: 4 },
      { ...span('linearForward', false, 8, 20), weight: 'qkv', out: 3, in: 2 },
      span('forward', true, 2, 20),
    ];
    const text = [...traceText(host, native)].join('');
    const events = eventsOf(text);
    expect(Object.fromEntries([...nested(events)].map(([{ name }, around]) => [name, around]))).toEqual({
      'step 1': [],
      forward: [],
      rope: ['forward'],
      linearForward: ['forward'],
    });
    expect(events[0]).toMatchObject({ name: 'step 1', ts: 0, dur: 1, args: { tokens: 3 } });
    expect(events[2]!.args).toEqual({ weight: 'qkv', shape: '3×2' });
    expect(JSON.parse([...traceText([], [])].join(''))).toHaveProperty('traceEvents');
  });
});

describe('Trainer with a profile', () => {
  it.each<[string, Partial<TrainerOptions>]>([
    ['an adapter', { dev: 1, saveEvery: 2, maxResponse: 8, select: 'rouge-l', evaluator: rougeEvaluator() }],
    ['layers computed again', { recompute: 'layer' }],
    ['a model in full', { method: 'full', rank: undefined, learningRate: 1e-3 }],
    ['a base of integers', { compute: 'int8' }],
  ])('changes no byte and tells where the time went: %s', async (what, options) => {
    const plain = await train(options);
    const trace = join(folder, `${what}.json`);
    const { sha, profile, out } = await train({ ...options, profile: { trace } });
    expect(sha).toBe(plain.sha);
    expect(plain.profile).toBeUndefined();
    const { rows, seconds, steps, tokens, beside } = profile!;
    expect(profile).toMatchObject({ device: 'cpu', compute: options.compute ?? 'f32', threads: 2, trace });
    expect(rows.reduce((sum, row) => sum + row.seconds, 0)).toBeCloseTo(seconds, 9);
    for (const row of rows) expect(row.seconds, row.name).toBeGreaterThan(0);
    const names = rows.map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining([
        'qkv forward',
        'o backward',
        'gate_up backward',
        'down forward',
        options.compute === 'int8' ? 'head with its loss' : 'head backward',
      ]),
    );
    expect(names.includes('qkv forward again')).toBe(options.recompute === 'layer');
    expect(names.includes('down gradient')).toBe(options.method === 'full');
    for (const row of rows.filter(({ kind }) => kind === 'product')) {
      expect(row.integerFlops > 0, row.name).toBe(options.compute === 'int8');
      expect(row.ofRate, row.name).toBeGreaterThan(0);
    }
    expect(beside.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        'packing',
        'event',
        'checkpoint',
        ...(options.dev ? ['dev scores', 'dev responses, computing'] : []),
      ]),
    );

    const lines = readFileSync(join(out, 'events.jsonl'), 'utf8').trim().split('\n');
    const events = lines.map((line) => JSON.parse(line) as { type: string; tokens?: number });
    const scores = (run: string): string[] =>
      readFileSync(join(run, 'events.jsonl'), 'utf8').match(/"(loss|rougeL)":[^,}]*/g)!;
    expect(scores(out)).toEqual(scores(plain.out));
    expect(events.filter(({ type }) => type === 'step')).toHaveLength(steps);
    expect(events.reduce((sum, event) => sum + (event.tokens ?? 0), 0)).toBe(tokens);

    const traced = eventsOf(readFileSync(trace, 'utf8'));
    const around = nested(traced);
    for (const event of traced.filter(({ cat }) => cat === 'op'))
      expect(around.get(event), event.name).toHaveLength(1);
    expect(traced.filter(({ name }) => name.startsWith('step '))).toHaveLength(steps);
    const within = (name: string): string[][] =>
      traced.filter((e) => e.name === name).map((e) => around.get(e)!);
    expect(new Set(within(options.compute === 'int8' ? 'headLoss' : 'crossEntropy').flat())).toEqual(
      new Set(options.dev ? ['loss', 'score'] : ['loss']),
    );
    expect(new Set(within('adamW').flat())).toEqual(new Set(['optimiser']));
    const micros = traced.filter(({ cat }) => cat === 'op').reduce((sum, { dur }) => sum + dur, 0);
    const last = Math.max(...traced.map(({ ts, dur }) => ts + dur));
    expect(micros).toBeLessThan(last);

    const text = profileText(profile!);
    for (const name of names) expect(text).toContain(name);
    expect(text).toContain(`profile of ${steps} steps`);
    expect(text).toContain(trace);
  });

  it('tells of the steps since a run was resumed', async () => {
    const out = join(folder, 'halted');
    await using trainer = await Trainer.create({ ...base, out });
    const run = trainer.start();
    for await (const event of run) if (event.type === 'step') break; // leaving stops it
    await run.done;
    await trainer.dispose();
    const done = trainer.step;
    const { profile, sha } = await train({ out, resume: true, profile: true });
    expect(profile).toMatchObject({ steps: 3 - done, trace: undefined });
    expect(sha).toBe((await train({})).sha);
  });

  it('refuses a model that others use, and a file that cannot be written before the first step', async () => {
    await using trainer = await Trainer.create({ ...base, out: join(folder, 'own') });
    const shared = Trainer.create({ ...base, base: trainer.model, profile: true, out: join(folder, 'x') });
    await expect(shared).rejects.toThrow(/profile.*leave base out/);
    mkdirSync(join(folder, 'is-a-folder'));
    const failing = train({ profile: { trace: join(folder, 'is-a-folder') } });
    await expect(failing).rejects.toMatchObject({ code: 'FILE_IO' });
  });
});
