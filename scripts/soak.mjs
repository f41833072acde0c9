// A leak of a kilobyte a run shows in no test and in every service: training, sampling and scoring are made and disposed over
// and over, and what the process holds is read all along. `node scripts/soak.mjs [--minutes 120] [--log FILE.jsonl]`.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import v8 from 'node:v8';
import vm from 'node:vm';
import { root, say } from './setup/common.mjs';
import { verdictOf } from './soak/verdict.mjs';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '120' },
    log: { type: 'string', default: join(root, '.setup', 'soak.jsonl') },
  },
});
const minutes = Number(values.minutes);
if (!(minutes > 0)) {
  say(`soak: --minutes takes a number above 0; got '${values.minutes}'`);
  process.exit(2);
}

const { Adapter, Model, Sampler, score, Trainer } = await import(
  pathToFileURL(join(root, 'dist', 'index.js')).href
);
v8.setFlagsFromString('--expose-gc');
const collectGarbage = vm.runInNewContext('gc');

const folder = mkdtempSync(join(tmpdir(), 'mlit-soak-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const data = join(folder, 'data.jsonl');
const words = ['cat', 'house', 'kissa', 'talo', 'кот', '猫', 'בית'];
writeFileSync(
  data,
  Array.from({ length: 24 }, (_, i) =>
    JSON.stringify({
      lang: ['en', 'fi'][i % 2],
      instruction: `Say ${words[i % 7]} ${'again '.repeat(i % 4)}please.`,
      response: `${words[(i * 5 + 1) % 7]} ${words[(i * 3 + 2) % 7]}`,
    }),
  ).join('\n'),
);
const fixture = (...parts) => join(root, 'test', 'fixtures', ...parts);
const families = ['smol-tiny', 'llama-tiny', 'gemma3-tiny'];

/** One turn of everything: a run to its end, one left half-way and resumed, samples with two adapters, a stream left, scores. */
async function turn(number) {
  const family = families[number % families.length];
  const path = number % 2 ? fixture(family, 'model') : fixture(family, 'model.gguf');
  const model = await Model.load({ model: path, threads: 2 });
  const out = join(folder, `run-${number}`);
  const template = family === 'smol-tiny' ? 'auto' : 'alpaca';
  const options = { model: path, data: [data], template, rank: 2, batchExamples: 8, dev: 2, threads: 2 };
  const trainer = await Trainer.create({
    ...options,
    out,
    saveEvery: 1,
    base: number % 4 < 2 ? model : undefined,
  });
  const run = trainer.start();
  for await (const event of run) if (number % 3 === 0 && event.type === 'step' && event.step === 1) break;
  const { reason } = await run.done;
  const { dev } = trainer.data;
  await trainer.dispose();
  if (reason === 'stopped') {
    const again = await Trainer.create({ ...options, out, resume: true });
    await again.start().done;
    await again.dispose();
  }
  const adapters = [
    await Adapter.load(model, join(out, 'adapter')),
    await Adapter.load(model, fixture(family, 'adapter')),
  ];
  const sampler = await Sampler.create({ model, adapters, maxRows: 4 });
  const requests = Array.from({ length: 6 }, (_, i) => ({
    id: `r${i}`,
    prompt: model.tokenizer.encode(`prompt ${i}`),
    maxNewTokens: 8,
    temperature: i % 2,
    adapter: (i % 3) - 1,
  }));
  await sampler.generate(requests);
  for await (const _ of sampler.stream(requests)) break;
  await score({ model, adapter: adapters[0], examples: dev });
  // Some are disposed one by one, some end with their model.
  if (number % 2) {
    await sampler.dispose();
    for (const adapter of adapters) await adapter.dispose();
  }
  await model.dispose();
  rmSync(out, { recursive: true });
}

const statusKiB = (key) => {
  const line = readFileSync('/proc/self/status', 'utf8').match(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm'));
  return Number(line[1]);
};

/** What a collection finds is given back by finalizers, which Node runs in later turns of its loop. */
async function settle() {
  for (let i = 0; i < 3; i++) {
    collectGarbage();
    await setImmediate();
  }
}

async function sample(started, turns) {
  await settle();
  const { heapUsed, external } = process.memoryUsage();
  return {
    seconds: Math.round((performance.now() - started) / 100) / 10,
    turns,
    rssMiB: statusKiB('VmRSS') / 1024,
    anonMiB: statusKiB('RssAnon') / 1024,
    heapMiB: heapUsed / 2 ** 20,
    externalMiB: external / 2 ** 20,
    files: readdirSync('/proc/self/fd').length,
    threads: readdirSync('/proc/self/task').length,
    handles: process.getActiveResourcesInfo().length,
  };
}

mkdirSync(dirname(values.log), { recursive: true });
writeFileSync(values.log, '');
const started = performance.now();
const end = started + minutes * 60_000;
const interval = Math.max(1000, Math.min(20_000, (minutes * 60_000) / 60));
/** What allocators keep swings by 30 MiB over a hundred turns; a busy machine gets through as many in more time. */
const LEAST_TURNS = 250;
const samples = [];
for (let turns = 0, next = 0; performance.now() < end || turns < LEAST_TURNS; ) {
  await turn(turns++);
  if (performance.now() < next) continue;
  next = performance.now() + interval;
  samples.push(await sample(started, turns));
  writeFileSync(values.log, `${JSON.stringify(samples.at(-1))}\n`, { flag: 'a' });
}
const verdict = verdictOf(samples);
writeFileSync(values.log, `${JSON.stringify(verdict)}\n`, { flag: 'a' });
for (const line of verdict.lines) say(line);
process.exitCode = verdict.flat ? 0 : 1;
