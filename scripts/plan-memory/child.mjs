// One run in a process of its own, because a process has one peak. Takes a combination as JSON, its model and data made; prints
// what was planned and what the process held at its most, in bytes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from '../setup/common.mjs';

const { Adapter, Model, packExamples, rougeEvaluator, Sampler, Trainer, TrainingSession } = await import(
  pathToFileURL(join(root, 'dist', 'index.js')).href
);

/** Resident set of this process: `VmHWM` at its peak, `VmRSS` now. */
function resident(key) {
  const line = readFileSync('/proc/self/status', 'utf8').match(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm'));
  return Number(line[1]) * 1024;
}

const bytesOf = (memory) => memory.reduce((bytes, item) => bytes + item.bytes, 0);
/** Ids that no two of these share a beginning of, which would be stored once. */
const ids = (length, number) =>
  Int32Array.from({ length }, (_, i) => 3 + ((i * (number + 1) + number) % 500));

async function train({ options, stopped = false }) {
  const trainer = await Trainer.create({ ...options, evaluator: rougeEvaluator() });
  const { nativeBytes, nodeBytes } = trainer.plan();
  const run = trainer.start();
  for await (const event of run) if (stopped && event.type === 'step') break;
  await run.done;
  return { nativeBytes, nodeBytes };
}

/** Prompts and answers that fill the cache. */
async function sample({ options, adapters = [], rows, promptTokens }) {
  const nodeBytes = resident('VmRSS');
  const model = await Model.load(options);
  const loaded = [];
  for (const rank of adapters) loaded.push(await Adapter.create(model, { rank }));
  const maxNewTokens = 32;
  const cacheTokens = rows * (promptTokens + maxNewTokens);
  const sampler = await Sampler.create({ model, adapters: loaded, maxRows: rows, cacheTokens });
  const requests = Array.from({ length: rows }, (_, row) => ({
    id: String(row),
    prompt: ids(promptTokens, row),
    maxNewTokens,
    adapter: loaded.length > 0 ? row % loaded.length : -1,
  }));
  await sampler.generate(requests);
  const adapterBytes = loaded.reduce((sum, { parameterCount }) => sum + 4 * parameterCount, 0);
  return { nativeBytes: model.bytes + adapterBytes + bytesOf(sampler.memory), nodeBytes };
}

/** Every token's log-probability, as `mlit score --per-token` asks for it. */
async function score({ options, microTokens, length }) {
  const nodeBytes = resident('VmRSS');
  const model = await Model.load(options);
  const session = await TrainingSession.create({ model, microTokens, training: false });
  const examples = Array.from({ length: microTokens / length }, (_, at) => ({
    id: String(at),
    tokens: ids(length, at),
    weights: new Float32Array(length).fill(1),
  }));
  for (const { batch } of packExamples(examples, { microTokens, adapters: -1, allTargets: true }))
    await session.score(batch);
  return { nativeBytes: bytesOf(session.memory), nodeBytes };
}

const run = { train, sample, score };
const given = JSON.parse(process.argv[2]);
const planned = await run[given.kind](given);
process.stdout.write(JSON.stringify({ ...planned, peakBytes: resident('VmHWM') }));
