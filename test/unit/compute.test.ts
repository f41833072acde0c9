// Integer products from the options to the adapter: who gets them, who is refused, and that a run over them is a run like any other.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { Model, planTraining, Sampler, type TrainEvent, Trainer, type TrainerOptions } from '../../lib/index';
import { chooseCompute, deviceFor } from '../../lib/model/compute';
import { loadAddon } from '../../lib/native/addon';
import { fixture, scratch, writeRecords } from '../support/fixtures';
import { finish } from '../support/training';

const folder = scratch();
const base = {
  model: fixture('smol-tiny', 'model'),
  data: [writeRecords(join(folder, 'train.jsonl'), 32)],
  rank: 4,
  learningRate: 2e-3,
  warmupSteps: 2,
  batchExamples: 8,
  steps: 8,
  threads: 2,
} satisfies Partial<TrainerOptions>;

const lossesOf = (events: TrainEvent[]): number[] =>
  events.filter((event) => event.type === 'step').map(({ loss }) => loss);
const bytesOf = (run: string): string =>
  createHash('sha256')
    .update(readFileSync(join(run, 'adapter', 'adapter_model.safetensors')))
    .digest('hex');

describe('the choice of an arithmetic', () => {
  const rates = (f32: number, int8: number) =>
    vi
      .spyOn(loadAddon(), 'measureRate')
      .mockImplementation(async (_device, _isa, _threads, compute) => (compute === 'int8' ? int8 : f32));

  it('is f32 where nobody asks, and without a trial where it is asked for', async () => {
    const trial = rates(1, 100);
    expect(await chooseCompute({})).toEqual({ compute: 'f32' });
    expect(await chooseCompute({ compute: 'int8' })).toEqual({ compute: 'int8' });
    expect(trial).not.toHaveBeenCalled();
    trial.mockRestore();
  });

  it.each([
    [100, 149, 'f32'],
    [100, 150, 'int8'],
  ])('of auto is made by what a trial measures: %d and %d GFLOP/s', async (f32, int8, expected) => {
    const trial = rates(f32, int8);
    expect(await chooseCompute({ compute: 'auto' })).toEqual({ compute: expected, trial: { f32, int8 } });
    trial.mockRestore();
  });

  it.each([{ baseDtype: 'bf16' }, { baseDtype: 'nf4' }, { full: true }] as const)(
    'of auto is f32 beside %o, which int8 would contradict',
    async (beside) => {
      expect(await chooseCompute({ compute: 'auto', ...beside })).toEqual({ compute: 'f32' });
    },
  );

  it.each([
    [{ device: 'cuda' }, /compute is int8, which is the processor's, but the device is cuda/],
    [{ baseDtype: 'bf16' }, /compute is int8, for which the base's weights are int8, but baseDtype is bf16/],
    [{ full: true }, /compute is int8, but full tuning trains the weights themselves/],
  ] as const)('refuses int8 with %o', async (beside, message) => {
    await expect(chooseCompute({ compute: 'int8', ...beside })).rejects.toThrow(message);
  });

  it('takes the processor where int8 is asked for and no device', () => {
    expect(deviceFor({ compute: 'int8' })).toBe('cpu');
    expect(deviceFor({ compute: 'auto' })).toBe('auto');
    expect(deviceFor({ compute: 'int8', device: 'cuda' })).toBe('cuda');
  });
});

describe('compute int8', () => {
  it('trains close to f32, to the same bytes again, over a smaller base', async () => {
    const first = join(folder, 'first');
    const losses = lossesOf(await finish({ ...base, compute: 'int8', out: first }));
    const exact = lossesOf(await finish({ ...base, out: join(folder, 'exact') }));
    for (const [i, loss] of losses.entries()) {
      expect(loss).not.toBe(exact[i]);
      expect(Math.abs(loss / exact[i]! - 1)).toBeLessThan(0.01);
    }
    const second = join(folder, 'second');
    await finish({ ...base, compute: 'int8', out: second });
    expect(bytesOf(second)).toBe(bytesOf(first));

    const record = readFileSync(join(first, 'run.yaml'), 'utf8');
    expect(record).toMatch(/^ {2}compute: int8$[\s\S]*^ {2}compute: int8$/m); // asked for, and chosen
    expect(readFileSync(join(first, 'adapter', 'README.md'), 'utf8')).toContain('(`--compute int8`)');
    const notes: string[] = [];
    const onNote = (note: string): void => void notes.push(note);
    await using integers = await Model.load({ model: base.model, threads: 2, compute: 'int8', onNote });
    await using floats = await Model.load({ model: base.model, threads: 2, baseDtype: 'f32', onNote });
    expect(notes).toEqual([expect.stringMatching(/^weights rounded to int8 are 0\.\d\d % off/)]);
    expect(integers.roundingError).toBeGreaterThan(0.001);
    expect(integers.roundingError).toBeLessThan(0.01);
    expect(floats.roundingError).toBe(0);
    expect(integers.compute).toBe('int8');
    expect(floats.compute).toBe('f32');
    // A tiny one is mostly padding and kept columns; of a real one it is a quarter.
    expect(integers.bytes).toBeLessThan(floats.bytes * 0.6);
  });

  it('goes on after an interruption to the bytes of an undisturbed run, whatever auto would choose now', async () => {
    const trial = vi.spyOn(loadAddon(), 'measureRate').mockResolvedValueOnce(1).mockResolvedValueOnce(2);
    const notes: string[] = [];
    const run = join(folder, 'stopped');
    const options = { ...base, compute: 'auto', saveEvery: 2, out: run } as const;
    const trainer = await Trainer.create({
      ...options,
      onNote: (note) => notes.push(note),
    });
    const going = trainer.start();
    for await (const event of going) if (event.type === 'step' && event.step === 3) break;
    await trainer.dispose();
    expect(notes.join()).toContain(
      'compute auto is int8: products reach 2 GFLOP/s in int8 and 1 GFLOP/s in f32',
    );
    await finish({ out: run, resume: true } as TrainerOptions);
    expect(trial).toHaveBeenCalledTimes(2);
    trial.mockRestore();
    const whole = join(folder, 'whole');
    await finish({ ...base, compute: 'int8', saveEvery: 2, out: whole });
    expect(bytesOf(run)).toBe(bytesOf(whole));
  });

  it('allocates what the plan says', async () => {
    const { plan } = await planTraining({ ...base, compute: 'int8' });
    await using trainer = await Trainer.create({ ...base, compute: 'int8', out: join(folder, 'planned') });
    expect(trainer.plan().memory).toEqual(plan.memory);
    const exact = await planTraining(base);
    const item = (memory: typeof plan.memory, name: string): number =>
      memory.find((each) => each.name === name)!.bytes;
    expect(item(plan.memory, 'base')).toBeLessThan(item(exact.plan.memory, 'base') * 0.6);
    expect(item(plan.memory, 'backend')).toBeGreaterThan(item(exact.plan.memory, 'backend')); // rounded rows
  });

  it('samples beside a float32 model of the same process, each in its own arithmetic', async () => {
    await using integers = await Model.load({ model: base.model, threads: 2, compute: 'int8' });
    await using floats = await Model.load({ model: base.model, threads: 2 });
    const answers = await Promise.all(
      [integers, floats].map(async (model) => {
        await using sampler = await Sampler.create({ model, maxRows: 4 });
        const all = await sampler.generate([
          { id: 'a', prompt: model.tokenizer.encode('Hello'), maxNewTokens: 8, temperature: 0 },
        ]);
        return all[0]!;
      }),
    );
    expect(answers[0]!.logprobs).not.toEqual(answers[1]!.logprobs);
    const lead = (i: number): number => answers[i]!.logprobs[0]!;
    expect(Math.abs(lead(0) - lead(1))).toBeLessThan(0.1);
  });
});
