// The dev set chooses: what is published is the adapter of the best score, not the last one, also over an interruption.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Adapter, type EvalEvent, Model, score, Trainer, type TrainerOptions } from '../../lib/index';
import { fixture, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();
// Answers that training leads away from, once it has learnt where an answer ends.
const dev = join(folder, 'dev.jsonl');
writeFileSync(
  dev,
  ['7 + 5 = 12', '{"x": [0.5]}']
    .map((response, i) => `${JSON.stringify({ id: `d${i}`, instruction: 'Say it please.', response })}\n`)
    .join(''),
);
const options = {
  model: fixture('smol-tiny', 'model'),
  data: [writeRecords(join(folder, 'train.jsonl'), 24)],
  dev,
  evalEvery: 1,
  rank: 4,
  learningRate: 0.05,
  schedule: 'constant',
  warmupSteps: 0,
  batchExamples: 4,
  epochs: 3,
  threads: 1,
} satisfies Partial<TrainerOptions>;
const bytes = (out: string): Buffer => readFileSync(join(out, 'adapter', 'adapter_model.safetensors'));
const evals = (out: string): EvalEvent[] =>
  readFileSync(join(out, 'events.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as EvalEvent)
    .filter((event) => event.type === 'eval');

it('publishes the best by the dev set', async () => {
  const out = join(folder, 'whole');
  await using trainer = await Trainer.create({ ...options, out });
  const { best, step } = await trainer.start().done;
  const scored = evals(out);
  expect(scored.map((event) => event.step)).toEqual(Array.from({ length: step }, (_, i) => i + 1));
  const lowest = scored.reduce((a, b) => (b.loss < a.loss ? b : a));
  expect(lowest.step, 'the data no longer overfits: nothing is chosen here').toBeLessThan(step);
  expect(best).toEqual({ step: lowest.step, loss: lowest.loss });

  await using model = await Model.load({ model: options.model, threads: 1 });
  const adapter = await Adapter.load(model, join(out, 'adapter'));
  const { all } = await score({ model, adapter, examples: trainer.data.dev });
  expect(all.nll / all.tokens).toBeCloseTo(lowest.loss, 5);

  const parts = join(folder, 'parts');
  await using first = await Trainer.create({ ...options, out: parts });
  for await (const event of first.start()) if (event.type === 'eval' && event.step === lowest.step + 1) break;
  await first.dispose();
  await using second = await Trainer.create({ ...options, out: parts, resume: true });
  expect((await second.start().done).best).toEqual(best);
  expect(bytes(parts).equals(bytes(out))).toBe(true);
});
