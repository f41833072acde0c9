// Repetitions of one training with other seeds: few, so what they show is themselves. An interval over three points would
// look like knowledge that three points do not hold.

import { refuseUnknownOptions } from '../../text/options';
import { PairedBootstrap } from './bootstrap';
import type { Estimate } from './estimate';

/** Seeds from which a bootstrap over them is allowed. */
export const MIN_SEEDS = 10;

/** Values of repetitions by seeds; an interval is not claimed from few. */
export interface SeedSummary {
  /** As given, in the order of the seeds. */
  points: readonly number[];
  n: number;
  mean: number;
  /** The least and the largest of them: not an interval of anything else. */
  range: readonly [least: number, most: number];
}

/**
 * The points and their range.
 *
 * @throws RangeError for no values, or one that is not finite
 */
export function seedSummary(values: readonly number[]): SeedSummary {
  if (values.length === 0 || !values.every(Number.isFinite))
    throw new RangeError(`seedSummary: expected at least one finite value, got [${values.join(', ')}]`);
  return {
    points: [...values],
    n: values.length,
    mean: values.reduce((sum, value) => sum + value, 0) / values.length,
    range: [Math.min(...values), Math.max(...values)],
  };
}

/**
 * Mean over seeds with a bootstrap interval over them.
 *
 * @throws RangeError under {@link MIN_SEEDS} seeds
 */
export function bootstrapSeeds(
  values: readonly number[],
  options: { resamples?: number; seed?: number; level?: number } = {},
): Estimate {
  refuseUnknownOptions('bootstrapSeeds', options, { resamples: true, seed: true, level: true });
  if (values.length < MIN_SEEDS)
    throw new RangeError(
      `bootstrapSeeds: ${values.length} seeds; an interval over seeds takes at least ${MIN_SEEDS}: show the points and their range (seedSummary)`,
    );
  return new PairedBootstrap([{ values }], options).estimate(0);
}
