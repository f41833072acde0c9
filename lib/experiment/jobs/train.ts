// Tunes adapters over one resident base, so many at once as fit, each saving every few steps, so that a killed machine costs little.
import { existsSync } from 'node:fs';
import { readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describeMixture } from '../../data/mixture/manifest';
import type { MixtureManifest } from '../../data/mixture/types';
import { readExamples } from '../../data/read';
import { rougeEvaluator } from '../../eval/dev-rouge';
import { toLoadOptions } from '../../model/model';
import { ChatTemplate } from '../../model/template';
import { isMlitError } from '../../native/errors';
import { writeFileAtomic } from '../../native/files';
import { EventStream, type StepEvent, type TrainEvent } from '../../train/events';
import { bytesFor, openPlanned, planRuns, type RunShape, shapeOf } from '../../train/multi-plan';
import { resolveTrainOptions, type TrainOptionsInput } from '../../train/options';
import type { SharedSession } from '../../train/shared-session';
import { planTraining, Trainer, type TrainerOptions } from '../../train/trainer';
import type { Assignment, JobOutcome, JobProgress } from '../executor';
import { renderingOf } from '../inputs';
import { canonicalJson, type Job, type TrainDescription } from '../job';
import { TEMPLATE_CLOCK, type Workshop } from './workshop';

/** Steps between checkpoints: what a killed machine costs at most. A stop by signal saves its own. */
export const SAVE_EVERY = 10;

/** For experiments that choose their adapters by what they say. */
const evaluator = rougeEvaluator();

/** What jobs have in common that can be trained over one base together: all that makes it, or what their session computes again. */
export function trainGroup(job: Job): string {
  const { model, baseDtype, device, compute, options } = job.description as TrainDescription;
  return canonicalJson(['train', model, baseDtype, device, compute, options.recompute]);
}

/** Yields each job as it ends. The first failure stops the others with their states saved. */
export async function* runTrains(
  works: readonly Assignment[],
  shop: Workshop,
  onProgress: (progress: JobProgress) => void,
): AsyncGenerator<JobOutcome> {
  const halt = new AbortController();
  const signal = shop.signal ? AbortSignal.any([shop.signal, halt.signal]) : halt.signal;
  const outcomes = new EventStream<JobOutcome>();
  const { shared, atOnce } = await openShared(works, shop);
  let next = 0;
  const seat = async (): Promise<void> => {
    while (next < works.length) {
      signal.throwIfAborted();
      const work = works[next++]!;
      const { hash } = work.job;
      try {
        outcomes.push(await trainOne(work, shop, shared, signal, (told) => onProgress({ hash, ...told })));
      } catch (error) {
        if (!signal.aborted) onProgress({ hash, fraction: 0, detail: 'failed' }); // it is this job's failure
        halt.abort(error);
        throw error;
      }
    }
  };
  const all = Promise.allSettled(Array.from({ length: atOnce }, seat)).then((ends) => {
    outcomes.close(ends.some(({ status }) => status === 'rejected') ? signal.reason : undefined);
  });
  try {
    yield* outcomes.iterate(() => halt.abort());
  } finally {
    await all;
    await shared.dispose();
  }
}

/** A session for as many of the jobs as fit into memory at once. */
async function openShared(
  works: readonly Assignment[],
  shop: Workshop,
): Promise<{ shared: SharedSession; atOnce: number }> {
  const { description, files } = works[0]!.job;
  const { model } = description as TrainDescription;
  const base = await shop.model(files[model]!);
  const shapes: RunShape[] = [];
  for (const work of works) {
    const input = { ...inputOf(work, shop), device: base.device, compute: base.compute };
    const prepared = await planTraining(input, { signal: shop.signal, clock: TEMPLATE_CLOCK, evaluator });
    shapes.push(await shapeOf(work.folder, prepared));
  }
  const plan = await planRuns(shapes, {
    path: files[model]!,
    load: toLoadOptions({
      device: base.device,
      threads: shop.threads,
      baseDtype: base.baseDtype,
      compute: base.compute,
    }),
    atOnce: 'auto',
    recompute: resolveTrainOptions(inputOf(works[0]!, shop)).recompute,
    availableBytes: await bytesFor(base.device),
    heldBytes: base.bytes,
  });
  return { shared: await openPlanned(base, shapes, plan), atOnce: plan.atOnce };
}

function inputOf({ job, inputs }: Assignment, shop: Workshop): TrainOptionsInput {
  const { mix, model, template, system, options, seed } = job.description as TrainDescription;
  return {
    ...options,
    model: job.files[model]!,
    data: [join(inputs[mix]!, 'mixture.jsonl')],
    template: job.files[template] ?? template,
    ...(system !== null && { system }),
    threads: shop.threads,
    baseDtype: shop.baseDtype,
    seed,
    saveEvery: SAVE_EVERY,
    keep: 1,
  };
}

async function trainOne(
  work: Assignment,
  shop: Workshop,
  shared: SharedSession,
  signal: AbortSignal,
  onProgress: (progress: Omit<JobProgress, 'hash'>) => void,
): Promise<JobOutcome> {
  const out = join(work.folder, 'run');
  const input = { ...inputOf(work, shop), out, clock: TEMPLATE_CLOCK, evaluator, signal };
  await using trainer = await openTrainer(input, shared);
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
  const summary = {
    baseDtype: trainer.model.baseDtype,
    steps: total,
    tokens: sum(({ tokens }) => tokens),
    supervisedTokens: sum(({ supervisedTokens }) => supervisedTokens),
    loss: steps.at(-1)?.loss,
    dropped: left,
  };
  const earlier = sum(({ step, seconds }) => (step <= before ? seconds : 0));
  return { hash: work.job.hash, seconds: earlier + trainer.time() / 1000, summary };
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
async function openTrainer(
  input: Omit<TrainerOptions, 'base' | 'ranks'>,
  shared: SharedSession,
): Promise<Trainer> {
  if (existsSync(join(input.out, 'run.yaml'))) {
    try {
      return await Trainer.createIn(shared, { ...input, resume: true, relocate: true });
    } catch (error) {
      if (!isMlitError(error) || !BEGIN_AGAIN.includes(error.code)) throw error;
    }
  }
  await rm(input.out, { recursive: true, force: true });
  return Trainer.createIn(shared, input);
}
