// The study of docs/study.md, or a part of it: every experiment file of this folder, over the quickstart's data, SIB-200's topics
// or open-ended instructions. It goes on where it stopped, and jobs that the store has (the quickstart's too) are not done again.
//
//   npm run study -- [--only NAME ...] [--plan]
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildData } from '../quickstart/data.mjs';
import { BY_SCRIPT, describeByScript } from '../quickstart/summary.mjs';
import { mlit, root } from '../run-mlit.mjs';
import { buildOpen, findSets } from './open.mjs';
import { buildTopics, findSentences } from './topics.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const names = readdirSync(here)
  .filter((file) => file.endsWith('.yaml'))
  .map((file) => file.replace(/\.yaml$/, ''))
  .sort();

function readFlags() {
  try {
    const { values } = parseArgs({
      options: { only: { type: 'string', multiple: true }, plan: { type: 'boolean', default: false } },
    });
    const wanted = (values.only ?? names).flatMap((list) => list.split(','));
    const unknown = wanted.find((name) => !names.includes(name));
    if (unknown !== undefined) throw new Error(`there is no '${unknown}'; there are ${names.join(', ')}`);
    return { wanted, plan: values.plan };
  } catch (error) {
    process.stderr.write(`study: ${error.message}\n`);
    process.exit(2);
  }
}

const { wanted, plan } = readFlags();
const pulled = await mlit(['pull', 'gemma-3-270m'], { quiet: true });
if (pulled !== 0) process.exit(pulled);
buildData(join(root, 'runs', 'data', 'cldr'));
const sentences = findSentences();
if (sentences.file) {
  const { topic, share } = buildTopics(sentences.file, join(root, 'runs', 'data', 'sib200')).majority;
  process.stderr.write(
    `SIB-200: whoever always answers '${topic}' is right in ${(100 * share).toFixed(1)} %\n`,
  );
}
const sets = findSets();
if (sets.folder) buildOpen(sets.folder, join(root, 'runs', 'data', 'open'));
const lacking = (name) => {
  if (name.endsWith('-topics')) return sentences.reason;
  return name.startsWith('open-') ? sets.reason : undefined;
};
for (const name of wanted) {
  if (lacking(name)) {
    process.stderr.write(`${name} is left out. ${lacking(name)}\n`);
    continue;
  }
  const code = await mlit(['experiment', 'run', join(here, `${name}.yaml`), plan ? '--dry-run' : '--yes']);
  if (code !== 0) process.exit(code);
  // A topic's answer is measured by its label; of the others, what the script settles is sure.
  if (plan || name.endsWith('-topics')) continue;
  const { collectModels } = await import('mlit-native');
  const { models } = await collectModels(join(root, 'runs', 'store'), name);
  const named = models.map((model) => ({
    ...model,
    arm: {
      ...model.arm,
      label: `${model.arm.label}${model.arm.id === 'base' ? '' : `, seed ${model.seed}`}`,
    },
  }));
  const asked = BY_SCRIPT.filter((lang) =>
    models.some(({ items }) => items.some((item) => item.lang === lang)),
  );
  process.stdout.write(
    `\nAnswers in the language of the question, in ${asked.join(', ')}, where the script settles it (%, 95 % interval)\n\n${describeByScript(named)}`,
  );
}
