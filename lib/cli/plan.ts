// `mlit plan`: what a run would take, before anything runs; nothing is written.
import { type Command, InvalidArgumentError } from 'commander';
import { preview } from '../data/preview';
import { rougeEvaluator } from '../eval/dev-rouge';
import { DEVICE_PATTERN } from '../model/model';
import { loadAddon } from '../native/addon';
import type { NativeCard } from '../native/types';
import { type TrainOptionsInput, trainOptionsSchema } from '../train/options';
import type { TrainPlan } from '../train/plan';
import { predictRun, type Range } from '../train/roofline';
import { planTraining, type TrainingPrepared } from '../train/trainer';
import { checkOptions, findCard, mergeConfig } from './common';
import { readMix } from './mix';
import { clock, fetchProgress, note, print, printJson, printLine, size, table } from './output';
import { abortOnSignals } from './signals';
import { addTrainFlags, toTrainInput } from './train-flags';
import { addRunsFlags, planRunsOf } from './train-runs';

/** Share of the measured rate of products that a whole step reaches; see bench/. */
const STEP_EFFICIENCY = 0.75;
/**
 * Of a step with integer products: their share of their own rate, and all that stays in float32 as a share of a float32 step. Rough: by one
 * profile on a machine with AMX (docs/profiling.md).
 */
const INTEGER_EFFICIENCY = 0.45;
const FLOAT_SHARE = 0.1;

export function addPlan(program: Command): void {
  const plan = addTrainFlags(
    program.command('plan').description('as train, but only tells memory and time; writes nothing'),
  );
  const device = plan.options.find((option) => option.long === '--device')!;
  device.argParser(parsePlanDevice).description =
    'auto, cpu, cuda[:N], or a card by its name, which need not be there, as in h100-80gb (default: auto)';
  addRunsFlags(plan)
    .option('--out <run>', 'accepted as in train; nothing is written')
    .action(async (_given: unknown, command: Command) => {
      if (await planRunsOf(command)) return;
      const { signal, release } = abortOnSignals();
      try {
        const { device, ...others } = await readMix(await mergeConfig(command));
        const card = DEVICE_PATTERN.test(String(device)) ? undefined : findCard(device);
        const flags = card || device === undefined ? others : { ...others, device };
        const input = toTrainInput(flags);
        checkOptions(trainOptionsSchema, input);
        const prepared = await planTraining(input as TrainOptionsInput, {
          evaluator: rougeEvaluator(),
          card: card?.name,
          signal,
          onNote: note,
          onFetch: fetchProgress(),
        });
        const { plan, data, chosen } = prepared;
        const time = card ? predictedTime(await predictRun(prepared, card)) : await measureTime(plan, chosen);
        if (flags.json) {
          await printJson({ ...plan, fits: fits(plan), ...(card && { card }), ...time.json });
          return;
        }
        const records = flags.preview;
        if (typeof records === 'number' && records > 0) {
          await print(preview(data.train, records, data.tokenizer, { color: process.stdout.isTTY === true }));
        }
        await printLine(describePlan(plan, card));
        await printLine(`time        ${time.text}`);
      } finally {
        release();
      }
    });
}

function parsePlanDevice(text: string): string {
  if (DEVICE_PATTERN.test(text) || findCard(text)) return text;
  const names = loadAddon()
    .cards()
    .map(({ name }) => name);
  throw new InvalidArgumentError(`Allowed choices are auto, cpu, cuda[:N], ${names.join(', ')}.`);
}

interface Time {
  text: string;
  json: Record<string, unknown>;
}

async function measureTime(
  plan: TrainPlan,
  { device, isa, threads, compute }: TrainingPrepared['chosen'],
): Promise<Time> {
  const gflops = await loadAddon().measureRate(device, isa, threads, 'f32');
  const seconds = plan.flops / (gflops * 1e9 * STEP_EFFICIENCY);
  if (compute === 'int8') {
    const integers = await loadAddon().measureRate(device, isa, threads, 'int8');
    const both = plan.flops / (integers * 1e9 * INTEGER_EFFICIENCY) + FLOAT_SHARE * seconds;
    return {
      text: `about ${clock(both)} (${tflop(plan)} of which most at ${INTEGER_EFFICIENCY * 100} % of the ${integers.toFixed(0)} GFLOP/s in int8 measured now)`,
      json: { gflops: integers, estimatedSeconds: both },
    };
  }
  return {
    text: `about ${clock(seconds)} (${tflop(plan)} at ${STEP_EFFICIENCY * 100} % of the ${gflops.toFixed(0)} GFLOP/s measured now)`,
    json: { gflops, estimatedSeconds: seconds },
  };
}

export function predictedTime({ least, most }: Range): Time {
  return {
    text: `${clock(least)} to ${clock(most)}, predicted from the data sheet, not measured (docs/cuda-roofline.md has what is assumed)`,
    json: { predictedSeconds: { least, most } },
  };
}

function tflop(plan: TrainPlan): string {
  return `${(plan.flops / 1e12).toFixed(1)} TFLOP`;
}

function fits(plan: TrainPlan): boolean {
  return plan.nativeBytes <= plan.availableBytes;
}

export function describePlan(plan: TrainPlan, card?: NativeCard): string {
  const rows = plan.memory
    .filter(({ bytes }) => bytes > 0)
    .map(({ name, bytes }) => [`  ${name}`, size(bytes)]);
  rows.push(
    [plan.onDevice ? `  all on ${plan.device}` : '  all native', size(plan.nativeBytes)],
    ...(card
      ? [
          ['  driver and context, assumed', size(card.contextBytes)],
          ["  the card's memory", size(card.memoryBytes)],
        ]
      : []),
    ...(plan.onDevice ? [[`  free for a run on ${plan.device}`, size(plan.availableBytes)]] : []),
    ["  Node's own, as it is now", size(plan.nodeBytes)],
    ...(plan.onDevice
      ? []
      : [
          ['  the process at its peak', size(plan.peakBytes)],
          ['  available', size(plan.availableBytes)],
        ]),
  );
  return [
    `plan        ${plan.steps} steps over ${plan.examples} examples (${plan.tokens} tokens, ${plan.supervisedTokens} supervised)`,
    `micro-batch ${plan.microTokens} tokens, recompute ${plan.recompute}`,
    table(['memory', ''], rows),
    ...(fits(plan) ? [] : ['this does not fit']),
    ...plan.waysOut.map(
      ({ flags, nativeBytes }) =>
        `${flags} takes ${size(nativeBytes)}${nativeBytes > plan.availableBytes ? ', still too much' : ''}`,
    ),
  ].join('\n');
}
