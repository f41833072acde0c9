// Every parser under fire: libFuzzer with sanitizers on the native ones, properties on those in TypeScript, two processes at a
// time. `npm run fuzz -- [--seconds 60] [--only NAME|native|files] [--merge]`; --merge keeps in the corpus what reached new code.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { hasCommand, root, runLogged, say, stampDir } from './setup/common.mjs';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    only: { type: 'string' },
    merge: { type: 'boolean', default: false },
  },
});
const seconds = Number(values.seconds);
if (!(seconds > 0)) {
  say(`fuzz: --seconds takes a number above 0; got '${values.seconds}'`);
  process.exit(2);
}

const build = join(root, 'build-fuzz');
const corpus = join(root, 'native', 'fuzz', 'corpus');
const work = join(stampDir, 'fuzz');
const files = ['safetensors', 'gguf']; // built without model and backend, in seconds
const native = [...files, 'peft', 'model', 'state'];
const typescript = ['tokenizer', 'readers', 'foreign', 'lines', 'requests'];
const groups = { native, files };
const wanted = (name) => values.only === undefined || (groups[values.only] ?? [values.only]).includes(name);
if (![...native, ...typescript].some(wanted)) {
  say(`fuzz: --only takes one of ${[...native, ...typescript].join(', ')}; got '${values.only}'`);
  process.exit(2);
}

/** A single allocation above this, or a process above the second, is a finding: sizes in files are checked before they are used. */
const LIMITS = ['-malloc_limit_mb=64', '-rss_limit_mb=1024', '-timeout=25', '-max_len=8192'];

async function buildFuzzers() {
  if (!hasCommand('clang++')) {
    say('fuzz: clang++ is missing; `node scripts/setup.mjs --for test` installs it, or names its package');
    process.exit(1);
  }
  const launcher = hasCommand('ccache') ? ['-DCMAKE_CXX_COMPILER_LAUNCHER=ccache'] : [];
  const options = [
    '-DMLIT_BUILD_FUZZERS=ON',
    '-DMLIT_CUDA=OFF',
    '-DCMAKE_CXX_COMPILER=clang++',
    '-DMLIT_SANITIZE=address,undefined',
  ];
  say('Building the fuzzers');
  await runLogged('cmake', ['-S', root, '-B', build, ...options, ...launcher], { log: 'fuzz-configure' });
  // Not all: what is loaded at run time can't be linked under clang's sanitizers, and nothing here loads it.
  const targets = native.filter(wanted).map((name) => `mlit_fuzz_${name}`);
  await runLogged('cmake', ['--build', build, '--target', ...targets, '--parallel', '2'], {
    log: 'fuzz-build',
  });
}

function run(command, args, log, env = process.env) {
  const lines = [];
  const child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => lines.push(chunk));
  return new Promise((resolve) => {
    child.on('close', (code) => {
      const text = Buffer.concat(lines).toString('utf8');
      writeFileSync(log, text);
      resolve({ code: code ?? 1, text });
    });
  });
}

async function fuzzNative(name) {
  const found = join(work, name);
  rmSync(found, { recursive: true, force: true });
  mkdirSync(found, { recursive: true });
  const log = join(work, `${name}.log`);
  const args = [
    `-max_total_time=${seconds}`,
    '-print_final_stats=1',
    '-reload=0',
    `-artifact_prefix=${join(work, `${name}-`)}`,
  ];
  const { code, text } = await run(
    join(build, `mlit_fuzz_${name}`),
    [...LIMITS, ...args, found, join(corpus, name)],
    log,
  );
  const runs = Number(/number_of_executed_units:\s+(\d+)/.exec(text)?.[1] ?? 0);
  const edges = Number([...text.matchAll(/ cov: (\d+) /g)].at(-1)?.[1] ?? 0);
  const features = Number([...text.matchAll(/ ft: (\d+) /g)].at(-1)?.[1] ?? 0);
  if (code === 0 && values.merge) {
    const merged = spawnSync(
      join(build, `mlit_fuzz_${name}`),
      ['-set_cover_merge=1', '-max_len=4096', join(corpus, name), found],
      { cwd: root },
    );
    if (merged.status !== 0) say(`fuzz: merging the corpus of ${name} failed`);
  }
  return { name, code, runs, note: `${edges} edges, ${features} features`, log };
}

async function fuzzTypescript(name) {
  const log = join(work, `${name}.log`);
  const file = join('test', 'fuzz', `${name}.test.ts`);
  const count = readFileSync(join(root, file), 'utf8').match(/property\(/g).length;
  // The properties of a file follow one another: each gets its share of the time.
  const each = Math.max(1, Math.round(seconds / count));
  const env = { ...process.env, MLIT_FUZZ_SECONDS: String(each) };
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const { code, text } = await run(process.execPath, [vitest, 'run', file], log, env);
  const counts = [...text.matchAll(/fuzz (\{.*\})/g)].map((match) => JSON.parse(match[1]).runs);
  const runs = counts.reduce((sum, more) => sum + more, 0);
  return { name, code, runs, note: `${counts.length} properties`, log };
}

if (native.some(wanted)) await buildFuzzers();
mkdirSync(work, { recursive: true });
const queue = [
  ...native.filter(wanted).map((name) => () => fuzzNative(name)),
  ...typescript.filter(wanted).map((name) => () => fuzzTypescript(name)),
];
const results = [];
await Promise.all(
  [0, 1].map(async () => {
    for (let next = queue.shift(); next; next = queue.shift()) results.push(await next());
  }),
);
for (const { name, code, runs, note, log } of results.sort((a, b) => (a.name < b.name ? -1 : 1)))
  say(
    `${code === 0 ? 'clean  ' : 'FINDING'}  ${name}: ${runs} executions in ${seconds} s, ${note}${code === 0 ? '' : `; see ${log}`}`,
  );
const findings = existsSync(work)
  ? readdirSync(work).filter((file) => /-(crash|oom|timeout|leak)-/.test(file))
  : [];
for (const file of findings) say(`input: ${join(work, file)}`);
process.exitCode = results.some(({ code }) => code !== 0) ? 1 : 0;
