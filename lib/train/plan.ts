// Memory and time before anything runs: what is allocated is exactly what the plan says, so a run that does not fit is
// refused here and not at some later step.
import { dealExamples, largestBatch } from '../data/packing';
import { countTargets, type RenderedExample } from '../data/render';
import { toAdapterSpec } from '../model/adapter';
import { toLoadOptions } from '../model/model';
import type { ModelSource } from '../model/source';
import { loadAddon } from '../native/addon';
import { MlitError } from '../native/errors';
import type {
  Compute,
  NativeAdapterSpec,
  NativeDoctor,
  NativeLoadOptions,
  NativeMemoryPlan,
  NativeModelConfig,
  Recompute,
  WeightFormat,
} from '../native/types';
import type { DevContext, DevEvaluator } from './evaluator';
import { RECOMPUTE, type TrainOptions } from './options';
import type { PreparedData } from './prepare';
import type { Ranks } from './ranks';

/** Tokens of a micro-batch where nothing else is asked for: large enough for full-speed products, small in memory. */
const MICRO_TOKENS = 2048;

/** Memory by name in bytes, and the steps to come. */
export interface TrainPlan {
  method: TrainOptions['method'];
  /** Native bytes by name. */
  memory: NativeMemoryPlan;
  nativeBytes: number;
  /** Node's own memory now, with the data read: what the process holds before anything native is allocated. */
  nodeBytes: number;
  /** `cpu`, `cuda:N`, or the name of a card that need not be there. */
  device: string;
  /** Native bytes are taken of the device's own memory, and not of the process's. */
  onDevice: boolean;
  /** The resident set at its peak: nodeBytes, and nativeBytes unless onDevice. A `base` that was loaded before is counted in both. */
  peakBytes: number;
  /** What native bytes may take: of the device's own memory, else by the system and the control group. */
  availableBytes: number;
  /** Where nativeBytes are more than that: what would take less, as flags of `mlit train`, and how much. */
  waysOut: { flags: string; nativeBytes: number }[];
  steps: number;
  examples: number;
  /** Real tokens of one pass over the training examples. */
  tokens: number;
  supervisedTokens: number;
  microTokens: number;
  /** Tokens, and targets, of the largest micro-batch that the data will be packed into: what memory is taken for. */
  largestBatch: { tokens: number; targets: number };
  recompute: Recompute;
  /** Multiply-adds × 2 of the whole run's matrix products (forward and backward, no attention). */
  flops: number;
}

export interface RunShape {
  plan: TrainPlan;
  microTokens: number;
  recompute: Recompute;
}

export async function planRun(
  options: TrainOptions & { compute: Compute },
  source: ModelSource,
  data: PreparedData,
  evaluator?: DevEvaluator,
  ranks?: Ranks,
): Promise<RunShape> {
  const addon = loadAddon();
  const load = toLoadOptions(options);
  const full = options.method === 'full';
  const spec = full ? undefined : await adapterSpec(options);
  const microTokens = chooseMicroTokens(options, data);
  const largestOf = (micro: number): ReturnType<typeof largestBatch> => {
    const { tokens, targets } = largestBatch(batchesOf(data, ranks), micro);
    return { tokens: Math.max(1, tokens), targets: Math.max(1, targets) }; // a rank may have no share at all
  };
  const largest = largestOf(microTokens);
  const deviceBytes = await addon.deviceBytes(options.device);
  const onDevice = deviceBytes >= 0;
  const available = onDevice ? deviceBytes : availableBytes() / (ranks?.local.size ?? 1);
  const config = await addon.readModelConfig(source.path);

  const planWith = (
    recompute: Recompute,
    { tokens, targets } = largest,
    format = load.format,
  ): Promise<NativeMemoryPlan> =>
    addon.planTraining(
      source.path,
      spec ? [spec] : [],
      {
        maxTokens: tokens,
        maxTargets: targets,
        recompute,
        full,
        training: true,
      },
      { ...load, format },
    );
  const measuring = await planMeasuring(evaluator, options, data, { path: source.path, adapter: spec, load });
  const left = available - totalBytes(measuring);
  const { recompute, memory: training } = await chooseRecompute(options.recompute, left, planWith);
  const memory = [...training, ...measuring];
  const needed = totalBytes(memory);
  const waysOut =
    needed <= available
      ? []
      : await findWaysOut({
          needed,
          available,
          levels: RECOMPUTE.slice(RECOMPUTE.indexOf(recompute) + 1),
          formats: full || options.compute === 'int8' ? [] : smallerFormats(load.format),
          microTokens: halfOf(microTokens, data),
          bytesWith: async ({ level = recompute, format, half }) => {
            const batch = half === undefined ? largest : largestOf(half);
            return totalBytes([...(await planWith(level, batch, format)), ...measuring]);
          },
        });

  const tokens = sum(data.train.map((example) => example.tokens.length));
  const supervisedTokens = sum(data.train.map((example) => countTargets(example.weights)));
  const passes = sum(data.steps.map((step) => step.length)) / data.train.length;
  const nativeBytes = totalBytes(memory);
  const nodeBytes = process.memoryUsage().rss;
  const plan: TrainPlan = {
    method: options.method,
    memory,
    nativeBytes,
    nodeBytes,
    device: options.device,
    onDevice,
    peakBytes: onDevice ? nodeBytes : nodeBytes + nativeBytes,
    availableBytes: available,
    waysOut,
    steps: data.steps.length,
    examples: data.train.length,
    tokens,
    supervisedTokens,
    microTokens,
    largestBatch: largest,
    recompute,
    flops: passes * stepFlops(config, spec, tokens, supervisedTokens, recompute),
  };
  return { plan, microTokens, recompute };
}

interface Change {
  level?: Recompute | undefined;
  format?: WeightFormat | undefined;
  half?: number | undefined;
}

/**
 * Each single change that takes less, in the order in which they cost: time, the base's last bits, speed. Where none of them is enough
 * by itself, the least that can be had by all of them at once.
 */
async function findWaysOut({
  needed,
  available,
  levels,
  formats,
  microTokens,
  bytesWith,
}: {
  needed: number;
  available: number;
  levels: readonly Recompute[];
  formats: readonly WeightFormat[];
  microTokens: readonly number[];
  bytesWith: (change: Change) => Promise<number>;
}): Promise<TrainPlan['waysOut']> {
  const ways: TrainPlan['waysOut'] = [];
  const add = async (change: Change): Promise<void> => {
    const nativeBytes = await bytesWith(change);
    if (nativeBytes < needed) ways.push({ flags: flagsOf(change), nativeBytes });
  };
  for (const level of levels) await add({ level });
  for (const format of formats) await add({ format });
  for (const half of microTokens) await add({ half });
  const last = { level: levels.at(-1), format: formats.at(-1), half: microTokens.at(-1) };
  if (ways.length > 1 && ways.every(({ nativeBytes }) => nativeBytes > available)) await add(last);
  return ways;
}

function flagsOf({ level, format, half }: Change): string {
  return [
    level !== undefined && `--recompute ${level}`,
    format !== undefined && `--base-dtype ${format}`,
    half !== undefined && `--micro-tokens ${half}`,
  ]
    .filter(Boolean)
    .join(' ');
}

/** From the most exact to the smallest. */
function smallerFormats(now: NativeLoadOptions['format']): WeightFormat[] {
  const formats = ['f32', 'bf16', 'int8', 'nf4'] as const;
  return formats.slice(formats.indexOf(now === 'auto' ? 'f32' : now) + 1);
}

/** Half of a micro-batch, where every example still fits into it. */
function halfOf(microTokens: number, data: PreparedData): number[] {
  const half = Math.floor(microTokens / 2);
  return longestOf(data).tokens.length <= half ? [half] : [];
}

/** The lists that will be packed: the examples of each step, and the dev set; of several ranks this one's share of each. */
function* batchesOf(data: PreparedData, ranks: Ranks | undefined): Generator<RenderedExample[]> {
  const shareOf = (examples: RenderedExample[]): RenderedExample[] =>
    ranks ? dealExamples(examples, ranks.size)[ranks.rank]!.map((at) => examples[at]!) : examples;
  for (const step of data.steps) yield shareOf(step.map((at) => data.train[at]!));
  yield shareOf(data.dev);
}

/** One line for what measuring a dev set holds; the backend's own is the training's already. */
async function planMeasuring(
  evaluator: DevEvaluator | undefined,
  options: TrainOptions,
  data: PreparedData,
  base: Parameters<DevEvaluator['plan']>[1],
): Promise<NativeMemoryPlan> {
  if (!evaluator || options.select === 'loss') return [];
  const parts = await evaluator.plan(devContext(options, data), base);
  return [{ name: 'dev responses', bytes: totalBytes(parts.filter(({ name }) => name !== 'backend')) }];
}

/** Tokens of a dev response where the run has no limit of its own: as `mlit sample` has it. */
const DEV_RESPONSE_TOKENS = 256;

export function devContext(options: TrainOptions, data: PreparedData): DevContext {
  const { devItems: items, endOfTurnIds } = data;
  return { items, endOfTurnIds, maxNewTokens: options.maxResponse ?? DEV_RESPONSE_TOKENS };
}

/**
 * @param heldBytes what of the plan is in memory already, and so no longer available: the base of a caller that keeps it
 * @throws MlitError `OUT_OF_MEMORY` where the plan does not fit, with what would help
 */
export function checkMemory(plan: TrainPlan, heldBytes = 0): void {
  if (plan.nativeBytes - heldBytes <= plan.availableBytes) return;
  const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(2)} GiB`;
  const parts = plan.memory.map((item) => `${item.name} ${gib(item.bytes)}`).join(', ');
  const ways = plan.waysOut.map(
    ({ flags, nativeBytes }) =>
      `${flags} needs ${gib(nativeBytes)}${nativeBytes > plan.availableBytes ? ' (still too much)' : ''}`,
  );
  const [where, there] = plan.onDevice
    ? [` of ${plan.device}'s own memory`, 'free there']
    : ['', 'available'];
  const last =
    plan.method === 'full'
      ? 'tune an adapter instead (--method lora)'
      : `take ${plan.onDevice ? 'a card' : 'a machine'} with more memory`;
  throw new MlitError(
    'OUT_OF_MEMORY',
    `the run needs ${gib(plan.nativeBytes)}${where} (${parts}) and ${gib(plan.availableBytes)} are ${there}; ${ways.length > 0 ? `${ways.join(', ')}; ` : ''}lower --micro-tokens (now ${plan.microTokens}) or --max-length, or ${last}`,
    { fields: { neededBytes: plan.nativeBytes, availableBytes: plan.availableBytes } },
  );
}

/** What the process may still take: the system's free memory, or what is left of its control group's limit (0 = none). */
export function availableBytes(
  { availableBytes: free, limitBytes }: NativeDoctor['memory'] = loadAddon().doctor().memory,
  ownBytes: number = process.memoryUsage().rss,
): number {
  return limitBytes === 0 ? free : Math.min(free, Math.max(0, limitBytes - ownBytes));
}

export async function adapterSpec(options: TrainOptions): Promise<NativeAdapterSpec> {
  if (options.initAdapter !== undefined) return loadAddon().readPeftConfig(options.initAdapter);
  return toAdapterSpec({ ...options, targetModules: options.target });
}

/** The level that was asked for; by `auto` the first whose plan fits, the last where none does. */
export async function chooseRecompute(
  asked: TrainOptions['recompute'],
  availableBytes: number,
  planWith: (level: Recompute) => Promise<NativeMemoryPlan>,
): Promise<{ recompute: Recompute; memory: NativeMemoryPlan }> {
  const levels = asked === 'auto' ? RECOMPUTE : [asked];
  for (const recompute of levels) {
    const memory = await planWith(recompute);
    if (recompute === levels.at(-1) || totalBytes(memory) <= availableBytes) return { recompute, memory };
  }
  throw new MlitError('INTERNAL', 'there is no level of recomputation');
}

function chooseMicroTokens(options: TrainOptions, data: PreparedData): number {
  const longest = longestOf(data);
  if (options.microTokens !== 'auto') {
    if (options.microTokens >= longest.tokens.length) return options.microTokens;
    throw new RangeError(
      `train options: microTokens is ${options.microTokens}, but record '${longest.id}' has ${longest.tokens.length} tokens; raise it or lower maxLength (--max-length)`,
    );
  }
  const stepTokens = data.steps.map((step) => sum(step.map((at) => data.train[at]!.tokens.length)));
  const largest = stepTokens.reduce((most, tokens) => Math.max(most, tokens), 1);
  return Math.max(longest.tokens.length, Math.min(MICRO_TOKENS, Math.ceil(largest / 64) * 64));
}

function longestOf(data: PreparedData): RenderedExample {
  return [...data.train, ...data.dev].reduce((most, example) =>
    example.tokens.length > most.tokens.length ? example : most,
  );
}

/** What the last layer computes for every row: attention needs all keys and values. */
const FIRST_HALF = ['q_proj', 'k_proj', 'v_proj'];

/**
 * Products of one pass: forward, the input gradients, and the adapter's six skinny ones, or without a spec (full tuning) the
 * gradients of all matrices; the last layer's second half and the head on supervised rows only. Biases and norms are no
 * products and are left out, as is that the lowest layer's q, k and v give no input gradient.
 */
export function stepFlops(
  config: NativeModelConfig,
  spec: NativeAdapterSpec | undefined,
  tokens: number,
  supervisedTokens: number,
  recompute: Recompute,
): number {
  const { hidden, feedForward, heads, kvHeads, headDim, layers, vocabulary } = config;
  const query = heads * headDim;
  const keyValue = kvHeads * headDim;
  const shapes: Record<string, [number, number]> = {
    q_proj: [hidden, query],
    k_proj: [hidden, keyValue],
    v_proj: [hidden, keyValue],
    o_proj: [query, hidden],
    gate_proj: [hidden, feedForward],
    up_proj: [hidden, feedForward],
    down_proj: [feedForward, hidden],
  };
  // A head's adapter alone needs no input gradients at all; a matrix that is trained needs its own besides.
  const passes = spec === undefined ? 3 : spec.targetModules.some((name) => name !== 'lm_head') ? 2 : 1;
  const again = passes >= 2 ? recomputedModules(config, recompute) : [];
  let perToken = 0;
  let perTarget = 0;
  for (const [name, [inputs, outputs]] of Object.entries(shapes)) {
    const base = 2 * inputs * outputs;
    const lora = spec?.targetModules.includes(name) ? 2 * spec.rank * (inputs + outputs) : 0;
    const each = passes * base + 3 * lora;
    perToken += (layers - 1) * each;
    if (FIRST_HALF.includes(name)) perToken += each;
    else perTarget += each;
    if (again.includes(name)) perToken += (layers - 1) * (base + lora); // the last layer's are still there
  }
  const headLora = spec?.targetModules.includes('lm_head') ? 2 * spec.rank * (hidden + vocabulary) : 0;
  perTarget += passes * 2 * vocabulary * hidden + 3 * headLora;
  return tokens * perToken + supervisedTokens * perTarget;
}

function recomputedModules({ architecture }: NativeModelConfig, recompute: Recompute): string[] {
  if (recompute === 'none') return [];
  if (recompute === 'activations') return ['gate_proj', 'up_proj'];
  const down = architecture === 'gemma3' ? ['down_proj'] : []; // its output is needed where a norm follows
  return ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', ...down];
}

function totalBytes(plan: NativeMemoryPlan): number {
  return sum(plan.map((item) => item.bytes));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
