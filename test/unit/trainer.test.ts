// A run from options to adapter, and every way in which it may end before its time.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  Adapter,
  exportModel,
  Model,
  planTraining,
  Sampler,
  type TrainEvent,
  Trainer,
  type TrainerOptions,
} from '../../lib/index';
import { fixture, hugeModel, scratch, writeRecords } from '../support/fixtures';
import { finish } from '../support/training';

const folder = scratch();
const data = writeRecords(join(folder, 'train.jsonl'), 48);
const base = {
  model: fixture('smol-tiny', 'model'),
  data: [data],
  rank: 4,
  learningRate: 1e-2,
  warmupSteps: 2,
  batchExamples: 8,
  epochs: 2,
  threads: 2,
} satisfies Partial<TrainerOptions>;

let runs = 0;
const out = (): string => join(folder, `run-${++runs}`);
const sha = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');
const weights = (run: string): string => sha(join(run, 'adapter', 'adapter_model.safetensors'));

describe('Trainer', () => {
  it('learns, writes what it says, and gives the same bytes again', async () => {
    const first = out();
    const events = await finish({ ...base, out: first, dev: 4, evalEvery: 4, saveEvery: 3 });
    const steps = events.filter((event) => event.type === 'step');
    expect(steps).toHaveLength(10); // 36 examples, 8 a step: 5 steps an epoch, the last of 4
    expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss * 0.9);
    expect(steps.every((step) => step.supervisedTokens < step.tokens && step.tokensPerSecond > 0)).toBe(true);
    expect(events.filter((event) => event.type === 'eval').map((event) => event.step)).toEqual([4, 8, 10]);
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'finished', step: 10 });
    expect(readdirSync(first).sort()).toEqual([
      'adapter',
      'checkpoints',
      'events.jsonl',
      'mixture.json',
      'run.yaml',
    ]);
    const lines = readFileSync(join(first, 'events.jsonl'), 'utf8').trim().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as TrainEvent).type)).toEqual(
      events.map((event) => event.type),
    );
    const mixture = JSON.parse(readFileSync(join(first, 'mixture.json'), 'utf8'));
    expect(Object.keys(mixture.languages)).toEqual(['en', 'fi', 'sw']);
    expect(mixture.dev).toEqual({ en: 4, fi: 4, sw: 4 });

    const second = out();
    await finish({ ...base, out: second, dev: 4, evalEvery: 4, saveEvery: 5 });
    expect(weights(second)).toBe(weights(first));
    const other = out();
    await finish({ ...base, out: other, dev: 4, evalEvery: 4, seed: 1 });
    expect(weights(other)).not.toBe(weights(first));
  });

  it('gives the same bytes whatever the micro-batch holds back: recompute', async () => {
    const [none, activations, layer] = [out(), out(), out()];
    await finish({ ...base, out: none, recompute: 'none' });
    await finish({ ...base, out: activations, recompute: 'activations' });
    await finish({ ...base, out: layer, recompute: 'layer' });
    expect(weights(activations)).toBe(weights(none));
    expect(weights(layer)).toBe(weights(none));
  });

  it('drops the same elements whether it is interrupted, packed otherwise or not', async () => {
    const dropout = { ...base, dropout: 0.2 } as const;
    const [without, whole, parts] = [out(), out(), out()];
    await finish({ ...base, out: without });
    await finish({ ...dropout, out: whole });
    expect(weights(whole)).not.toBe(weights(without));
    {
      await using trainer = await Trainer.create({ ...dropout, out: parts });
      for await (const event of trainer.start()) if (event.type === 'step' && event.step === 3) break;
    }
    await finish({ ...dropout, out: parts, resume: true });
    expect(weights(parts)).toBe(weights(whole));
    const losses = (run: string): number[] =>
      readFileSync(join(run, 'events.jsonl'), 'utf8')
        .split('\n')
        .flatMap((line) => /"type":"step".*"loss":([\d.e-]+)/.exec(line)?.[1] ?? [])
        .map(Number);
    const packed = out();
    await finish({ ...dropout, out: packed, microTokens: 64 });
    expect(losses(packed)).toHaveLength(losses(whole).length);
    losses(packed).forEach((loss, i) => {
      expect(loss).toBeCloseTo(losses(whole)[i]!, 4);
    });
  });

  it('stops at a step boundary when the loop is left, and goes on to the same bytes', async () => {
    const whole = out();
    await finish({ ...base, out: whole });
    const parts = out();
    {
      await using trainer = await Trainer.create({ ...base, out: parts });
      const run = trainer.start();
      for await (const event of run) if (event.type === 'step' && event.step === 4) break;
      expect(await run.done).toMatchObject({ reason: 'stopped', adapter: undefined });
    }
    expect(existsSync(join(parts, 'adapter'))).toBe(false);
    await finish({ ...base, out: parts, resume: true });
    expect(weights(parts)).toBe(weights(whole));
    const card = (run: string): string => readFileSync(join(run, 'adapter', 'README.md'), 'utf8');
    expect(card(parts)).toBe(card(whole));
    const steps = readFileSync(join(parts, 'events.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as TrainEvent)
      .filter((event) => event.type === 'step');
    expect(steps.map((event) => event.step)).toEqual(Array.from({ length: steps.length }, (_, i) => i + 1));
  });

  it('settles done without anybody iterating, and rejects with the reason of an abort', async () => {
    {
      await using trainer = await Trainer.create({ ...base, out: out() });
      expect((await trainer.start().done).reason).toBe('finished');
    }
    const controller = new AbortController();
    const run = out();
    await using trainer = await Trainer.create({ ...base, epochs: 50, out: run, signal: controller.signal });
    const running = trainer.start();
    for await (const event of running) {
      if (event.type === 'step' && event.step === 2) {
        controller.abort(new Error('enough'));
        break;
      }
    }
    await expect(running.done).rejects.toThrow('enough');
    expect(readdirSync(join(run, 'checkpoints')).length).toBeGreaterThan(0);
  });

  it('samples from the adapter between two steps of a run', async () => {
    await using trainer = await Trainer.create({ ...base, out: out() });
    await using sampler = await Sampler.create({
      model: trainer.model,
      adapters: [trainer.adapter!],
      maxRows: 2,
      cacheTokens: 256,
    });
    const request = { id: 'a', prompt: Int32Array.of(5, 6, 7, 8), maxNewTokens: 12, endOfTurnIds: [] };
    const [before] = await sampler.generate([request]);
    const run = trainer.start();
    const during: string[] = [];
    for await (const event of run) {
      if (event.type === 'step' && event.step % 4 === 0)
        during.push((await sampler.generate([request]))[0]!.tokens.join());
    }
    await run.done;
    const [after] = await sampler.generate([request]);
    expect(during.length).toBeGreaterThan(1);
    expect(after!.logprobs).not.toEqual(before!.logprobs);
  });

  it('starts from an adapter that exists', async () => {
    const run = out();
    await finish({
      ...base,
      initAdapter: fixture('smol-tiny', 'adapter'),
      steps: 1,
      learningRate: 1e-9,
      out: run,
    });
    const config = JSON.parse(readFileSync(join(run, 'adapter', 'adapter_config.json'), 'utf8'));
    expect(config).toMatchObject({ r: 4, lora_alpha: 8, peft_type: 'LORA' });
    await using model = await Model.load({ model: base.model });
    const [original, written] = [
      await Adapter.load(model, fixture('smol-tiny', 'adapter')),
      await Adapter.load(model, join(run, 'adapter')),
    ];
    const [a, b] = [await original.native.toHost(), await written.native.toHost()];
    const worst = a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
    expect(worst).toBeLessThan(1e-6);
  });
});

describe('what is refused', () => {
  it.each([
    [{ model: 'no-such-model' }, 'UNKNOWN_MODEL'],
    [{ data: [join(folder, 'none.jsonl')] }, 'FILE_NOT_FOUND'],
    [{ template: 'vicuna' }, 'TEMPLATE_INVALID'],
    [{ maxLength: 3 }, 'DATA_INVALID'],
    [{ initAdapter: fixture('llama-tiny', 'adapter') }, /TENSOR_M/],
  ])('%j → %s, and nothing is written', async (wrong, code) => {
    const run = out();
    await expect(Trainer.create({ ...base, ...wrong, out: run })).rejects.toMatchObject({
      code: typeof code === 'string' ? code : expect.stringMatching(code),
    });
    expect(existsSync(join(run, 'adapter'))).toBe(false);
    expect(existsSync(join(run, 'run.lock'))).toBe(false);
  });

  it('names file and line of a broken record', async () => {
    const broken = join(folder, 'broken.jsonl');
    writeFileSync(
      broken,
      `${readFileSync(data, 'utf8').split('\n').slice(0, 2).join('\n')}\n{"id": "x", "instr\n`,
    );
    await expect(Trainer.create({ ...base, data: [broken], out: out() })).rejects.toThrow(/broken\.jsonl:3/);
  });

  it('foresees what does not fit in memory', async () => {
    const huge = { ...base, model: hugeModel() };
    await expect(Trainer.create({ ...huge, out: out() })).rejects.toMatchObject({ code: 'OUT_OF_MEMORY' });
  });

  it('names steps and records of a loss that is not finite, keeps the last good state, and can go on', async () => {
    const run = out();
    const wild = {
      ...base,
      learningRate: 1e30,
      warmupSteps: 0,
      schedule: 'constant',
      maxGradNorm: 0,
      epochs: 4,
    } as const;
    const error = await finish({ ...wild, out: run }).catch((e: unknown) => e);
    expect(error).toMatchObject({
      code: 'NOT_FINITE',
      message: expect.stringMatching(/step \d+: .*records: r\d+/),
    });
    expect(readdirSync(join(run, 'checkpoints'))).toHaveLength(1);
    await expect(finish({ ...wild, out: run, resume: true })).rejects.toMatchObject({ code: 'NOT_FINITE' });
  });

  it('does not resume with other options, data or a damaged checkpoint', async () => {
    const run = out();
    await finish({ ...base, steps: 3, saveEvery: 1, out: run });
    const resumed = { ...base, steps: 3, saveEvery: 1, out: run, resume: true };
    await expect(Trainer.create({ ...resumed, learningRate: 5 })).rejects.toMatchObject({
      code: 'STATE_MISMATCH',
    });
    const original = readFileSync(data);
    writeFileSync(data, original.toString().replace('again', 'twice'));
    await expect(Trainer.create(resumed)).rejects.toMatchObject({ code: 'STATE_MISMATCH' });
    writeFileSync(data, original);
    const checkpoint = join(run, 'checkpoints', 'step-00000003', 'state.safetensors');
    const bytes = readFileSync(checkpoint);
    writeFileSync(checkpoint, bytes.subarray(0, bytes.length - 7));
    await expect(Trainer.create(resumed)).rejects.toMatchObject({
      code: 'FILE_DAMAGED',
      message: expect.stringContaining('step-00000003'),
    });
  });

  it('uses what was chosen at the start, whatever would be chosen now', async () => {
    const out = join(folder, 'chosen');
    await finish({ ...base, out, threads: 'auto' });
    const file = join(out, 'run.yaml');
    const text = readFileSync(file, 'utf8');
    expect(text).toMatch(/^ +baseDtype: f32$/m); // what auto came to
    writeFileSync(file, text.replace(/^( *)threads: \d+$/m, '$1threads: 1'));
    const trainer = await Trainer.create({ out, resume: true } as TrainerOptions);
    expect(trainer.step).toBe(trainer.plan().steps);
    await trainer.dispose();
  });

  it('trains over a base in nf4, stays with it, and an export says that the adapter came from there', async () => {
    const run = out();
    const events = await finish({ ...base, out: run, baseDtype: 'nf4' });
    const losses = events.filter((event) => event.type === 'step').map(({ loss }) => loss);
    expect(losses.at(-1)!).toBeLessThan(losses[0]! * 0.9);
    expect(readFileSync(join(run, 'run.yaml'), 'utf8').match(/baseDtype: nf4$/gm)).toHaveLength(2);
    const { plan } = await planTraining({ ...base, baseDtype: 'nf4' });
    const bytesOf = ({ memory }: typeof plan): number => memory.find(({ name }) => name === 'base')!.bytes;
    expect(bytesOf(plan)).toBeLessThan(bytesOf((await planTraining(base)).plan));
    await using model = await Model.load({ model: base.model, threads: 2, baseDtype: 'nf4' });
    expect(model.bytes).toBe(bytesOf(plan));
    const notes: string[] = [];
    await exportModel({
      model: base.model,
      adapter: join(run, 'adapter'),
      out: join(run, 'merged'),
      format: 'safetensors',
      onNote: (note) => notes.push(note),
    });
    expect(notes.join()).toMatch(/was trained over weights in nf4; it goes with the original ones here/);
  });

  it('every dispose waits for the end: the run that is under way is stopped and its folder free', async () => {
    const run = out();
    const trainer = await Trainer.create({ ...base, out: run, epochs: 50 });
    trainer.start();
    const first = trainer.dispose();
    await trainer.dispose();
    expect(existsSync(join(run, 'run.lock'))).toBe(false);
    await first;
  });

  it('a second start, a start after dispose', async () => {
    const trainer = await Trainer.create({ ...base, steps: 1, out: out() });
    const run = trainer.start();
    expect(() => trainer.start()).toThrow(/start\(\) was called before/);
    await run.done;
    await trainer.dispose();
    await trainer.dispose();
    expect(trainer.disposed).toBe(true);
    expect(() => trainer.start()).toThrow(/after dispose/);
  });

  it('plans without writing or loading anything, and what is then allocated is the plan', async () => {
    const { plan } = await planTraining(base);
    expect(plan.steps).toBe(12);
    expect(plan.flops).toBeGreaterThan(0);
    await using trainer = await Trainer.create({ ...base, out: out() });
    expect(trainer.plan().memory).toEqual(plan.memory);
  });
});
