// From what a step moves and computes (the native books, costs.h) to what it may take on a card: bounds by the data sheet, and a range by shares
// of it that are written out here and nowhere else. Predicted, never measured: no figure of this file comes from a card.
import { loadAddon } from '../native/addon';
import type { NativeCard, NativeCosts } from '../native/types';
import { adapterSpec } from './plan';
import type { TrainingPrepared } from './trainer';

/** What is assumed of every card: the better end, then the worse. */
export const ASSUMED = {
  /** Of the dense bfloat16 rate, that cuBLASLt's products reach. */
  products: [0.75, 0.4],
  /** The same of our own kernels, whose mma instructions are those of compute capability 8.0: what later ones add is not used. */
  kernels: { a100: [0.5, 0.25], h100: [0.35, 0.15], b200: [0.2, 0.06], others: [0.5, 0.25] },
  /** Of the dense bfloat16 rate: products with float32 weights (full tuning), which use no tensor cores. */
  floats: { a100: [0.055, 0.03], h100: [0.055, 0.03], b200: [0.03, 0.015], others: [0.4, 0.15] },
  /** Of the memory's bandwidth. */
  bandwidth: [0.85, 0.6],
  /** A kernel on the device however little it does, in seconds. */
  kernelSeconds: [1.5e-6, 4e-6],
  /** The host's time for a launch, which runs beside the device. */
  launchSeconds: [2.5e-6, 8e-6],
  /** A wait of the host for the device, and what it takes to go on. */
  waitSeconds: [10e-6, 60e-6],
} as const;

const OURS = new Set([
  'linearSample',
  'weightGradient',
  'attentionForward',
  'attentionBackward',
  'attentionCached',
  'loraForward',
  'loraBackward',
]);

export interface Totals {
  bytes: number;
  tensorFlops: number;
  launches: number;
  waits: number;
}

export interface Bounds {
  /** Seconds at the data sheet's rates, and of the launches at the better end of what is assumed. */
  compute: number;
  bandwidth: number;
  launch: number;
}

export interface Range {
  least: number;
  most: number;
}

export function totalsOf(costs: NativeCosts): Totals {
  const totals: Totals = { bytes: 0, tensorFlops: 0, launches: 0, waits: costs.waits };
  for (const op of Object.values(costs.ops)) {
    totals.bytes += op.readBytes + op.writtenBytes;
    totals.tensorFlops += op.tensorFlops;
    totals.launches += op.launches;
  }
  return totals;
}

export function boundsOf(costs: NativeCosts, card: NativeCard): Bounds {
  const { bytes, tensorFlops, launches } = totalsOf(costs);
  return {
    compute: tensorFlops / (card.teraflops * 1e12),
    bandwidth: bytes / (card.gigabytesPerSecond * 1e9),
    launch: launches * ASSUMED.launchSeconds[0],
  };
}

/** Ops run one after the other, each as long as the slower of its two; the host's launches run beside them. */
export function predictSeconds(costs: NativeCosts, card: NativeCard): Range {
  const at = (end: 0 | 1): number => {
    let device = 0;
    for (const [name, op] of Object.entries(costs.ops)) {
      const share = shareOf(name, card)[end];
      const compute = op.tensorFlops / (card.teraflops * 1e12 * share);
      const memory =
        (op.readBytes + op.writtenBytes) / (card.gigabytesPerSecond * 1e9 * ASSUMED.bandwidth[end]);
      device += Math.max(compute, memory, op.launches * ASSUMED.kernelSeconds[end]);
    }
    const { launches, waits } = totalsOf(costs);
    return Math.max(device, launches * ASSUMED.launchSeconds[end]) + waits * ASSUMED.waitSeconds[end];
  };
  return { least: at(0), most: at(1) };
}

function shareOf(op: string, { name }: NativeCard): readonly [number, number] {
  const kind = name.startsWith('a100')
    ? 'a100'
    : /^h[12]00/.test(name)
      ? 'h100'
      : name.startsWith('b200')
        ? 'b200'
        : 'others';
  if (OURS.has(op)) return ASSUMED.kernels[kind];
  return op.endsWith('Float32') ? ASSUMED.floats[kind] : ASSUMED.products;
}

/** A whole run: its micro-batches as the mean one is, and a step of the optimiser behind each step's last. */
export async function predictRun(
  { plan, data, options, source }: Pick<TrainingPrepared, 'plan' | 'data' | 'options' | 'source'>,
  card: NativeCard,
): Promise<Range> {
  const passes = data.steps.reduce((sum, step) => sum + step.length, 0) / data.train.length;
  const runTokens = passes * plan.tokens;
  const tokens = Math.max(1, Math.min(plan.largestBatch.tokens, Math.ceil(runTokens / plan.steps)));
  const documents = Math.min(tokens, Math.max(1, Math.round((tokens * plan.examples) / plan.tokens)));
  const lengths = Int32Array.from(
    { length: documents },
    (_, at) => Math.floor(((at + 1) * tokens) / documents) - Math.floor((at * tokens) / documents),
  );
  const full = options.method === 'full';
  const targets = Math.max(1, Math.round((tokens * plan.supervisedTokens) / plan.tokens));
  const { microBatch, optimizer } = await loadAddon().trainingCosts(
    source.path,
    full ? [] : [await adapterSpec(options)],
    {
      maxTokens: tokens,
      maxTargets: Math.max(targets, plan.largestBatch.targets),
      logitsBytes: card.logitsBytes,
      recompute: plan.recompute,
      full,
      training: true,
    },
    lengths,
    targets,
  );
  const [batch, step] = [predictSeconds(microBatch, card), predictSeconds(optimizer, card)];
  const batches = runTokens / tokens;
  return {
    least: batches * batch.least + plan.steps * step.least,
    most: batches * batch.most + plan.steps * step.most,
  };
}
