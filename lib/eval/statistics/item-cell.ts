// A cell of the bootstrap from observations of which an item may have several, or none: two samples of one prompt, the verdicts
// of three people.

import type { Cell } from './bootstrap';

/**
 * A cell over `items`: of each, the sum and the number of its observations.
 *
 * @param range least and largest value of one observation
 */
export function itemCell<T extends { readonly item: string }>(
  items: readonly string[],
  observations: readonly T[],
  value: (observation: T) => number,
  range: readonly [least: number, most: number],
): Cell {
  const places = new Map(items.map((item, at) => [item, at]));
  const values = new Float64Array(items.length);
  const weights = new Float64Array(items.length);
  for (const observation of observations) {
    const at = places.get(observation.item) as number;
    values[at] = (values[at] as number) + value(observation);
    weights[at] = (weights[at] as number) + 1;
  }
  return { values, weights, range };
}
