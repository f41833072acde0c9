// Two adapters over one resident base answer the same prompts, in one batch each; a program that has the reference answers
// says which is better, language by language.
//
//   node examples/compare-adapters.mjs MODEL ADAPTER_A ADAPTER_B PROMPTS.jsonl
//
// PROMPTS: records with instruction and response (the reference), with lang, and with parallel_id where they are translations
// of one another.
import {
  Adapter,
  ChatTemplate,
  compareAnswers,
  loadIdentifier,
  Model,
  readExamples,
  renderPrompt,
  Sampler,
} from 'mlit-native';

const [modelName, folderA, folderB, promptsFile] = process.argv.slice(2);
if (promptsFile === undefined) {
  process.stderr.write('usage: node examples/compare-adapters.mjs MODEL ADAPTER_A ADAPTER_B PROMPTS.jsonl\n');
  process.exit(2);
}
const maxNewTokens = 64;

const model = await Model.load({ model: modelName });
const { tokenizer } = model;
const template = await ChatTemplate.create({ tokenizer });
const references = await readExamples([promptsFile], { need: 'reference' });
const prompts = references.map(({ turns }) => {
  const asked = turns.at(-1).role === 'assistant' ? turns.slice(0, -1) : turns;
  return renderPrompt(asked, { tokenizer, template }).tokens;
});

const adapters = [await Adapter.load(model, folderA), await Adapter.load(model, folderB)];
const longest = Math.max(...prompts.map((prompt) => prompt.length)) + maxNewTokens;
const sampler = await Sampler.create({ model, adapters, maxRows: 16, cacheTokens: 16 * (longest + 32) });

// Both adapters' requests go in together: a batch may mix them, and no row's answer depends on its neighbours.
const requests = adapters.flatMap((_, adapter) =>
  prompts.map((prompt, at) => ({ id: `${adapter}/${references[at].id}`, prompt, maxNewTokens, adapter })),
);
const results = await sampler.generate(requests);
const answersOf = (adapter) =>
  references.map(({ id, lang }, at) => {
    const { response, tokens, finishReason } = results[adapter * prompts.length + at];
    return { id, lang, sample: 0, response, tokens, finishReason };
  });

const options = { judge: 'chrf', references, identify: await loadIdentifier() };
const plain = compareAnswers(answersOf(0), answersOf(1), options);
const gated = compareAnswers(answersOf(0), answersOf(1), { ...options, gate: true });

const shown = ({ value, low, high }, scale = 1) =>
  Number.isNaN(value)
    ? 'n/a'
    : low === undefined
      ? (scale * value).toFixed(1)
      : `${(scale * value).toFixed(1)} [${(scale * low).toFixed(1)}, ${(scale * high).toFixed(1)}]`;
console.log('S(A, B) by chrF against references; 50 is parity; 95 % intervals over items');
for (const [lang, one] of [...Object.entries(plain.byLanguage), ['all', plain.all]]) {
  const { score: s } = lang === 'all' ? gated.all : gated.byLanguage[lang];
  console.log(
    `${lang}: ${one.score.n} items  S ${shown(one.score)}  win/tie/lose ${one.wins}/${one.ties}/${one.losses}`,
    ` gated by language ${shown(s)}`,
    ` in the prompt's language: A ${shown(one.languageMatch.a, 100)} %, B ${shown(one.languageMatch.b, 100)} %`,
  );
}
await model.dispose();
