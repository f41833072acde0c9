// Counts: a share with an interval that holds at 0 and at 1, where a bootstrap sees nothing, and the test of paired wins.

import { refuseUnknownOptions } from '../../text/options';
import type { Estimate } from './estimate';
import { logGamma, normalQuantile } from './normal';

/**
 * Wilson's score interval of a proportion (Wilson 1927), without continuity correction.
 *
 * @throws RangeError unless 0 ≤ successes ≤ n
 */
export function wilson(successes: number, n: number, options: { level?: number } = {}): Estimate {
  refuseUnknownOptions('wilson', options, { level: true });
  if (!(successes >= 0 && successes <= n) || !Number.isInteger(n))
    throw new RangeError(`wilson: ${successes} of ${n}; expected from 0 to n, and n a whole number`);
  if (n === 0) return { value: Number.NaN, n };
  const z = normalQuantile((1 + (options.level ?? 0.95)) / 2);
  const share = successes / n;
  const middle = (share + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const reach = (z * Math.sqrt((share * (1 - share)) / n + (z * z) / (4 * n * n))) / (1 + (z * z) / n);
  return {
    value: share,
    low: successes === 0 ? 0 : middle - reach,
    high: successes === n ? 1 : middle + reach,
    n,
  };
}

/**
 * The exact sign test: probability of a split at least as uneven as this one if wins and losses were equally likely, two-sided.
 * Ties are not counted. Over pairs of right and wrong answers it is McNemar's exact test of the discordant ones.
 */
export function signTest(wins: number, losses: number): number {
  if (!Number.isInteger(wins) || !Number.isInteger(losses) || wins < 0 || losses < 0)
    throw new RangeError(`signTest: ${wins} and ${losses}; expected two whole numbers from 0`);
  const n = wins + losses;
  const fewer = Math.min(wins, losses);
  if (n === 0 || wins === losses) return 1;
  let sum = 0;
  for (let k = 0; k <= fewer; k += 1)
    sum += Math.exp(logGamma(n + 1) - logGamma(k + 1) - logGamma(n - k + 1) - n * Math.LN2);
  return Math.min(1, 2 * sum);
}
