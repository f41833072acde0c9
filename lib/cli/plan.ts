// `mlit plan`: what a run would take, before anything runs; nothing is written.
import type { Command } from 'commander';
import { preview } from '../data/preview';
import { rougeEvaluator } from '../eval/dev-rouge';
import { loadAddon } from '../native/addon';
import { type TrainOptionsInput, trainOptionsSchema } from '../train/options';
import type { TrainPlan } from '../train/plan';
import { planTraining } from '../train/trainer';
import { checkOptions, mergeConfig } from './common';
import { readMix } from './mix';
import { clock, fetchProgress, note, print, printJson, printLine, size, table } from './output';
import { abortOnSignals } from './signals';
import { addTrainFlags, toTrainInput } from './train-flags';

/** Share of the measured rate of products that a whole step reaches; see bench/. */
const STEP_EFFICIENCY = 0.75;

export function addPlan(program: Command): void {
  addTrainFlags(
    program.command('plan').description('as train, but only tells memory and time; writes nothing'),
  )
    .option('--out <run>', 'accepted as in train; nothing is written')
    .action(async (_given: unknown, command: Command) => {
      const { signal, release } = abortOnSignals();
      try {
        const flags = await readMix(await mergeConfig(command));
        const input = toTrainInput(flags);
        checkOptions(trainOptionsSchema, input);
        const { plan, data, chosen } = await planTraining(input as TrainOptionsInput, {
          evaluator: rougeEvaluator(),
          signal,
          onNote: note,
          onFetch: fetchProgress(),
        });
        const gflops = await loadAddon().measureRate(chosen.device, chosen.isa, chosen.threads);
        const seconds = plan.flops / (gflops * 1e9 * STEP_EFFICIENCY);
        if (flags.json) {
          await printJson({ ...plan, fits: fits(plan), gflops, estimatedSeconds: seconds });
          return;
        }
        const records = flags.preview;
        if (typeof records === 'number' && records > 0) {
          await print(preview(data.train, records, data.tokenizer, { color: process.stdout.isTTY === true }));
        }
        await printLine(describePlan(plan));
        await printLine(
          `time        about ${clock(seconds)} (${(plan.flops / 1e12).toFixed(1)} TFLOP at ${STEP_EFFICIENCY * 100} % of the ${gflops.toFixed(0)} GFLOP/s measured now)`,
        );
      } finally {
        release();
      }
    });
}

function fits(plan: TrainPlan): boolean {
  return plan.nativeBytes <= plan.availableBytes;
}

export function describePlan(plan: TrainPlan): string {
  const rows = plan.memory
    .filter(({ bytes }) => bytes > 0)
    .map(({ name, bytes }) => [`  ${name}`, size(bytes)]);
  rows.push(
    ['  all native', size(plan.nativeBytes)],
    ["  Node's own, as it is now", size(plan.nodeBytes)],
    ['  the process at its peak', size(plan.peakBytes)],
    ['  available', size(plan.availableBytes)],
  );
  return [
    `plan        ${plan.steps} steps over ${plan.examples} examples (${plan.tokens} tokens, ${plan.supervisedTokens} supervised)`,
    `micro-batch ${plan.microTokens} tokens, recompute ${plan.recompute}`,
    table(['memory', ''], rows),
    ...(fits(plan) ? [] : ['this does not fit']),
  ].join('\n');
}
