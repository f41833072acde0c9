// Tunes one adapter by the Trainer, saving every few steps, so that a killed machine costs little.
import { existsSync } from 'node:fs';
import { readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describeMixture } from '../../data/mixture/manifest';
import type { MixtureManifest } from '../../data/mixture/types';
import { readExamples } from '../../data/read';
import { ChatTemplate } from '../../model/template';
import { isMlitError } from '../../native/errors';
import { writeFileAtomic } from '../../native/files';
import { Trainer, type TrainerOptions } from '../../train/trainer';
import type { Assignment, JobProgress } from '../executor';
import type { TrainDescription } from '../job';
import type { Workshop } from './workshop';

/** Steps between checkpoints: what a killed machine costs at most. A stop by signal saves its own. */
const SAVE_EVERY = 10;

export async function runTrain(
  work: Assignment,
  shop: Workshop,
  onProgress: (progress: Omit<JobProgress, 'hash'>) => void,
): Promise<Record<string, unknown>> {
  const { description, files } = work.job;
  const { mix, model, template, system, options, seed } = description as TrainDescription;
  const modelPath = files[model]!;
  const base = await shop.model(modelPath);
  const out = join(work.folder, 'run');
  const input: TrainerOptions = {
    ...options,
    model: modelPath,
    data: [join(work.inputs[mix]!, 'mixture.jsonl')],
    template: files[template] ?? template,
    ...(system !== null && { system }),
    threads: shop.threads,
    baseDtype: shop.baseDtype,
    seed,
    saveEvery: SAVE_EVERY,
    keep: 1,
    out,
    base,
    signal: shop.signal,
  };
  await using trainer = await openTrainer(input, out);
  const run = trainer.start();
  const total = trainer.plan().steps;
  let tokens = 0;
  let supervised = 0;
  let loss = Number.NaN;
  for await (const event of run) {
    if (event.type !== 'step') continue;
    ({ loss } = event);
    tokens += event.tokens;
    supervised += event.supervisedTokens;
    const rate = event.tokensPerSecond.toFixed(0);
    onProgress({
      fraction: event.step / total,
      detail: `step ${event.step}/${total}  loss ${loss.toFixed(3)}  ${rate} tokens/s`,
    });
  }
  await run.done;
  await writeManifest(work, trainer);
  // An attempt that was killed right here has left one.
  await rm(join(work.folder, 'adapter'), { recursive: true, force: true });
  await rename(join(out, 'adapter'), join(work.folder, 'adapter'));
  await rm(join(out, 'checkpoints'), { recursive: true, force: true });
  return { steps: total, tokens, supervisedTokens: supervised, loss };
}

/** The mixture's manifest with what only a model can tell: tokens by language, and one item of each as it is read. */
async function writeManifest(work: Assignment, trainer: Trainer): Promise<void> {
  const folder = work.inputs[(work.job.description as TrainDescription).mix]!;
  const drawn = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')) as MixtureManifest;
  const { tokenizer } = trainer.model;
  const template = await ChatTemplate.create({ template: trainer.options.template, tokenizer });
  const examples = await readExamples([join(folder, 'mixture.jsonl')]);
  const rendering = { ...trainer.options, tokenizer, template };
  const { spec, policy, seed } = drawn;
  const manifest = describeMixture(examples, { spec, policy, seed, rendering });
  await writeFileAtomic(join(work.folder, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Goes on with an interrupted attempt; one that can't be gone on with (other data, another machine) is begun again. */
async function openTrainer(input: TrainerOptions, out: string): Promise<Trainer> {
  if (existsSync(join(out, 'run.yaml'))) {
    try {
      return await Trainer.create({ ...input, resume: true });
    } catch (error) {
      if (!isMlitError(error) || !['STATE_MISMATCH', 'RUN_INVALID'].includes(error.code)) throw error;
    }
  }
  await rm(out, { recursive: true, force: true });
  return Trainer.create(input);
}
