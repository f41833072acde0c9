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
import type { StepEvent, TrainEvent } from '../../train/events';
import { Trainer, type TrainerOptions } from '../../train/trainer';
import type { Assignment, JobProgress } from '../executor';
import { renderingOf } from '../inputs';
import type { TrainDescription } from '../job';
import { TEMPLATE_CLOCK, type Workshop } from './workshop';

/** Steps between checkpoints: what a killed machine costs at most. A stop by signal saves its own. */
export const SAVE_EVERY = 10;

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
    clock: TEMPLATE_CLOCK,
    signal: shop.signal,
  };
  await using trainer = await openTrainer(input, out);
  const { dropped } = trainer.data.mixture;
  const left = Object.values(dropped).reduce((total, count) => total + count, 0);
  if (left > 0) {
    const list = Object.entries(dropped).map(([lang, count]) => `${lang} ${count}`);
    shop.onNote?.(
      `${left} examples of this mixture are left out for their length (${list.join(', ')}): the model has that many fewer than its budget`,
    );
  }
  const before = trainer.step;
  const run = trainer.start();
  const total = trainer.plan().steps;
  for await (const event of run) {
    if (event.type !== 'step') continue;
    const { step, loss, tokensPerSecond } = event;
    onProgress({
      fraction: step / total,
      detail: `step ${step}/${total}  loss ${loss.toFixed(3)}  ${tokensPerSecond.toFixed(0)} tokens/s`,
    });
  }
  await run.done;
  const steps = await readSteps(out);
  const sum = (value: (event: StepEvent) => number): number =>
    steps.reduce((total, event) => total + value(event), 0);
  await writeManifest(work, trainer);
  // An attempt that was killed right here has left one.
  await rm(join(work.folder, 'adapter'), { recursive: true, force: true });
  await rename(join(out, 'adapter'), join(work.folder, 'adapter'));
  await rm(join(out, 'checkpoints'), { recursive: true, force: true });
  return {
    baseDtype: base.baseDtype,
    steps: total,
    tokens: sum(({ tokens }) => tokens),
    supervisedTokens: sum(({ supervisedTokens }) => supervisedTokens),
    loss: steps.at(-1)?.loss,
    dropped: left,
    earlierSeconds: sum(({ step, seconds }) => (step <= before ? seconds : 0)),
  };
}

/** Of the whole run, those of interrupted attempts among them. */
async function readSteps(out: string): Promise<StepEvent[]> {
  const lines = (await readFile(join(out, 'events.jsonl'), 'utf8')).split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as TrainEvent).filter((event) => event.type === 'step');
}

/** The mixture's manifest with what only a model can tell: tokens by language, and one item of each as it is read. */
async function writeManifest(work: Assignment, trainer: Trainer): Promise<void> {
  const folder = work.inputs[(work.job.description as TrainDescription).mix]!;
  const drawn = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')) as MixtureManifest;
  const { tokenizer } = trainer.model;
  const template = await ChatTemplate.create({
    template: trainer.options.template,
    tokenizer,
    now: TEMPLATE_CLOCK,
  });
  const examples = await readExamples([join(folder, 'mixture.jsonl')]);
  const { options } = trainer;
  const rendering = renderingOf({ train: options, system: options.system }, { tokenizer, template });
  const { spec, policy, seed } = drawn;
  const manifest = describeMixture(examples, { spec, policy, seed, rendering });
  await writeFileAtomic(join(work.folder, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Interrupted attempts that can't be gone on with: other data, another machine, a file that a crash left damaged. */
const BEGIN_AGAIN = ['STATE_MISMATCH', 'RUN_INVALID', 'FILE_DAMAGED'];

/** Goes on with an interrupted attempt, or begins again where that can't be. */
async function openTrainer(input: TrainerOptions, out: string): Promise<Trainer> {
  if (existsSync(join(out, 'run.yaml'))) {
    try {
      return await Trainer.create({ ...input, resume: true, relocate: true });
    } catch (error) {
      if (!isMlitError(error) || !BEGIN_AGAIN.includes(error.code)) throw error;
    }
  }
  await rm(out, { recursive: true, force: true });
  return Trainer.create(input);
}
