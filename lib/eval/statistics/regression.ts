// One straight line through a handful of points, one predictor at a time: with eleven languages more than one could not be
// told apart.
import { tCdf, tQuantile } from './normal';

export interface Interval {
  low: number;
  high: number;
}

/** A least-squares line with its intervals. */
export interface Regression {
  n: number;
  slope: number;
  intercept: number;
  slopeInterval: Interval;
  interceptInterval: Interval;
  /** Two-sided, of slope 0, by Student's t with n − 2 degrees of freedom: assumes normal errors of one variance. */
  p: number;
  /** Share of the variance that the line explains. */
  rSquared: number;
  /** Standard error of the slope, and of the intercept. */
  slopeError: number;
  interceptError: number;
}

/**
 * Ordinary least squares of y on x.
 *
 * @throws RangeError for unequal lengths, under three points, values that are not finite, an x that does not vary
 */
export function linearRegression(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  options: { level?: number } = {},
): Regression {
  const { level = 0.95 } = options;
  const n = x.length;
  if (y.length !== n)
    throw new RangeError(`regression: x has ${n} values and y has ${y.length}; expected pairs`);
  if (n < 3) throw new RangeError(`regression: ${n} points; expected at least 3`);
  const xs = Float64Array.from(x);
  const ys = Float64Array.from(y);
  if (![...xs, ...ys].every(Number.isFinite))
    throw new RangeError('regression: a value is not finite; leave the point out');
  const xMean = mean(xs);
  const yMean = mean(ys);
  let xx = 0;
  let xy = 0;
  let yy = 0;
  for (let i = 0; i < n; i += 1) {
    const dx = (xs[i] as number) - xMean;
    const dy = (ys[i] as number) - yMean;
    xx += dx * dx;
    xy += dx * dy;
    yy += dy * dy;
  }
  if (xx === 0) throw new RangeError('regression: all values of x are the same, so there is no slope');
  const slope = xy / xx;
  const intercept = yMean - slope * xMean;
  let residual = 0;
  for (let i = 0; i < n; i += 1) residual += ((ys[i] as number) - intercept - slope * (xs[i] as number)) ** 2;
  const variance = residual / (n - 2);
  const slopeError = Math.sqrt(variance / xx);
  const interceptError = Math.sqrt(variance * (1 / n + (xMean * xMean) / xx));
  const t = tQuantile((1 + level) / 2, n - 2);
  const around = (value: number, error: number): Interval => ({
    low: value - t * error,
    high: value + t * error,
  });
  return {
    n,
    slope,
    intercept,
    slopeInterval: around(slope, slopeError),
    interceptInterval: around(intercept, interceptError),
    p: slope === 0 ? 1 : 2 * tCdf(-Math.abs(slope / slopeError), n - 2),
    rSquared: yy === 0 ? 0 : 1 - residual / yy,
    slopeError,
    interceptError,
  };
}

function mean(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
