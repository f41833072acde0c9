// A whole supervised tuning written by hand over the four primitives: nothing stands between reader and loop. The Trainer is
// the same loop with checkpoints, a dev set and a run folder around it.
//
//   node examples/own-loop.mjs MODEL DATA.jsonl OUT
import {
  Adapter,
  ChatTemplate,
  learningRateAt,
  Model,
  packExamples,
  planSteps,
  readExamples,
  renderExamples,
  renderPrompt,
  Sampler,
  TrainingSession,
} from 'mlit-native';

const [modelName, dataFile, out] = process.argv.slice(2);
if (out === undefined) {
  process.stderr.write('usage: node examples/own-loop.mjs MODEL DATA.jsonl OUT\n');
  process.exit(2);
}
const microTokens = 1024;
const schedule = { schedule: 'linear', learningRate: 2e-4, warmupSteps: 5 };

const model = await Model.load({ model: modelName });
const { tokenizer } = model;
const template = await ChatTemplate.create({ tokenizer });
const records = await readExamples([dataFile]);
const { examples } = renderExamples(records, { tokenizer, template, maxLength: microTokens });

const adapter = await Adapter.create(model, { rank: 16, alpha: 32 });
const session = await TrainingSession.create({ model, adapters: [adapter], microTokens });
const sampler = await Sampler.create({ model, adapters: [adapter], maxRows: 1, cacheTokens: 512 });
const prompt = renderPrompt(records[0].turns.slice(0, 1), { tokenizer, template }).tokens;

const steps = planSteps({
  lengths: examples.map((example) => example.tokens.length),
  seed: 0,
  batchExamples: 8,
});
for (const [index, members] of steps.entries()) {
  let loss = 0;
  let weight = 0;
  for (const { batch } of packExamples(
    members.map((at) => examples[at]),
    { microTokens },
  )) {
    const sums = await session.forwardBackward(batch); // adds the gradient of the SUM of weight × nll
    loss += sums.loss;
    weight += sums.weight;
  }
  const learningRate = learningRateAt(index + 1, { ...schedule, totalSteps: steps.length });
  const { gradNorm } = await session.optimStep({ learningRate }); // divides by the step's weight, clips, updates
  console.log(
    `step ${index + 1}/${steps.length}  loss ${(loss / weight).toFixed(4)}  |g| ${gradNorm.toFixed(2)}`,
  );
  if ((index + 1) % 10 === 0) {
    const [answer] = await sampler.generate([{ id: 'watch', prompt, maxNewTokens: 40 }]);
    console.log(`  ${JSON.stringify(answer.response)}`);
  }
}
await session.saveState(`${out}.state.safetensors`); // loadState() brings parameters, moments and step counts back
await adapter.save(out, modelName);
await model.dispose();
