// A pinch of other languages in an English set, drawn and trained on from code: the table, the recipe, the manifest, the
// run, and a question to the new adapter.
//
//   node examples/mix-and-train.mjs MODEL DATA.jsonl OUT
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  ChatTemplate,
  mixture,
  ParallelTable,
  readExamples,
  renderPrompt,
  Sampler,
  Trainer,
  writeRecords,
} from 'mlit-native';

const [model, dataFile, out] = process.argv.slice(2);
if (out === undefined) {
  process.stderr.write('usage: node examples/mix-and-train.mjs MODEL DATA.jsonl OUT\n');
  process.exit(2);
}

// Items × languages; records that share a `parallel_id` are one item.
const table = ParallelTable.from(await readExamples([dataFile]));
const hub = table.languages.includes('en') ? 'en' : table.languages[0];
const n = Math.min(64, table.items.length);
const drawn = mixture(table, {
  kind: 'pinch',
  count: Math.min(8, n),
  languages: table.languages,
  hub,
  n,
  seed: 1,
});
console.log(`${drawn.manifest.spec}\n${JSON.stringify(drawn.allocation)}`);

mkdirSync(out, { recursive: true });
const trainFile = join(out, 'mixture.jsonl');
await writeRecords(trainFile, drawn.examples);
writeFileSync(join(out, 'manifest.json'), JSON.stringify(drawn.manifest, null, 2));

// A run folder is made new, so it stands beside the mixture and not around it.
const trainer = await Trainer.create({
  model,
  data: [trainFile],
  out: join(out, 'run'),
  epochs: 2,
  learningRate: 5e-4,
});
const run = trainer.start();
for await (const event of run) {
  if (event.type === 'step') console.log(`step ${event.step}  loss ${event.loss.toFixed(3)}`);
}
const { adapter } = await run.done;

// The trainer's model and adapter live until it is disposed.
const { tokenizer } = trainer.model;
const template = await ChatTemplate.create({ tokenizer });
const sampler = await Sampler.create({ model: trainer.model, adapters: [trainer.adapter], maxRows: 1 });
const question = drawn.examples[0].turns.slice(0, 1);
const { tokens: prompt } = renderPrompt(question, { tokenizer, template });
const [{ response }] = await sampler.generate([{ id: 'first', prompt, maxNewTokens: 32 }]);
console.log(`${question[0].content}\n→ ${response}\nadapter: ${adapter}`);
await trainer.dispose();
