// `mlit train`: a run from the command line. What happens is in lib/train; here it is shown.
import { join } from 'node:path';
import type { Command } from 'commander';
import { preview } from '../data/preview';
import { rougeEvaluator } from '../eval/dev-rouge';
import { profileText } from '../report/profile-text';
import type { TrainEvent } from '../train/events';
import { trainOptionsSchema } from '../train/options';
import { findRanks, Ranks } from '../train/ranks';
import type { TrainResult, TrainRun } from '../train/run';
import { Trainer, type TrainerOptions } from '../train/trainer';
import { checkOptions, mergeConfig, UsageError } from './common';
import { readMix } from './mix';
import { clock, fetchProgress, note, Progress, print, printJson } from './output';
import { describePlan } from './plan';
import { abortOnSignals, SignalError } from './signals';
import { addTrainFlags, toTrainInput } from './train-flags';
import { addRunsFlags, trainRuns } from './train-runs';

export function addTrain(program: Command): void {
  const command = addTrainFlags(
    program
      .command('train')
      .description('tune a LoRA adapter, or the model itself; writes a run folder with the adapter or model'),
  );
  addRunsFlags(command)
    .option('--out <run>', "the run's folder")
    .option(
      '--profile [file]',
      "print where a step's time went, and write a trace for ui.perfetto.dev (default file: trace.json in --out)",
    )
    .option('--resume', 'go on from the newest checkpoint of --out')
    .addHelpText(
      'after',
      `
Several processes train together, each with its share of every step, when mpirun, srun or torchrun starts them:
  mpirun -n 2 mlit train … --out run     by MPI
  torchrun --nproc-per-node 2 --no-python mlit train … --out run     by TCP, at MASTER_ADDR and MASTER_PORT
The first one writes the run's folder. See docs/ranks.md.

One process trains many adapters over one base: a YAML file has their options (docs/many-adapters.md):
  mlit train --runs runs.yaml [--at-once 4] [--resume]`,
    )
    .action((_given: unknown, command: Command) => train(command));
}

async function train(command: Command): Promise<void> {
  if (await trainRuns(command)) return;
  const flags = await readMix(await mergeConfig(command));
  const { out, resume, preview: records = 0, json, profile } = flags;
  if (typeof out !== 'string') throw new UsageError("required option '--out <run>' not specified");
  const { signal, release } = abortOnSignals();
  const place = findRanks();
  // What is shown is the first rank's.
  const isShown = place === undefined || place.rank === 0;
  const loading = new Progress('load');
  try {
    const ranks = place && (await Ranks.join(place));
    if (ranks && isShown) note(`${ranks.size} ranks by ${ranks.description}; this is ${ranks.nameOf(0)}`);
    // A resumed run takes its options from run.yaml; the flags given are compared with them.
    const input = toTrainInput(flags);
    if (!resume) checkOptions(trainOptionsSchema, input);
    await using trainer = await Trainer.create({
      ...(input as TrainerOptions),
      out,
      resume: resume === true,
      evaluator: rougeEvaluator(),
      ranks,
      signal,
      ...(profile !== undefined &&
        isShown && { profile: { trace: typeof profile === 'string' ? profile : join(out, 'trace.json') } }),
      ...(isShown && {
        onNote: note,
        onFetch: fetchProgress(),
        onLoad: (fraction) => loading.update(fraction, 'weights'),
      }),
    });
    loading.end();
    if (isShown && typeof records === 'number' && records > 0) {
      const { train: examples, tokenizer } = trainer.data;
      const text = preview(examples, records, tokenizer, { color: process.stdout.isTTY === true });
      await (json ? note(text) : print(text));
    }
    const plan = trainer.plan();
    if (isShown) note(describePlan(plan));
    const run = trainer.start();
    if (isShown) await show(run, plan.steps);
    const result = await run.done.catch(async (error) => {
      if (error === signal.reason) await ranks?.leave(); // all have stopped together
      throw error;
    });
    await ranks?.leave();
    if (result.reason === 'stopped') throw new SignalError('SIGTERM'); // that another rank was sent
    if (!isShown) return;
    if (json)
      await printJson({
        out,
        ...result,
        adapter: result.adapter ?? null,
        model: result.model ?? null,
        best: result.best ?? null,
      });
    else {
      if (result.profile) await print(profileText(result.profile));
      note(`${describeWritten(result)}${describeChoice(result)}`);
    }
  } finally {
    loading.end();
    release();
  }
}

async function show(run: TrainRun, total: number): Promise<void> {
  const progress = new Progress('train');
  let rate = 0;
  try {
    for await (const event of run) {
      if (event.type === 'step') {
        rate = rate === 0 ? event.seconds : 0.9 * rate + 0.1 * event.seconds;
        progress.update(event.step / total, describeStep(event, total, rate));
      } else {
        const line = describeEvent(event);
        if (line !== undefined) note(line);
      }
    }
  } finally {
    progress.end();
  }
}

function describeWritten({ model, adapter }: TrainResult): string {
  return model ? `model written to ${model}` : `adapter written to ${adapter}`;
}

/** Which step's it is, where a dev set chose it. */
function describeChoice({ best }: TrainResult): string {
  if (best === undefined) return '';
  const rouge = best.rougeL === undefined ? '' : `, ROUGE-L ${best.rougeL.toFixed(2)}`;
  return `, as it was after step ${best.step} (dev loss ${best.loss.toFixed(4)}${rouge})`;
}

function describeStep(event: TrainEvent & { type: 'step' }, total: number, secondsPerStep: number): string {
  const left = (total - event.step) * secondsPerStep;
  return `step ${event.step}/${total}  loss ${event.loss.toFixed(4)}  lr ${event.learningRate.toExponential(1)}  |g| ${event.gradNorm.toFixed(2)}  ${event.tokensPerSecond.toFixed(0)} tokens/s  ${clock(left)} left`;
}

function describeEvent(event: TrainEvent): string | undefined {
  if (event.type === 'eval') {
    const rouge = event.rougeL === undefined ? '' : `, ROUGE-L ${event.rougeL.toFixed(2)}`;
    return `step ${event.step}: dev loss ${event.loss.toFixed(4)}, perplexity ${event.perplexity.toFixed(2)}${rouge}${event.best ? ' (best so far)' : ''}`;
  }
  if (event.type === 'end' && event.early) {
    return `ended after step ${event.step}: the dev score has not become better for as long as --patience allows`;
  }
  if (event.type === 'end' && event.reason === 'stopped') {
    return `stopped after step ${event.step}; go on with --resume`;
  }
  return undefined;
}
