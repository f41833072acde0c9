// Contestant: one run, or many together, from options to adapters, loading and preparing included. Prints seconds, CPU time and peak memory
// as one JSON line.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { MultiTrainer, Trainer } from '../../dist/index.js';
import { peakBytes } from '../process.mjs';

const { values } = parseArgs({
  options: Object.fromEntries(
    ['model', 'data', 'tokens', 'steps', 'compute', 'threads', 'rank', 'first', 'count'].map((name) => [
      name,
      { type: 'string' },
    ]),
  ),
});
const [tokens, steps, threads, rank, first, count] = [
  'tokens',
  'steps',
  'threads',
  'rank',
  'first',
  'count',
].map((name) => Number(values[name]));
const folder = mkdtempSync(join(tmpdir(), 'mlit-runs-'));
const runs = Array.from({ length: count }, (_, i) => ({
  model: values.model,
  data: [values.data],
  batchTokens: tokens,
  maxLength: tokens,
  truncate: 'drop', // a prompt longer than a step has nothing to learn from
  steps,
  threads,
  compute: values.compute,
  rank,
  alpha: 2 * rank,
  seed: first + i,
  out: join(folder, `run-${i}`),
}));
let computed = 0;
try {
  const trainer = count === 1 ? await Trainer.create(runs[0]) : await MultiTrainer.create({ runs });
  const begun = performance.now();
  const run = trainer.start();
  for await (const event of run) if (event.type === 'step') computed += event.tokens;
  const results = await run.done;
  if (count > 1 && results.some(({ reason }) => reason !== 'finished')) throw new Error('a run failed');
  const ended = performance.now();
  await trainer.dispose();
  const { user, system } = process.cpuUsage();
  console.log(
    JSON.stringify({
      tokens: computed,
      seconds: process.uptime(),
      trainSeconds: (ended - begun) / 1000,
      cpuSeconds: (user + system) / 1e6,
      peakBytes: peakBytes(),
      atOnce: count === 1 ? 1 : trainer.plan().atOnce,
    }),
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
