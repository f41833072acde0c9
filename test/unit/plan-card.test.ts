// Plans for cards that are not there: sizes and sentences are the same on every machine.
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { describePlan, predictedTime } from '../../lib/cli/plan';
import { rougeEvaluator } from '../../lib/eval/dev-rouge';
import { planTraining } from '../../lib/index';
import { loadAddon } from '../../lib/native/addon';
import { checkMemory, type TrainPlan } from '../../lib/train/plan';
import { predictRun } from '../../lib/train/roofline';
import { fixture, hugeModel, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();
const model = fixture('smol-tiny', 'model');
const data = writeRecords(join(folder, 'train.jsonl'), 24);
const h100 = loadAddon()
  .cards()
  .find(({ name }) => name === 'h100-80gb')!;
const bytesOf = (plan: TrainPlan, name: string): number =>
  plan.memory.find((item) => item.name === name)?.bytes ?? 0;

describe('a card by its name', () => {
  it('has its own memory, and the base as bf16 in it', async () => {
    const options = { model, data: [data], dev: 4, select: 'rouge-l' as const, threads: 1 };
    const { plan, chosen } = await planTraining(options, { card: h100.name, evaluator: rougeEvaluator() });
    expect(chosen).toMatchObject({ device: 'h100-80gb', baseDtype: 'bf16', isa: 'none' });
    expect(plan).toMatchObject({ device: 'h100-80gb', onDevice: true, waysOut: [] });
    expect(plan.availableBytes).toBe((81559 - 700) * 2 ** 20);
    expect(plan.availableBytes).toBe(h100.memoryBytes - h100.contextBytes);
    expect(plan.peakBytes).toBe(plan.nodeBytes);
    expect(bytesOf(plan, 'dev responses')).toBeGreaterThan(0);
    // cuBLASLt's workspace, the three others', and documents' lengths
    expect(bytesOf(plan, 'backend')).toBe((32 + 64 + 32 + 32 + 1 + 4) * 2 ** 20 + 64 * 2 ** 10);

    const asFloats = await planTraining(
      { ...options, baseDtype: 'f32' },
      { card: h100.name, evaluator: rougeEvaluator() },
    );
    const matrices = bytesOf(asFloats.plan, 'base') - bytesOf(plan, 'base');
    expect(matrices).toBeGreaterThan(bytesOf(plan, 'base') * 0.9);
    expect(matrices).toBeLessThanOrEqual(bytesOf(plan, 'base'));
    const there = await planTraining({ ...options, device: 'cpu' }, { evaluator: rougeEvaluator() });
    expect(there.plan).toMatchObject({ device: 'cpu', onDevice: false });
    expect(there.plan.peakBytes).toBe(there.plan.nodeBytes + there.plan.nativeBytes);
  });

  it('is described with what the driver takes, and a time from the data sheet', async () => {
    const options = { model, data: [data], threads: 1 };
    const prepared = await planTraining(options, { card: h100.name });
    const { plan } = prepared;
    const text = describePlan(plan, h100);
    expect(text).toMatch(/all on h100-80gb/);
    expect(text).toMatch(/driver and context, assumed +700/);
    expect(text).not.toMatch(/process at its peak|does not fit/);
    const time = await predictRun(prepared, h100);
    expect(time.least).toBeGreaterThan(0);
    expect(time.most).toBeGreaterThan(time.least);
    expect(predictedTime(time).json).toEqual({ predictedSeconds: time });
    expect(predictedTime({ least: 200, most: 400 }).text).toMatch(
      /predicted from the data sheet, not measured .docs.cuda-roofline.md/,
    );
    // As much of logits at a time as the backend takes there, whatever a plan of the same bytes says.
    expect(h100.logitsBytes).toBe(512 * 2 ** 20);
    const often = await predictRun(prepared, { ...h100, logitsBytes: 1 });
    expect(often.least).toBeGreaterThan(1.2 * time.least);
    const longer = await planTraining({ ...options, epochs: 6 }, { card: h100.name });
    const ratio = (await predictRun(longer, h100)).least / time.least;
    expect(ratio).toBeCloseTo(longer.plan.steps / plan.steps, 1);
    const full = await planTraining({ ...options, method: 'full' }, { card: h100.name });
    expect((await predictRun(full, h100)).most).toBeGreaterThan(0);
  });
});

describe('a run that is too large for a card', () => {
  const options = {
    model: hugeModel(),
    data: [data],
    threads: 1,
    recompute: 'none' as const,
    microTokens: 128,
  };
  const planWith = async (more: object = {}): Promise<TrainPlan> =>
    (await planTraining({ ...options, ...more }, { card: 'rtx-3090-24gb' })).plan;
  let plan: TrainPlan;
  beforeAll(async () => {
    plan = await planWith();
  });

  it('is told what each way out takes, and that is what a plan with it says', async () => {
    expect(plan.nativeBytes).toBeGreaterThan(plan.availableBytes);
    const { nativeBytes: activations } = await planWith({ recompute: 'activations' });
    const { nativeBytes: layer } = await planWith({ recompute: 'layer' });
    const { nativeBytes: int8 } = await planWith({ baseDtype: 'int8' });
    const { nativeBytes: nf4 } = await planWith({ baseDtype: 'nf4' });
    const { nativeBytes: half } = await planWith({ microTokens: 64 });
    const all = await planWith({ recompute: 'layer', baseDtype: 'nf4', microTokens: 64 });
    expect(all.nativeBytes).toBeGreaterThan(all.availableBytes);
    expect(all.waysOut).toEqual([]);
    expect(plan.waysOut).toEqual([
      { flags: '--recompute activations', nativeBytes: activations },
      { flags: '--recompute layer', nativeBytes: layer },
      { flags: '--base-dtype int8', nativeBytes: int8 },
      { flags: '--base-dtype nf4', nativeBytes: nf4 },
      { flags: '--micro-tokens 64', nativeBytes: half },
      { flags: '--recompute layer --base-dtype nf4 --micro-tokens 64', nativeBytes: all.nativeBytes },
    ]);
    // 4.5 bits of 16 a weight, and rows of this narrow model filled up to blocks of 64.
    expect(bytesOf(await planWith({ baseDtype: 'nf4' }), 'base') / bytesOf(plan, 'base')).toBeLessThan(0.45);
  });

  it('of full tuning is told of no format that can not be trained, and keeps a shadow in bf16', async () => {
    const full = await planWith({ method: 'full' });
    expect(full.waysOut.map(({ flags }) => flags)).toEqual([
      '--recompute activations',
      '--recompute layer',
      '--micro-tokens 64',
      '--recompute layer --micro-tokens 64',
    ]);
    expect(bytesOf(full, 'base') / bytesOf(full, 'parameters')).toBeCloseTo(0.5, 2);
  });

  it('is refused with them', () => {
    expect(() => checkMemory(plan)).toThrow(
      /GiB of rtx-3090-24gb's own memory .* free there; --recompute activations needs .* \(still too much\), .*--micro-tokens 64 needs/,
    );
    expect(describePlan(plan)).toMatch(/this does not fit\n--recompute activations takes .*, still too much/);
  });
});
