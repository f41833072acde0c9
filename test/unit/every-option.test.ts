// Every option of a run arrives where it works: the weights that come out are others, or the very same where an option is about
// resources; and from the command line it arrives as it was typed. The tables have to hold them all, so that one which is new, or
// no longer passed on, is seen.
import { createHash } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { flagOf } from '../../lib/cli/flags';
import { addTrainFlags, toTrainInput } from '../../lib/cli/train-flags';
import { Model, Trainer, type TrainerOptions } from '../../lib/index';
import { trainFields } from '../../lib/train/options';
import { fixture, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();
const base = {
  model: fixture('smol-tiny', 'model'),
  data: [writeRecords(join(folder, 'train.jsonl'), 12)],
  rank: 2,
  learningRate: 1e-2,
  warmupSteps: 1,
  batchExamples: 4,
} satisfies Partial<TrainerOptions>;

/** A value for each option that is about what is learnt, with what it needs beside it. */
const CHANGES: Record<string, object> = {
  data: { data: [writeRecords(join(folder, 'other.jsonl'), 13)] },
  mix: { mix: 'uniform:n=3,languages=en+fi+sw' },
  field: { field: { response: 'instruction' } },
  system: { system: 'Be brief.' },
  template: { template: 'alpaca' },
  rank: { rank: 3 },
  alpha: { alpha: 8 },
  rslora: { rslora: true },
  dropout: { dropout: 0.5 },
  target: { target: ['q_proj'] },
  learningRate: { learningRate: 2e-2 },
  schedule: { schedule: 'constant' },
  warmupSteps: { warmupSteps: 2 },
  weightDecay: { weightDecay: 0.5 },
  maxGradNorm: { maxGradNorm: 1e-3 },
  epochs: { epochs: 2 },
  steps: { steps: 2 },
  batchExamples: { batchExamples: 3 },
  batchTokens: { batchTokens: 100 },
  microTokens: { microTokens: 128 }, // sums in another order
  maxLength: { maxLength: 40 },
  maxPrompt: { maxPrompt: 30 },
  maxResponse: { maxResponse: 8 },
  truncate: { truncate: 'drop', maxResponse: 8 },
  lossNorm: { lossNorm: 'example' },
  dev: { dev: 1 },
  shuffle: { shuffle: false },
  seed: { seed: 1 },
};

/** And for each that is not. */
const SAME: Record<string, object> = {
  threads: { threads: 1, base: undefined },
  device: { device: 'cpu', base: undefined },
  baseDtype: { baseDtype: 'f32', base: undefined },
  compute: { compute: 'auto' },
  recompute: { recompute: 'layer' },
  saveEvery: { saveEvery: 1 },
  keep: { saveEvery: 1, keep: 1 },
};

/** What has tests of its own: another model, or a choice among states of one run. */
const ELSEWHERE: Record<string, object> = {
  model: { model: 'm' },
  method: { method: 'full' },
  initAdapter: { initAdapter: 'folder' },
  evalEvery: { evalEvery: 2 },
  select: { select: 'rouge-l' },
  patience: { patience: 3 },
};

let loaded: Model;
let runs = 0;
/** SHA-256 of the adapter of a run with these options. */
async function weights(options: object): Promise<string> {
  const out = join(folder, `run-${++runs}`);
  await using trainer = await Trainer.create({ ...base, base: loaded, ...options, out });
  await trainer.start().done;
  const bytes = readFileSync(join(out, 'adapter', 'adapter_model.safetensors'));
  rmSync(out, { recursive: true });
  return createHash('sha256').update(bytes).digest('hex');
}

/** As it is typed. */
function typed(option: string, value: unknown): string[] {
  if (value === true) return [flagOf(option)];
  if (value === false) return [flagOf(`no${option[0]!.toUpperCase()}${option.slice(1)}`)];
  if (Array.isArray(value)) return [flagOf(option), value.join(',')];
  if (typeof value === 'object') return [flagOf(option), Object.entries(value!).flat().join('=')];
  return [flagOf(option), String(value)];
}

describe('an option of a run', () => {
  let plain: string;
  beforeAll(async () => {
    loaded = await Model.load({ model: base.model, threads: 2 });
    plain = await weights({});
  });
  afterAll(() => loaded.dispose());

  it('is in one of the tables', () => {
    expect(Object.keys({ ...CHANGES, ...SAME, ...ELSEWHERE }).sort()).toEqual(
      Object.keys(trainFields.shape).sort(),
    );
  });

  it.each(Object.entries(CHANGES))('that is about what is learnt does something: %s', async (name, given) => {
    const { [name]: _, ...beside } = given as Record<string, unknown>;
    const without = Object.keys(beside).length === 0 ? plain : await weights(beside);
    expect(await weights(given)).not.toBe(without);
  });

  it.each(Object.entries(SAME))('that is about resources changes no byte: %s', async (_, given) => {
    expect(await weights(given)).toBe(plain);
  });

  it.each(Object.entries({ ...CHANGES, ...SAME, ...ELSEWHERE }))('is a flag: %s', (name, given) => {
    const value = (given as Record<string, unknown>)[name];
    const command = addTrainFlags(new Command()).exitOverride();
    command.parse(typed(name, value), { from: 'user' });
    expect(toTrainInput(command.opts())[name]).toEqual(value);
  });
});
