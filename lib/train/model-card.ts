// An adapter or a model that leaves its run's folder must still say what it was made from: a model card in the hub's form,
// with equal bytes for equal runs.
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { packageVersion } from '../native/version';
import { toYaml } from '../text/yaml';
import { optionsOfMethod, type TrainOptions } from './options';
import type { PreparedData } from './prepare';

export interface ModelCardFacts {
  options: TrainOptions;
  data: Pick<PreparedData, 'mixture' | 'hash'>;
  /** Optimiser steps done. */
  steps: number;
  /** The hub's name of the base, or its path. */
  baseName: string;
  /** The option that rounded the base's weights, as `--base-dtype nf4`. */
  roundedBy?: string | undefined;
  /** Step and dev loss of the adapter where it was chosen by a dev set. */
  best: { step: number; loss: number } | undefined;
}

/** Options that say where things lie on this machine, or change no number of the adapter. */
const LOCAL = new Set([
  'model',
  'data',
  'dev',
  'template',
  'initAdapter',
  'threads',
  'device',
  'keep',
  'saveEvery',
]);

/** The text of README.md: metadata in YAML, then how to load it and what it was trained on. */
export function modelCard(facts: ModelCardFacts): string {
  const { options, data, best, roundedBy } = facts;
  const full = options.method === 'full';
  const dtype = roundedBy?.split(' ').at(-1);
  const base = hubName(facts.baseName);
  const shown = base ?? basename(facts.baseName);
  const ours = base === undefined ? 'MODEL' : `hf:${base}`;
  const { languages, template, drawn, idsHash } = data.mixture;
  const codes = Object.keys(languages).filter((code) => code !== 'und');
  // YAML 1.1, as Python reads it: the language code `no` must not become false.
  const head = toYaml(
    {
      ...(base !== undefined && { base_model: base }),
      library_name: full ? 'transformers' : 'peft',
      pipeline_tag: 'text-generation',
      ...(codes.length > 0 && { language: codes }),
      tags: full ? ['mlit'] : ['lora', 'mlit', ...(dtype === undefined ? [] : [`base-${dtype}`])],
    },
    '1.1',
  );
  const settings = Object.fromEntries(
    Object.entries(optionsOfMethod(options)).filter(([key, value]) => !LOCAL.has(key) && value !== undefined),
  );
  const rows = Object.entries(languages).map(
    ([lang, { examples, tokens, supervisedTokens }]) =>
      `| ${lang} | ${examples} | ${tokens} | ${supervisedTokens} |`,
  );
  const chosen =
    best === undefined
      ? ''
      : ` It is the state after step ${best.step}, with a dev loss of ${best.loss.toFixed(4)}.`;
  return `---
${head}---

# ${full ? `${shown}, tuned in full` : `LoRA adapter for ${shown}`}

Trained with mlit-native ${packageVersion} for ${facts.steps} optimiser steps.${chosen}

No licence is stated here: the base model's licence and those of the training data apply. Add \`license:\` to the head of this
file before you share the ${full ? 'model' : 'adapter'}.

## Use

${full ? useOfModel : useOfAdapter(ours)}
${roundedBy === undefined ? '' : roundedBase(roundedBy)}Prompts were rendered with ${describeTemplate(template)}; use the same.

## Training data

| language | examples | tokens | supervised tokens |
|---|---:|---:|---:|
${rows.join('\n')}

- files: ${data.mixture.files.map((file) => `\`${basename(file)}\``).join(', ')}
- SHA-256 of the rendered data: \`${data.hash}\`
- SHA-256 of the sorted ids: \`${idsHash}\`
${drawn === undefined ? '' : `- drawn by the recipe \`${drawn.spec}\`\n`}
## Options

\`\`\`yaml
${toYaml(settings)}\`\`\`
`;
}

const useOfModel = `With transformers:

\`\`\`python
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained("path/to/this/folder")
\`\`\`

With mlit:

\`\`\`
mlit sample --model path/to/this/folder --prompts prompts.jsonl
mlit export --model path/to/this/folder --out model.gguf --format gguf
\`\`\`
`;

const useOfAdapter = (base: string): string => `With peft:

\`\`\`python
from peft import AutoPeftModelForCausalLM
model = AutoPeftModelForCausalLM.from_pretrained("path/to/this/folder")
\`\`\`

With mlit:

\`\`\`
mlit sample --model ${base} --adapter path/to/this/folder --prompts prompts.jsonl
mlit export --model ${base} --adapter path/to/this/folder --out merged --format safetensors
\`\`\`
`;

const roundedBase = (
  by: string,
): string => `It was trained over the base's matrices in ${by.split(' ').at(-1)} (\`${by}\`), and gives its exact answers over those alone; over the
original ones, and merged into them, it differs a little.

`;

/** A name of the hub, or nothing where the base is known by its place only. */
function hubName(baseName: string): string | undefined {
  return /^[\w.-]+\/[\w.-]+$/.test(baseName) && !baseName.startsWith('.') && !existsSync(baseName)
    ? baseName
    : undefined;
}

function describeTemplate(name: string): string {
  if (name === 'model') return "the base model's own chat template";
  if (name === 'none') return 'no chat template';
  return /[./\\]/.test(name) ? `the chat template ${basename(name)}` : `the chat template \`${name}\``;
}
