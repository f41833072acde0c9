// The main job of `npm run quickstart`: a base model learns from six hundred questions in twelve languages, and a
// table tells what it learned, by language. Every step is a command that a user could have typed; it is printed.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildData, LANGUAGES } from './data.mjs';
import { answersInLanguage, lossPerByte, pickMixture, readJsonl, report } from './measure.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const launcher = join(root, 'bin', 'mlit.mjs');

const MODEL = 'gemma-3-270m';
const TRAIN_EXAMPLES = 600;
const TEST_ITEMS = 40;
const COMMON = ['--model', MODEL, '--template', 'gemma'];
const TRAINING = ['--epochs', '3', '--batch-examples', '16', '--learning-rate', '5e-4', '--rank', '16'];
const SAMPLING = ['--max-new-tokens', '24'];

class CommandFailed extends Error {
  constructor(command, code, signal) {
    super(`mlit ${command} ended with ${signal ?? code}`);
    this.status = code ?? (signal === 'SIGINT' ? 130 : 143);
  }
}

const say = (text) => process.stderr.write(`${text}\n`);

/** Runs one mlit command; its progress goes to the terminal, what it prints is returned. */
function mlit(command, ...args) {
  say(`\n$ mlit ${[command, ...args].join(' ')}`);
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [launcher, command, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      cwd: root,
    });
    // A terminal's Ctrl-C reaches the command itself, which stops in order; this process waits for it.
    const wait = () => {};
    const pass = () => child.kill('SIGTERM');
    process.on('SIGINT', wait).on('SIGTERM', pass);
    const chunks = [];
    child.stdout.on('data', (chunk) => chunks.push(chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      process.off('SIGINT', wait).off('SIGTERM', pass);
      if (code === 0) resolve(Buffer.concat(chunks).toString());
      else reject(new CommandFailed(command, code, signal));
    });
  });
}

/** The output of a command that depends on nothing but its files: run once, kept for the next time. */
async function kept(path, command, ...args) {
  if (!existsSync(path)) {
    const output = await mlit(command, ...args);
    writeFileSync(`${path}.partial`, output);
    renameSync(`${path}.partial`, path);
  }
  return readFileSync(path, 'utf8');
}

/** A mark of the program that measures, so that another build does not reuse what this one measured. */
function buildMark() {
  const hash = createHash('sha256');
  for (const file of ['dist/cli.js', 'build/Release/mlit.node']) {
    if (existsSync(join(root, file))) hash.update(readFileSync(join(root, file)));
  }
  return hash.digest('hex').slice(0, 12);
}

function writeRecords(path, records) {
  writeFileSync(path, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  return path;
}

async function main() {
  const start = performance.now();
  const mlitNative = await import('../../dist/index.js');
  await mlit('pull', MODEL);

  const data = buildData(join(mlitNative.cacheDir(), 'quickstart'));
  const { items } = data;
  say(
    `\nData: ${items.train} items to learn from, ${items.dev + items.test} held out, each in ${LANGUAGES.length} languages`,
  );

  const run = join(root, 'runs', 'quickstart');
  const work = join(root, 'runs', `quickstart-${buildMark()}`);
  mkdirSync(work, { recursive: true });
  const mixture = pickMixture(readJsonl(data.train), LANGUAGES, TRAIN_EXAMPLES);
  const trainFile = writeRecords(join(work, 'train.jsonl'), mixture);
  const test = readJsonl(data.test).slice(0, TEST_ITEMS * LANGUAGES.length);
  const testFile = writeRecords(join(work, 'test.jsonl'), test);

  const scoring = [...COMMON, '--data', testFile, '--per-token'];
  const asking = [...COMMON, '--prompts', testFile, ...SAMPLING];
  const before = {
    scores: await kept(join(work, 'before-scores.jsonl'), 'score', ...scoring),
    answers: await kept(join(work, 'before-answers.jsonl'), 'sample', ...asking),
  };

  rmSync(run, { recursive: true, force: true });
  await mlit('train', ...COMMON, '--data', trainFile, '--out', run, ...TRAINING);
  const adapter = ['--adapter', join(run, 'adapter')];
  const after = {
    scores: await mlit('score', ...scoring, ...adapter),
    answers: await mlit('sample', ...asking, ...adapter),
  };

  const text = { ...mlitNative, identify: await mlitNative.loadIdentifier() };
  const measure = ({ scores, answers }) => {
    const byId = new Map(readLines(answers).map((line) => [line.id, line.response]));
    return {
      loss: lossPerByte(test, scores),
      answers: byId,
      language: answersInLanguage(test, byId, LANGUAGES, text),
    };
  };
  const seconds = (performance.now() - start) / 1000;
  process.stdout.write(report(test, measure(before), measure(after), LANGUAGES));
  process.stdout.write(
    `\n${TRAIN_EXAMPLES} training examples, ${TEST_ITEMS} held-out items in ${LANGUAGES.length} languages; ` +
      `${Math.round(seconds)} s in all.\nThe adapter is in ${relative(process.cwd(), join(run, 'adapter'))}.\n`,
  );
}

const readLines = (text) =>
  text
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));

try {
  await main();
} catch (error) {
  say(`\nquickstart: ${error.message}`);
  process.exit(error.status ?? 1);
}
