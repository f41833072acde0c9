// What takes longer than a change may wait for, or wants what not every machine has: `npm run ci:full [-- NAME…]`. Each step is a
// program of its own in scripts/full/; all of them run, and the exit status is 1 if any failed.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root, say } from './setup/common.mjs';

const steps = {
  'node-versions': 'the packed package on Node 20, 22 and 24',
  fuzz: 'every parser fuzzed, ten minutes each (an hour each: npm run fuzz -- --seconds 3600)',
  tsan: 'training with sampling beside it, the thread pool and the loader, under ThreadSanitizer',
  ptx: 'the CUDA kernels as nvcc wrote them: its PTX as C++, on the emulator',
  'failing-calls': 'a training on the emulated card in which each call of the driver fails in turn',
  emulation: 'the CUDA backend on its emulator, 200 seeds of everything',
  mutations: 'one-token mistakes in the CUDA kernels, 250 a day: does a test see each?',
  soak: 'ten minutes of models, runs, samples and scores made and disposed, with flat memory (two hours: node scripts/soak.mjs)',
  serve: '64 clients for two minutes against mlit serve: every answer right, none lost, memory flat',
  'plan-memory':
    'twenty-odd combinations of families and options: what mlit plan says against what each process took',
  'report-page': 'a report of 100,000 answers opens in Chromium in under two seconds',
  cuda: 'the CUDA plug-in compiled for sm_80 and sm_90a, and what the compiler made of each kernel',
  gpu: 'the programs for a card, built from a copy of the sources that they need: small, and skipped where there is none',
  arm64: 'the native tests and the prebuilt addon for arm64, under QEMU',
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !Object.hasOwn(steps, name));
if (unknown.length > 0) {
  say(`ci:full has no step ${unknown.join(', ')}; it has ${Object.keys(steps).join(', ')}.`);
  process.exit(2);
}
let failed = 0;
for (const name of asked.length > 0 ? asked : Object.keys(steps)) {
  say(`\n== ${name}: ${steps[name]}`);
  const start = performance.now();
  const { status } = spawnSync(process.execPath, [join(root, 'scripts', 'full', `${name}.mjs`)], {
    cwd: root,
    stdio: 'inherit',
  });
  say(`${status === 0 ? 'ok  ' : 'FAIL'} ${name} (${((performance.now() - start) / 1000).toFixed(0)} s)`);
  if (status !== 0) failed++;
}
process.exit(failed > 0 ? 1 : 0);
