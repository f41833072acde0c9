// A number with what is known about it: no figure leaves this library without its n, and none that is a sample's mean
// without an interval.

/** A value with its interval, where there is one, over `n` items. */
export interface Estimate {
  value: number;
  /** Bounds of the interval; absent where none can be given (one item, an exact count). */
  low?: number;
  high?: number;
  /** Items that inform it (`parallel_id`s, not item × language). */
  n: number;
}
