// Full tuning from options to RUN/model: it learns, its result is a model like any other, and it keeps the promises that
// adapters' runs keep (same bytes again, over recomputation, over an interruption; the dev set chooses).
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packExamples } from '../../lib/data/packing';
import {
  Adapter,
  Model,
  planTraining,
  Sampler,
  score,
  type TrainEvent,
  Trainer,
  type TrainerOptions,
  TrainingSession,
} from '../../lib/index';
import { fixture, hugeModel, scratch, writeRecords } from '../support/fixtures';
import { finish } from '../support/training';

const folder = scratch();
const data = writeRecords(join(folder, 'train.jsonl'), 48);
const base = {
  model: fixture('smol-tiny', 'model'),
  data: [data],
  method: 'full',
  learningRate: 2e-3,
  warmupSteps: 2,
  batchExamples: 8,
  epochs: 2,
  threads: 2,
} satisfies Partial<TrainerOptions>;

let runs = 0;
const out = (): string => join(folder, `run-${++runs}`);
const weights = (run: string): string =>
  createHash('sha256')
    .update(readFileSync(join(run, 'model', 'model.safetensors')))
    .digest('hex');

describe('full tuning', () => {
  it('learns, and writes a model that loads, scores and samples as the run itself did', async () => {
    const run = out();
    await using trainer = await Trainer.create({ ...base, out: run });
    expect(trainer.adapter).toBeUndefined();
    const events: TrainEvent[] = [];
    for await (const event of trainer.start()) events.push(event);
    const steps = events.filter((event) => event.type === 'step');
    expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss * 0.8);
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'finished', model: join(run, 'model') });
    expect(readdirSync(run).sort()).toEqual([
      'checkpoints',
      'events.jsonl',
      'mixture.json',
      'model',
      'run.yaml',
    ]);
    expect(readdirSync(join(run, 'model'))).toEqual(
      expect.arrayContaining(['README.md', 'config.json', 'model.safetensors', 'tokenizer.json']),
    );
    expect(readFileSync(join(run, 'model', 'README.md'), 'utf8')).toContain('library_name: transformers');
    const record = readFileSync(join(run, 'run.yaml'), 'utf8');
    expect(record).toMatch(/^ {2}method: full$/m);
    expect(record).not.toMatch(/^ {2}(rank|alpha|target):/m);

    const request = { id: 'a', prompt: Int32Array.of(5, 6, 7, 8), maxNewTokens: 12, endOfTurnIds: [] };
    const sampled = async (model: Model): Promise<number[]> => {
      await using sampler = await Sampler.create({ model, maxRows: 1, cacheTokens: 256 });
      return (await sampler.generate([request]))[0]!.logprobs;
    };
    await using written = await Model.load({ model: join(run, 'model') });
    await using original = await Model.load({ model: base.model });
    const during = await sampled(trainer.model);
    expect(await sampled(written)).toEqual(during);
    expect(await sampled(original)).not.toEqual(during);

    const examples = trainer.data.train.slice(0, 4);
    const [tuned, untuned] = [
      await score({ model: written, examples }),
      await score({ model: original, examples }),
    ];
    expect(tuned.all.nll).toBeLessThan(untuned.all.nll * 0.8);
  });

  it('gives the same bytes again, whatever is computed again, and over an interruption', async () => {
    const [first, layer, parts] = [out(), out(), out()];
    await finish({ ...base, out: first, saveEvery: 3 });
    await finish({ ...base, out: layer, recompute: 'layer' });
    expect(weights(layer)).toBe(weights(first));
    {
      await using trainer = await Trainer.create({ ...base, out: parts });
      const run = trainer.start();
      for await (const event of run) if (event.type === 'step' && event.step === 4) break;
      expect(await run.done).toMatchObject({ reason: 'stopped', model: undefined });
    }
    expect(existsSync(join(parts, 'model'))).toBe(false);
    await finish({ ...base, out: parts, resume: true });
    expect(weights(parts)).toBe(weights(first));
  });

  it('publishes the best by the dev set, not the last', async () => {
    // Answers that training leads away from, once it has learnt where an answer ends.
    const dev = join(folder, 'dev.jsonl');
    const records = ['7 + 5 = 12', '{"x": [0.5]}'].map((response, i) => ({
      id: `d${i}`,
      instruction: 'Say it please.',
      response,
    }));
    writeFileSync(dev, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
    const run = out();
    const schedule = { learningRate: 1e-2, schedule: 'constant', warmupSteps: 0 } as const;
    const events = await finish({ ...base, ...schedule, out: run, dev, evalEvery: 1 });
    const evals = events.filter((event) => event.type === 'eval');
    const best = evals.reduce((a, b) => (b.loss < a.loss ? b : a));
    expect(best.step, 'the data no longer overfits: nothing is chosen here').toBeLessThan(evals.length);
    await using model = await Model.load({ model: join(run, 'model') });
    const { data: prepared } = await planTraining({ ...base, dev });
    const { all } = await score({ model, examples: prepared.dev });
    expect(all.nll / all.tokens).toBeCloseTo(best.loss, 5);
  });

  it('plans what it allocates, with more products than an adapter has', async () => {
    const { plan } = await planTraining(base);
    const { learningRate: _rate, method: _method, ...lora } = base;
    const { plan: adapter } = await planTraining({ ...lora, rank: 1 });
    expect(plan.method).toBe('full');
    expect(plan.flops).toBeGreaterThan(1.3 * adapter.flops);
    const model = await Model.load({ model: base.model });
    const { tokens, targets } = plan.largestBatch;
    const session = await TrainingSession.create({
      model,
      full: true,
      microTokens: tokens,
      maxTargets: targets,
    });
    expect(session.memory).toEqual(plan.memory);
    expect(session.memory.map((item) => item.name)).toContain('parameters');
    await model.dispose();
  });

  it('has its own learning rate where none is given', async () => {
    const { learningRate: _rate, ...rest } = base;
    expect((await planTraining(rest)).options.learningRate).toBe(2e-5);
    expect((await planTraining({ ...rest, method: 'lora' })).options.learningRate).toBe(2e-4);
  });

  it('has the model to itself, and its own number in a batch', async () => {
    await using model = await Model.load({ model: base.model });
    const adapter = await Adapter.create(model, {});
    await expect(TrainingSession.create({ model, full: true })).rejects.toThrow(/in use by 1/);
    await adapter.dispose();
    await using session = await TrainingSession.create({ model, full: true });
    await expect(Adapter.create(model, {})).rejects.toThrow(/tuned in full/);
    await expect(TrainingSession.create({ model })).rejects.toThrow(/tuned in full/);
    const { data: prepared } = await planTraining(base);
    const [packed] = packExamples(prepared.train.slice(0, 2), { microTokens: 2048 });
    const bare = { ...packed!.batch, adapters: packed!.batch.adapters.map(() => -1) };
    await expect(session.forwardBackward(bare)).rejects.toThrow(/the model itself/);
    const before = await session.forwardBackward(packed!.batch);
    await session.optimStep({ learningRate: 1e-2 });
    expect(session.stepCount()).toBe(1);
    expect((await session.score(packed!.batch)).loss).toBeLessThan(before.loss);
  });
});

describe('what full tuning refuses', () => {
  it.each([
    [{ rank: 8 }, /rank.*method is full/],
    [{ alpha: 8 }, /alpha.*method is full/],
    [{ target: 'all-linear' as const }, /target.*method is full/],
    [{ initAdapter: fixture('smol-tiny', 'adapter') }, /initAdapter.*method is full/],
    [{ baseDtype: 'bf16' as const, device: 'cpu' }, /baseDtype.*f32/],
    [{ baseDtype: 'nf4' as const }, /baseDtype.*f32/],
  ])('%j', async (wrong, message) => {
    const run = out();
    await expect(Trainer.create({ ...base, ...wrong, out: run })).rejects.toThrow(message);
    expect(existsSync(run)).toBe(false);
  });

  it('a base that others use, LoRA options on resuming, a run of the other method', async () => {
    await using model = await Model.load({ model: base.model });
    const run = out();
    await expect(Trainer.create({ ...base, base: model, out: run })).rejects.toThrow(/base was given/);
    expect(existsSync(run)).toBe(false);
    await finish({ ...base, steps: 2, out: run });
    const resumed = { ...base, steps: 2, out: run, resume: true };
    await expect(Trainer.create({ ...resumed, rank: 16 })).rejects.toThrow(/rank.*method is full/);
    await expect(Trainer.create({ ...resumed, method: 'lora' })).rejects.toMatchObject({
      code: 'STATE_MISMATCH',
    });
  });

  it('what does not fit, with advice that can be followed', async () => {
    const huge = { ...base, model: hugeModel() };
    await expect(Trainer.create({ ...huge, out: out() })).rejects.toThrow(/--method lora/);
  });
});
