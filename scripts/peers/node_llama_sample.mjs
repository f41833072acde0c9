// Contestant: llama.cpp as Node's users run it, by node-llama-cpp's API: as many sequences of one context as there are prompts, each evaluated by
// its own loop, which the library batches. Greedy. One JSON line at the end.
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { peakBytes } from '../../bench/process.mjs';
import { startLlama, VERSION } from './node-llama-cpp.mjs';

const { values } = parseArgs({
  options: Object.fromEntries(
    ['model', 'work', 'new-tokens', 'threads', 'count'].map((name) => [name, { type: 'string' }]),
  ),
});
const work = JSON.parse(readFileSync(values.work, 'utf8'));
const prompts = work.prompts.slice(0, Number(values.count)).map(({ ids }) => ids);
const newTokens = Number(values['new-tokens']);
const stops = new Set(work.stopIds);

const started = performance.now();
const llama = await startLlama();
const model = await llama.loadModel({ modelPath: values.model, gpuLayers: 0 });
const room = Math.max(...prompts.map((ids) => ids.length)) + newTokens;
const context = await model.createContext({
  sequences: prompts.length,
  contextSize: Math.ceil(room / 256) * 256,
  batchSize: 2048,
  threads: Number(values.threads),
});
const loadSeconds = (performance.now() - started) / 1000;

/** Ids of a response, and when its first one was there. */
async function answer(prompt, most) {
  const sequence = context.getSequence();
  const ids = [];
  let first;
  for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    first ??= performance.now();
    ids.push(Number(token));
    if (stops.has(Number(token)) || ids.length >= most) break;
  }
  await sequence.dispose();
  return { ids, first };
}

await Promise.all(prompts.slice(0, 2).map((prompt) => answer(prompt, 2)));
const cpuBefore = process.cpuUsage();
const begin = performance.now();
const answers = await Promise.all(prompts.map((prompt) => answer(prompt, newTokens)));
const seconds = (performance.now() - begin) / 1000;
const { user, system } = process.cpuUsage(cpuBefore);
const tokens = answers.reduce((sum, { ids }) => sum + ids.length, 0);
const result = {
  prompts: prompts.length,
  promptTokens: prompts.reduce((sum, ids) => sum + ids.length, 0),
  newTokens: tokens,
  seconds,
  prefillSeconds: (Math.max(...answers.map(({ first }) => first)) - begin) / 1000,
  cpuSeconds: (user + system) / 1e6,
  tokensPerSecond: tokens / seconds,
  responses: answers.map(({ ids }) => ids),
  loadSeconds,
  peakBytes: peakBytes(),
  versions: { 'node-llama-cpp': VERSION },
};
console.log(JSON.stringify(result));
process.exit(0); // its threads would be waited for
