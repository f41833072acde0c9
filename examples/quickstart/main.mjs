// The main job of `npm run quickstart`: the pinch in miniature. A base model, the same model tuned on English questions, and
// tuned on as many of which 40 are in other languages, answer in twelve languages. All of it is one experiment file.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildData } from './data.mjs';
import { describe } from './summary.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const launcher = join(root, 'bin', 'mlit.mjs');
const experiment = join(root, 'examples', 'quickstart', 'pinch.yaml');
const store = join(root, 'runs', 'store');

class CommandFailed extends Error {
  constructor(command, code, signal) {
    super(`mlit ${command} ended with ${signal ?? code}`);
    this.status = code ?? (signal === 'SIGINT' ? 130 : 143);
  }
}

const say = (text) => process.stderr.write(`${text}\n`);

/** Runs one mlit command, as a user would; its progress goes to the terminal. */
function mlit(...args) {
  say(`\n$ mlit ${args.map((arg) => (arg.startsWith(root) ? relative(process.cwd(), arg) : arg)).join(' ')}`);
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [launcher, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
    // A terminal's Ctrl-C reaches the command itself, which stops in order; this process waits for it.
    const wait = () => {};
    const pass = () => child.kill('SIGTERM');
    process.on('SIGINT', wait).on('SIGTERM', pass);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      process.off('SIGINT', wait).off('SIGTERM', pass);
      if (code === 0) resolve();
      else reject(new CommandFailed(args[0], code, signal));
    });
  });
}

async function main() {
  const start = performance.now();
  await mlit('pull', 'gemma-3-270m');
  const { items, test } = buildData(join(root, 'runs', 'data', 'cldr'));
  say(`\nData: ${items.train} items to learn from, ${items.test} held out, each in twelve languages`);
  await mlit('experiment', 'run', experiment, '--yes');

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
