// The arithmetic of the frozen base's products: float32, or integers on the processor, which are faster and lose
// a little. Nobody gets integers who did not ask.
import { loadAddon } from '../native/addon';
import type { Compute, WeightFormat } from '../native/types';

/** What `--compute` takes. */
export const COMPUTES = ['f32', 'int8', 'auto'] as const satisfies readonly ('auto' | Compute)[];

/** How much faster integers have to be for `auto` to take them: below, what they lose is not worth it. */
const WORTH_IT = 1.5;

/** Who asks for an arithmetic, and of what. */
export interface ComputeRequest {
  compute?: 'auto' | Compute | undefined;
  /** As it was asked for, or resolved. */
  device?: string | undefined;
  baseDtype?: 'auto' | WeightFormat | undefined;
  isa?: string | undefined;
  threads?: number | 'auto' | undefined;
  /** Where a model itself is trained there is no frozen base. */
  full?: boolean | undefined;
}

/** A choice of arithmetic; of `auto` also what the trial measured, in GFLOP/s. */
export interface ComputeChoice {
  compute: Compute;
  trial?: Record<Compute, number>;
}

/** Integers are the processor's: who asks for them by name and for no device gets it, whatever card there is. */
export function deviceFor({ compute, device = 'auto' }: ComputeRequest): string {
  return compute === 'int8' && device === 'auto' ? 'cpu' : device;
}

/** @throws RangeError where int8 is asked for together with what it can't be had with */
export function refuseCompute({ compute, device = 'auto', baseDtype = 'auto', full }: ComputeRequest): void {
  if (compute !== 'int8') return;
  const refuse = (why: string): never => {
    throw new RangeError(`compute is int8, ${why}`);
  };
  if (device !== 'auto' && device !== 'cpu')
    refuse(`which is the processor's, but the device is ${device}; leave one of them out`);
  if (baseDtype !== 'auto' && baseDtype !== 'int8')
    refuse(`for which the base's weights are int8, but baseDtype is ${baseDtype}; leave it out`);
  if (full) refuse('but full tuning trains the weights themselves, in f32; leave it out');
}

/**
 * What `auto` comes to: int8 where it is on the processor, nothing else asks for other weights, and a trial of 0.6 s finds its
 * products at least 1.5 times as fast.
 *
 * @throws RangeError as refuseCompute
 */
export async function chooseCompute(request: ComputeRequest): Promise<ComputeChoice> {
  refuseCompute(request);
  const {
    compute = 'f32',
    device = 'auto',
    baseDtype = 'auto',
    isa = 'auto',
    threads = 'auto',
    full,
  } = request;
  if (compute !== 'auto') return { compute };
  if (full || (baseDtype !== 'auto' && baseDtype !== 'int8')) return { compute: 'f32' };
  const addon = loadAddon();
  if (addon.resolveDevice(device, isa) !== 'cpu') return { compute: 'f32' };
  const count = threads === 'auto' ? 0 : threads;
  const f32 = await addon.measureRate('cpu', isa, count, 'f32');
  const int8 = await addon.measureRate('cpu', isa, count, 'int8');
  return { compute: int8 >= WORTH_IT * f32 ? 'int8' : 'f32', trial: { f32, int8 } };
}

/** The trial of `auto` in one line; undefined where there was none. */
export function describeChoice({ compute, trial }: ComputeChoice): string | undefined {
  if (!trial) return undefined;
  const rate = (which: Compute): string => `${trial[which].toFixed(0)} GFLOP/s in ${which}`;
  return `compute auto is ${compute}: products reach ${rate('int8')} and ${rate('f32')} here`;
}
