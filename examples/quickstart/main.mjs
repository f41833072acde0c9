// The main job of `npm run quickstart`: the pinch in miniature. A base model, the same model tuned on English questions, and
// tuned on as many of which 40 are in other languages, answer in twelve languages. All of it is one experiment file.
import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { mlit, root } from '../run-mlit.mjs';
import { buildData } from './data.mjs';
import { describe } from './summary.mjs';

const experiment = join(root, 'examples', 'quickstart', 'pinch.yaml');
const store = join(root, 'runs', 'store');
const say = (text) => process.stderr.write(`${text}\n`);

async function run(...args) {
  const code = await mlit(args, { quiet: true });
  if (code !== 0) throw Object.assign(new Error(`mlit ${args[0]} ended with ${code}`), { status: code });
}

async function main() {
  const start = performance.now();
  await run('pull', 'gemma-3-270m');
  const { items, test } = buildData(join(root, 'runs', 'data', 'cldr'));
  say(`\nData: ${items.train} items to learn from, ${items.test} held out, each in twelve languages`);
  await run('experiment', 'run', experiment, '--yes');

  const { collectModels } = await import('mlit-native');
  const { models } = await collectModels(store, 'pinch', { responses: true });
  const used = new Set(models[0].items.map(({ item }) => item));
  const records = readFileSync(test, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter((record) => used.has(record.parallel_id));
  process.stdout.write(describe(models, records));
  const report = join(store, 'experiments', 'pinch', 'report', 'report.md');
  const minutes = ((performance.now() - start) / 60_000).toFixed(1);
  process.stdout.write(
    `\n${minutes} minutes in all. Every language, with intervals and plots: ${relative(process.cwd(), report)}\n`,
  );
}

try {
  await main();
} catch (error) {
  say(`\nquickstart: ${error.message}`);
  process.exit(error.status ?? 1);
}
