// Greedy text of exported files under llama.cpp, by node-llama-cpp, against `mlit sample`: the merged GGUF file, and the base
// with the GGUF adapter. It is installed into .setup/, for this check alone.
//
//   node scripts/peers/llama-cpp.mjs --model M.gguf --adapter RUN/adapter [--prompts FILE] [--tokens 24]
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, say } from '../setup/common.mjs';
import { startLlama } from './node-llama-cpp.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    adapter: { type: 'string' },
    prompts: { type: 'string' },
    tokens: { type: 'string', default: '24' },
  },
});
if (!values.model || !values.adapter) {
  console.error('usage: node scripts/peers/llama-cpp.mjs --model M.gguf --adapter FOLDER [--prompts FILE]');
  process.exit(2);
}
const mlit = join(root, JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).bin.mlit);
const PROMPTS = [
  'Write one sentence about the sea.',
  'Kirjoita yksi lause merestä.',
  'Andika sentensi moja kuhusu bahari.',
  'Name three colours.',
];

/** Rendered prompts and new ids of `mlit sample`. */
function sampleHere(prompts, flags) {
  const run = (more) =>
    execFileSync(
      'node',
      [mlit, 'sample', ...flags, '--prompts', prompts, '--max-new-tokens', values.tokens, ...more],
      {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
  return run([])
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/** New ids of llama.cpp after the same ids, as many as there are to compare. */
async function sampleThere(llama, file, lora, records) {
  const model = await llama.loadModel({ modelPath: file, gpuLayers: 0 });
  const context = await model.createContext({
    contextSize: 1024,
    threads: 1, // its threads wait by spinning, which on a busy machine is far slower than one
    ...(lora && { lora: { adapters: [{ filePath: lora, scale: 1 }] } }),
  });
  const results = [];
  for (const record of records) {
    const sequence = context.getSequence();
    const prompt = model.tokenize(record.prompt, true);
    const ids = [];
    for await (const token of sequence.evaluate(prompt, { temperature: 0 })) {
      ids.push(Number(token));
      if (ids.length >= record.tokens.length) break;
    }
    results.push(ids);
    await sequence.dispose();
  }
  await context.dispose();
  await model.dispose();
  return results;
}

const work = mkdtempSync(join(tmpdir(), 'mlit-llama-cpp-'));
try {
  const prompts = values.prompts ?? join(work, 'prompts.jsonl');
  if (!values.prompts)
    writeFileSync(
      prompts,
      PROMPTS.map((text, i) => `${JSON.stringify({ id: `p${i}`, instruction: text })}\n`).join(''),
    );
  const exportTo = (name, ...flags) => {
    const out = join(work, name);
    execFileSync('node', [mlit, 'export', '--model', values.model, '--out', out, ...flags], {
      stdio: 'inherit',
    });
    return out;
  };
  const adapter = ['--adapter', values.adapter];
  const f32 = exportTo('base.gguf', '--format', 'gguf', '--dtype', 'f32');
  const merged = exportTo('merged.gguf', '--format', 'gguf', '--dtype', 'f32', ...adapter);
  const lora = exportTo('lora.gguf', '--format', 'gguf-adapter', ...adapter);
  const llama = await startLlama();
  const tuned = sampleHere(prompts, ['--model', values.model, ...adapter]);
  const base = sampleHere(prompts, ['--model', values.model]);
  const changed = tuned.filter((record, i) => `${record.tokens}` !== `${base[i].tokens}`).length;
  say(`the adapter changes ${changed} of ${tuned.length} greedy answers`);
  let failures = changed === 0 ? 1 : 0;
  for (const [name, file, with_, records] of [
    ['base', f32, undefined, base],
    ['merged GGUF', merged, undefined, tuned],
    ['base + GGUF adapter', f32, lora, tuned],
  ]) {
    const found = await sampleThere(llama, file, with_, records);
    const same = found.filter(
      (ids, i) => `${ids}` === `${records[i].tokens.slice(0, ids.length)}` && ids.length > 0,
    ).length;
    const compared = records.reduce((sum, record) => sum + record.tokens.length, 0);
    say(`${name}: ${same} of ${records.length} answers are the same, ${compared} tokens`);
    if (same < records.length) failures += 1;
  }
  process.exitCode = failures === 0 ? 0 : 1;
} finally {
  rmSync(work, { recursive: true, force: true });
}
