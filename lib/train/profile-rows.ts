// From ops to the rows of a table: of products one for each matrix and direction, of all else one for each kind; and what is left of the
// steps' time when they are taken away.
import type { Compute, NativeProfile } from '../native/types';

/** A part of the steps' time. */
export interface ProfileRow {
  /** `qkv forward`, `attention backward`, `waiting for JavaScript`. */
  name: string;
  /** `product`: matrix products with adapters' on them; `op`: other operations; `rest`: what is none. */
  kind: 'product' | 'op' | 'rest';
  calls: number;
  /** Of a product's frozen matrix. */
  shape?: { out: number; in: number };
  /** Of a call, in the mean; 0 where an operation knows of none. */
  rows: number;
  seconds: number;
  /** Of the steps' wall time. */
  share: number;
  /** Moved, each operand once a call: by formula. */
  bytes: number;
  /** Multiply-adds × 2 in floating point and of integers: by formula. */
  flops: number;
  integerFlops: number;
  /** The time that its arithmetic takes at the machine's measured rates, as a share of the time it took. */
  ofRate?: number;
}

type Op = NativeProfile['ops'][number];

/** The phases that a step consists of. */
const STEP_PHASES = new Set(['forward', 'loss', 'backward', 'optimiser', 'gradients']);

const NAMES: Readonly<Record<string, string>> = {
  attentionForward: 'attention forward',
  attentionBackward: 'attention backward',
  rmsNormForward: 'norms forward',
  rmsNormBackward: 'norms backward',
  rmsNormWeightGradient: 'gradients of norms and biases',
  biasGradient: 'gradients of norms and biases',
  rope: 'rope',
  gatedForward: 'activation forward',
  gatedBackward: 'activation backward',
  crossEntropy: 'loss',
  gatherWeightRows: 'embedding',
  gatherGradient: 'embedding gradient',
  sumSquares: 'optimiser',
  adamW: 'optimiser',
  refreshWeightRows: 'weights from parameters',
  upload: 'uploads and downloads',
  download: 'uploads and downloads',
  synchronize: 'waiting for the device',
};

function nameOf({ op, phase, weight, out, in: width }: Op): { name: string; kind: ProfileRow['kind'] } {
  const matrix = weight || `${out}×${width}`;
  if (op === 'linearForward')
    return { name: `${matrix} forward${phase === 'backward' ? ' again' : ''}`, kind: 'product' };
  if (op === 'linearBackward') return { name: `${matrix} backward`, kind: 'product' };
  if (op === 'headLoss') return { name: `${matrix} with its loss`, kind: 'product' };
  if (op === 'weightGradient') return { name: `${matrix} gradient`, kind: 'product' };
  const again = phase === 'backward' && op.endsWith('Forward') ? ' again' : '';
  return { name: `${NAMES[op] ?? 'sums, copies and fills'}${again}`, kind: 'op' };
}

/** Rows of the steps by time, products first, what is no operation last. They add up to `seconds`. */
export function stepRows(
  { ops, phases }: Pick<NativeProfile, 'ops' | 'phases'>,
  seconds: number,
  rates: Partial<Record<Compute, number>>,
): ProfileRow[] {
  const rows = new Map<string, ProfileRow>();
  for (const op of ops.filter(({ phase }) => STEP_PHASES.has(phase))) {
    const { name, kind } = nameOf(op);
    const row = rows.get(name) ?? emptyRow(name, kind);
    if (kind === 'product') row.shape = { out: op.out, in: op.in };
    for (const key of ['calls', 'rows', 'seconds', 'bytes', 'flops', 'integerFlops'] as const)
      row[key] += op[key];
    rows.set(name, row);
  }
  const all = [...rows.values()];
  const inOps = total(all);
  const inPhases = total(phases.filter(({ name }) => STEP_PHASES.has(name)));
  all.push(
    { ...emptyRow('between operations', 'rest'), seconds: inPhases - inOps },
    { ...emptyRow('waiting for JavaScript', 'rest'), seconds: seconds - inPhases },
  );
  for (const row of all) {
    row.rows = row.calls > 0 ? row.rows / row.calls : 0;
    row.share = seconds > 0 ? row.seconds / seconds : 0;
    const ofRate = shareOfRate(row, rates);
    if (ofRate !== undefined) row.ofRate = ofRate;
  }
  const KINDS = ['product', 'op', 'rest'];
  return all.sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind) || b.seconds - a.seconds);
}

/** Of one row, or of several together in the time given. Undefined where a rate is not known or there is no arithmetic. */
export function shareOfRate(
  { flops, integerFlops, seconds }: Pick<ProfileRow, 'flops' | 'integerFlops' | 'seconds'>,
  rates: Partial<Record<Compute, number>>,
): number | undefined {
  if (flops + integerFlops === 0 || seconds <= 0) return undefined;
  if (rates.f32 === undefined || (integerFlops > 0 && rates.int8 === undefined)) return undefined;
  const ideal = flops / rates.f32 + (integerFlops > 0 ? integerFlops / rates.int8! : 0);
  return (ideal * 1e-9) / seconds;
}

function emptyRow(name: string, kind: ProfileRow['kind']): ProfileRow {
  return { name, kind, calls: 0, rows: 0, seconds: 0, share: 0, bytes: 0, flops: 0, integerFlops: 0 };
}

function total(parts: readonly { seconds: number }[]): number {
  return parts.reduce((sum, part) => sum + part.seconds, 0);
}
