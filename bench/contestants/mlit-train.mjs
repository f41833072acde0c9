// This library on given token ids, by its public primitives: `--batch` records make an optimiser step, packed into
// micro-batches as the trainer packs them. One JSON line at the end.
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { Adapter, Model, packExamples, TrainingSession } from '../../dist/index.js';
import { peakBytes, resetPeak } from '../process.mjs';

const { values } = parseArgs({
  options: {
    work: { type: 'string' },
    batch: { type: 'string' },
    threads: { type: 'string' },
    rank: { type: 'string', default: '16' },
    alpha: { type: 'string', default: '32' },
    dropout: { type: 'string', default: '0' },
    recompute: { type: 'string', default: 'none' },
    full: { type: 'boolean', default: false },
    'base-dtype': { type: 'string', default: 'f32' },
    compute: { type: 'string', default: 'f32' },
    'micro-tokens': { type: 'string', default: '2048' },
    first: { type: 'string', default: '0' },
    count: { type: 'string', default: '1000000' },
  },
});
const work = JSON.parse(readFileSync(values.work, 'utf8'));
const first = Number(values.first);
const examples = work.records.slice(first, first + Number(values.count)).map(({ id, ids, supervised }) => ({
  id,
  tokens: Int32Array.from(ids),
  weights: Float32Array.from(supervised),
}));
const size = Number(values.batch);
const steps = [];
for (let at = 0; at < examples.length; at += size) steps.push(examples.slice(at, at + size));
const tokensOf = (list) => list.reduce((sum, example) => sum + example.tokens.length, 0);
const longest = Math.max(...examples.map((example) => example.tokens.length));
const most = Number(values['micro-tokens']);
const microTokens = Math.max(longest, Math.min(most, Math.ceil(Math.max(...steps.map(tokensOf)) / 64) * 64));

const started = performance.now();
const model = await Model.load({
  model: work.model,
  threads: Number(values.threads),
  ...(values.compute === 'int8' ? { compute: 'int8' } : { baseDtype: values['base-dtype'] }),
});
const spec = {
  rank: Number(values.rank),
  alpha: Number(values.alpha),
  dropout: Number(values.dropout),
};
const trained = values.full ? { full: true } : { adapters: [await Adapter.create(model, spec)] };
const { recompute } = values;
const session = await TrainingSession.create({ model, ...trained, microTokens, recompute });
const loadSeconds = (performance.now() - started) / 1000;

// Not timed: the shortest records once, whose loss with a fresh adapter is the base's and must be every contestant's.
const shortest = [...examples].sort((a, b) => a.tokens.length - b.tokens.length).slice(0, 4);
let loss = 0;
let weight = 0;
for (const { batch } of packExamples(shortest, { microTokens })) {
  const sums = await session.forwardBackward(batch);
  loss += sums.loss;
  weight += sums.weight;
}
await session.zeroGradients();

const peakLoad = peakBytes();
const wasReset = resetPeak();
const losses = [];
const cpuBefore = process.cpuUsage();
const begin = performance.now();
for (const step of steps) {
  let stepLoss = 0;
  let stepWeight = 0;
  for (const { batch } of packExamples(step, { microTokens })) {
    const sums = await session.forwardBackward(batch);
    stepLoss += sums.loss;
    stepWeight += sums.weight;
  }
  await session.optimStep({ learningRate: 2e-4 });
  losses.push(stepLoss / stepWeight);
}
const seconds = (performance.now() - begin) / 1000;
const { user, system } = process.cpuUsage(cpuBefore);
const tokens = tokensOf(examples);
const result = {
  tokens,
  seconds,
  cpuSeconds: (user + system) / 1e6,
  tokensPerSecond: tokens / seconds,
  steps: steps.length,
  losses,
  baseLoss: loss / weight,
  loadSeconds,
  peakBytes: Math.max(peakLoad ?? 0, peakBytes() ?? 0),
  ...(wasReset && { peakStepBytes: peakBytes() }),
  plannedBytes: session.memory.reduce((sum, item) => sum + item.bytes, 0),
  microTokens,
};
console.log(JSON.stringify(result));
await model.dispose();
