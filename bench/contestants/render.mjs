// Writes token ids and masks of records and of their prompts, as the library's own training and sampling would see
// them, for contestants of any language: `node render.mjs --model M --data FILE --count N --max-length N --out FILE`.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ChatTemplate, Model, readExamples, renderExample, renderPrompt } from '../../dist/index.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    data: { type: 'string' },
    count: { type: 'string' },
    'max-length': { type: 'string' },
    out: { type: 'string' },
  },
});
const model = await Model.load({ model: values.model });
const { tokenizer, config } = model;
const template = await ChatTemplate.create({ tokenizer, now: '2026-01-01T00:00:00Z' });
const context = { tokenizer, template };
const maxLength = Number(values['max-length']);

const records = [];
const prompts = [];
for (const example of await readExamples([values.data])) {
  if (records.length === Number(values.count)) break;
  const turns = example.turns.slice(
    0,
    example.turns.findIndex((turn) => turn.role === 'assistant'),
  );
  const prompt = renderPrompt(turns, context).tokens;
  // A prompt that leaves no room for an answer teaches nothing: it is passed over, not cut.
  if (prompt.length >= maxLength) continue;
  const [rendered] = renderExample(example, { ...context, maxLength });
  records.push({
    id: rendered.id,
    ids: [...rendered.tokens],
    supervised: [...rendered.weights].map((weight) => (weight === 0 ? 0 : 1)),
  });
  prompts.push({ id: example.id, ids: [...prompt] });
}
const stopIds = [...new Set([...model.endOfTurnIds, ...model.eosIds])];
const work = { model: model.source.path, padId: 0, stopIds, records, prompts };
writeFileSync(values.out, JSON.stringify(work));
const shapes = records.map(({ ids, supervised }) => ({
  length: ids.length,
  supervised: supervised.reduce((sum, value) => sum + value, 0),
}));
const promptLengths = prompts.map(({ ids }) => ids.length);
console.log(JSON.stringify({ config, template: template.name, records: shapes, promptLengths }));
await model.dispose();
