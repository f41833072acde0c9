// How many runs fit over one base at once, and what they take together: the base once, each run's parameters, gradients and
// moments, and one micro-batch that all share.
import type { Model } from '../model/model';
import { loadAddon } from '../native/addon';
import { MlitError } from '../native/errors';
import type { NativeAdapterSpec, NativeLoadOptions, NativeMemoryPlan, Recompute } from '../native/types';
import { RECOMPUTE, type TrainOptions } from './options';
import { adapterSpec, availableBytes } from './plan';
import { type JointLimits, SharedSession } from './shared-session';
import type { TrainingPrepared } from './trainer';

/**
 * Tokens of a joint micro-batch, where no run's own is larger: enough rows for products at nearly full speed, in the memory of
 * about one run.
 */
const JOINT_TOKENS = 512;

/** What of a run decides about memory and time, without its data. */
export interface RunShape {
  out: string;
  spec: NativeAdapterSpec;
  /** Of gradients and moments: what the run brings. */
  ownBytes: number;
  /** Of what measures its dev set by responses. */
  measuringBytes: number;
  largest: JointLimits;
  steps: number;
  examples: number;
  /** Real tokens of all its steps. */
  tokens: number;
}

/** What runs take that are trained together, and how many at once. */
export interface MultiPlan {
  atOnce: number;
  /** Tokens, and targets, of a joint micro-batch at most. */
  largestBatch: JointLimits;
  recompute: Recompute;
  /** Native bytes by name. */
  memory: NativeMemoryPlan;
  nativeBytes: number;
  availableBytes: number;
  device: string;
  runs: { out: string; steps: number; examples: number; tokens: number }[];
}

export async function shapeOf(out: string, prepared: TrainingPrepared): Promise<RunShape> {
  const { plan, data, options } = prepared;
  const bytesOf = (name: string): number => plan.memory.find((item) => item.name === name)?.bytes ?? 0;
  const lengthOf = (at: number): number => data.train[at]!.tokens.length;
  return {
    out,
    spec: await adapterSpec(options),
    ownBytes: bytesOf('optimizer') + bytesOf('adapter'),
    measuringBytes: bytesOf('dev responses'),
    largest: plan.largestBatch,
    steps: plan.steps,
    examples: plan.examples,
    tokens: data.steps.flat().reduce((sum, at) => sum + lengthOf(at), 0),
  };
}

export interface MultiPlanContext {
  path: string;
  load: NativeLoadOptions;
  /** `auto`: as many as fit. */
  atOnce: number | 'auto';
  recompute: TrainOptions['recompute'];
  availableBytes: number;
  /** What of it is in memory already: a base that was loaded before. */
  heldBytes?: number | undefined;
}

/** @throws MlitError `OUT_OF_MEMORY` telling how many fit */
export async function planRuns(shapes: readonly RunShape[], context: MultiPlanContext): Promise<MultiPlan> {
  const { atOnce, recompute, availableBytes: available, heldBytes = 0 } = context;
  const levels = recompute === 'auto' ? RECOMPUTE : [recompute];
  const most = atOnce === 'auto' ? shapes.length : Math.min(atOnce, shapes.length);
  const fits = ({ nativeBytes }: MultiPlan): boolean => nativeBytes - heldBytes <= available;
  for (const level of levels) {
    const plan = await planAtOnce(shapes, most, level, context);
    if (fits(plan)) return plan;
  }
  // Fewer at once cost less speed than computing again.
  let found: MultiPlan | undefined;
  for (const level of levels) {
    for (let fewer = most - 1; fewer >= 1 && !found; fewer--) {
      const plan = await planAtOnce(shapes, fewer, level, context);
      if (fits(plan)) found = plan;
    }
  }
  if (found && atOnce === 'auto') return found;
  const least = await planAtOnce(shapes, found ? most : 1, levels.at(-1)!, context);
  const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(2)} GiB`;
  const who = found ? `${most} runs at once` : 'a single one of these runs';
  const help = found
    ? `${found.atOnce} fit: give --at-once ${found.atOnce}, or leave it out`
    : 'lower microTokens or maxLength, or take a machine with more memory';
  throw new MlitError(
    'OUT_OF_MEMORY',
    `${who} need ${gib(least.nativeBytes)} and ${gib(available)} are available; ${help}`,
    { fields: { neededBytes: least.nativeBytes, availableBytes: available, fitting: found?.atOnce ?? 0 } },
  );
}

/** With the runs that take most: which ones meet is not known before. */
async function planAtOnce(
  shapes: readonly RunShape[],
  atOnce: number,
  recompute: Recompute,
  { path, load, availableBytes: available }: MultiPlanContext,
): Promise<MultiPlan> {
  const largestBatch = jointLimits(shapes, atOnce);
  const training = await loadAddon().planTraining(
    path,
    slotSpecs(shapes, atOnce),
    {
      maxTokens: largestBatch.tokens,
      maxTargets: largestBatch.targets,
      recompute,
      full: false,
      training: true,
    },
    load,
  );
  const measuring = largest(
    shapes.map(({ measuringBytes }) => measuringBytes),
    atOnce,
  );
  const memory = [
    ...training,
    ...(sum(measuring) > 0 ? [{ name: 'dev responses', bytes: sum(measuring) }] : []),
  ];
  return {
    atOnce,
    largestBatch,
    recompute,
    memory,
    nativeBytes: sum(memory.map(({ bytes }) => bytes)),
    availableBytes: available,
    device: load.device ?? 'auto',
    runs: shapes.map(({ out, steps, examples, tokens }) => ({ out, steps, examples, tokens })),
  };
}

/** The session that was planned. */
export function openPlanned(
  model: Model,
  shapes: readonly RunShape[],
  plan: MultiPlan,
): Promise<SharedSession> {
  const { atOnce, largestBatch: limits, recompute } = plan;
  return SharedSession.create({ model, slots: slotSpecs(shapes, atOnce), limits, recompute });
}

/** What runs may take now: of a device's own memory, else of the process's. */
export async function bytesFor(device: string): Promise<number> {
  const own = await loadAddon().deviceBytes(device);
  return own >= 0 ? own : availableBytes();
}

/** The shapes of the runs that bring most, one for each slot. */
function slotSpecs(shapes: readonly RunShape[], atOnce: number): NativeAdapterSpec[] {
  return [...shapes]
    .sort((a, b) => b.ownBytes - a.ownBytes)
    .slice(0, atOnce)
    .map(({ spec }) => spec);
}

/** Room for every run's own micro-batch, and for those of several where they are small. */
export function jointLimits(shapes: readonly Pick<RunShape, 'largest'>[], atOnce: number): JointLimits {
  const of = (key: keyof JointLimits): JointLimits['tokens'][] =>
    shapes.map(({ largest: each }) => each[key]);
  const tokens = Math.max(...of('tokens'), Math.min(JOINT_TOKENS, sum(largest(of('tokens'), atOnce))));
  const share = Math.max(...shapes.map(({ largest: each }) => each.targets / each.tokens));
  const targets = Math.max(...of('targets'), Math.min(tokens, Math.ceil(share * tokens)));
  return { tokens, targets };
}

function largest(values: readonly number[], count: number): number[] {
  return [...values].sort((a, b) => b - a).slice(0, count);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
