// A loss of one's own in two calls: direct preference optimisation (Rafailov et al., 2023). forward() gives log-probabilities
// and keeps the activations; backward() takes the loss's derivative by each of them. The reference is the base itself, which
// a batch addresses as adapter -1.
//
//   node examples/dpo.mjs MODEL PAIRS.jsonl OUT [ADAPTER]
//
// A line of PAIRS: {"prompt": …, "chosen": …, "rejected": …}, each a text, or token ids as they are.
import { readFileSync } from 'node:fs';
import { Adapter, ChatTemplate, Model, packExamples, renderPrompt, TrainingSession } from 'mlit-native';

const [modelName, pairsFile, out, start] = process.argv.slice(2);
if (out === undefined) {
  process.stderr.write('usage: node examples/dpo.mjs MODEL PAIRS.jsonl OUT [ADAPTER]\n');
  process.exit(2);
}
const beta = 0.1;
const pairsOfStep = 8;
const microTokens = 2048; // both answers of a pair, with their prompts

const model = await Model.load({ model: modelName });
const { tokenizer } = model;
const records = readFileSync(pairsFile, 'utf8')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => JSON.parse(line));
const hasTexts = records.some(({ prompt, chosen, rejected }) =>
  [prompt, chosen, rejected].some((x) => typeof x === 'string'),
);
const template = hasTexts ? await ChatTemplate.create({ tokenizer }) : undefined;
const adapter =
  start === undefined
    ? await Adapter.create(model, { rank: 16, alpha: 32 })
    : await Adapter.load(model, start);
const session = await TrainingSession.create({ model, adapters: [adapter], microTokens });

const promptIds = (prompt) =>
  typeof prompt === 'string'
    ? renderPrompt([{ role: 'user', content: prompt }], { tokenizer, template }).tokens
    : prompt;
const answerIds = (answer) =>
  typeof answer === 'string' ? [...tokenizer.encode(answer, { addBos: false }), ...template.end.ids] : answer;

/** Prompt and answer as a document whose answer alone has targets. */
function toDocument(id, prompt, answer) {
  const tokens = Int32Array.from([...prompt, ...answer]);
  const weights = new Float32Array(tokens.length).fill(1, prompt.length);
  return { id, tokens, weights };
}

const pairs = records.map(({ prompt, chosen, rejected }, index) => {
  const ids = promptIds(prompt);
  return [
    toDocument(`${index} chosen`, ids, answerIds(chosen)),
    toDocument(`${index} rejected`, ids, answerIds(rejected)),
  ];
});

/** The sum over a document's answer: rows that predict nothing have 0. */
const sumOf = (logprobs, batch, document) =>
  logprobs
    .subarray(batch.cuSeqlens[document], batch.cuSeqlens[document + 1])
    .reduce((sum, value) => sum + value, 0);

for (let first = 0; first < pairs.length; first += pairsOfStep) {
  const step = pairs.slice(first, first + pairsOfStep);
  let loss = 0;
  let preferred = 0;
  for (const pair of step) {
    const packed = packExamples(pair, { microTokens });
    if (packed.length > 1)
      throw new RangeError(`${pair[0].id}: the pair is longer than ${microTokens} tokens`);
    const [{ batch, members }] = packed;
    const reference = await session.score({ ...batch, adapters: batch.adapters.map(() => -1) });
    const logprobs = await session.forward(batch);
    // How much likelier the adapter made the chosen answer than the rejected one, against the base.
    const ratio = members.map((_, at) => sumOf(logprobs, batch, at) - sumOf(reference.logprobs, batch, at));
    const delta = ratio[members.indexOf(0)] - ratio[members.indexOf(1)];
    const margin = beta * delta;
    loss += Math.max(-margin, 0) + Math.log1p(Math.exp(-Math.abs(margin))); // -log sigmoid(margin), at any size
    preferred += delta > 0 ? 1 : 0;
    const slope = -beta / (1 + Math.exp(margin)); // its derivative by delta
    const gradients = new Float32Array(batch.tokens.length);
    for (const [document, member] of members.entries()) {
      const [from, to] = [batch.cuSeqlens[document], batch.cuSeqlens[document + 1]];
      gradients.fill(member === 0 ? slope : -slope, from, to); // rows that predict nothing are passed over
    }
    await session.backward(gradients);
  }
  const { gradNorm } = await session.optimStep({ learningRate: 5e-5, totalWeight: step.length });
  console.log(
    `pairs ${first + step.length}/${pairs.length}  loss ${(loss / step.length).toFixed(6)}  preferred ${preferred}/${step.length}  |g| ${gradNorm.toFixed(6)}`,
  );
}
await session.saveState(`${out}.state.safetensors`);
await adapter.save(out, modelName);
await model.dispose();
