// Merged GGUF files of every family of the zoo under llama.cpp: the greedy tokens after a prompt's ids against those that peft gave
// (test/fixtures/zoo/*/expected.json). A token whose lead is too small to be sure of ends a comparison.
//
//   node scripts/peers/llama-cpp-zoo.mjs [FAMILY…]
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, say } from '../setup/common.mjs';
import { startLlama } from './node-llama-cpp.mjs';

const SURE = 1e-3;
const zoo = join(root, 'test', 'fixtures', 'zoo');
const mlit = join(root, JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).bin.mlit);
const families = process.argv.length > 2 ? process.argv.slice(2) : readdirSync(zoo).sort();

async function greedy(model, prompt, count) {
  const context = await model.createContext({ contextSize: 256, threads: 1 });
  const ids = [];
  for await (const token of context.getSequence().evaluate(prompt, { temperature: 0 })) {
    ids.push(Number(token));
    if (ids.length >= count) break;
  }
  await context.dispose();
  return ids;
}

/** How many of a family's tokens were compared, and whether all were the same. */
async function check(llama, family, work) {
  const folder = join(zoo, family);
  const out = join(work, `${family}.gguf`);
  const flags = ['--model', join(folder, 'model'), '--adapter', join(folder, 'adapter'), '--dtype', 'f32'];
  execFileSync('node', [mlit, 'export', ...flags, '--format', 'gguf', '--out', out], { stdio: 'pipe' });
  const model = await llama.loadModel({ modelPath: out, gpuLayers: 0 });
  // llama.cpp has no window for Mistral's architecture: up to the window's end it must be the same all the same.
  const config = JSON.parse(readFileSync(join(folder, 'model', 'config.json'), 'utf8'));
  const window = (config.model_type === 'mistral' && config.sliding_window) || Number.POSITIVE_INFINITY;
  let compared = 0;
  let isSame = true;
  for (const { prompt, tokens, margins } of JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8'))
    .greedy.adapter) {
    const unsure = margins.findIndex((margin) => margin < SURE);
    const all = unsure === -1 ? tokens : tokens.slice(0, unsure);
    const wanted = all.slice(0, Math.max(0, window + 1 - prompt.length));
    if (wanted.length === 0) continue;
    const found = await greedy(model, prompt, wanted.length);
    // It may end a text where the fixture goes on after an end.
    isSame &&= found.length > 0 && found.every((id, at) => id === wanted[at]);
    compared += found.length;
  }
  await model.dispose();
  return { compared, isSame: isSame && compared > 0 };
}

const work = mkdtempSync(join(tmpdir(), 'mlit-llama-cpp-zoo-'));
try {
  const llama = await startLlama();
  for (const family of families) {
    const { compared, isSame } = await check(llama, family, work);
    say(`${family}: ${compared} greedy tokens ${isSame ? 'are the same' : 'DIFFER'}`);
    if (!isSame) process.exitCode = 1;
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
