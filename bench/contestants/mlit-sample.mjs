// This library's sampler on given prompts, all at once, greedy, by its public API. One JSON line at the end.
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { Model, Sampler } from '../../dist/index.js';
import { peakBytes, resetPeak } from '../process.mjs';

const { values } = parseArgs({
  options: {
    work: { type: 'string' },
    count: { type: 'string' },
    'new-tokens': { type: 'string' },
    threads: { type: 'string' },
    compute: { type: 'string', default: 'f32' },
  },
});
const work = JSON.parse(readFileSync(values.work, 'utf8'));
const maxNewTokens = Number(values['new-tokens']);
const prompts = work.prompts.slice(0, Number(values.count));
const requests = prompts.map(({ id, ids }) => ({ id, prompt: Int32Array.from(ids), maxNewTokens }));
// Whole pages of the cache for every sequence.
const room = requests.reduce(
  (sum, { prompt }) => sum + Math.ceil((prompt.length + maxNewTokens) / 64 + 1) * 64,
  0,
);

const started = performance.now();
const model = await Model.load({
  model: work.model,
  threads: Number(values.threads),
  compute: values.compute,
});
const size = { model, maxRows: requests.length, cacheTokens: room };
const sampler = await Sampler.create(size);
const loadSeconds = (performance.now() - started) / 1000;
await sampler.generate(requests.slice(0, 2).map((request) => ({ ...request, maxNewTokens: 2 })));

const peakLoad = peakBytes();
const wasReset = resetPeak();
const cpuBefore = process.cpuUsage();
const begin = performance.now();
const results = await sampler.generate(requests);
const seconds = (performance.now() - begin) / 1000;
const { user, system } = process.cpuUsage(cpuBefore);
// Prefill alone, in a cache that has seen none of the prompts: one new token of each.
await sampler.dispose();
const other = await Sampler.create(size);
const prefillBegin = performance.now();
await other.generate(requests.map((request) => ({ ...request, maxNewTokens: 1 })));
const prefillSeconds = (performance.now() - prefillBegin) / 1000;
const newTokens = results.reduce((sum, { tokens }) => sum + tokens.length, 0);
const result = {
  prompts: requests.length,
  promptTokens: requests.reduce((sum, { prompt }) => sum + prompt.length, 0),
  newTokens,
  seconds,
  prefillSeconds,
  cpuSeconds: (user + system) / 1e6,
  tokensPerSecond: newTokens / seconds,
  responses: results.map(({ tokens }) => tokens),
  loadSeconds,
  peakBytes: Math.max(peakLoad ?? 0, peakBytes() ?? 0),
  ...(wasReset && { peakStepBytes: peakBytes() }),
};
console.log(JSON.stringify(result));
await model.dispose();
