// E4: the first k languages of a seeded order share the budget. Two orders whose first k languages are the same set are one
// model.
import { seededOrder } from '../../data/mixture/random';
import { languageName } from '../../text/language-codes';
import type { ExperimentSpec } from '../spec';
import type { Arm } from '../types';

const PURPOSE_ORDERS = 0x6f726431;

/** Seeded permutations of the languages; a function of the set of languages and the seed, different from one another where they can be. */
export function languageOrders(
  languages: readonly string[],
  orders: number,
  seed: number,
): readonly (readonly string[])[] {
  const sorted = [...new Set(languages)].sort();
  const found = new Map<string, readonly string[]>();
  // So many more draws than orders that doubles do not matter where there are permutations enough.
  for (let stream = 0; found.size < orders && stream < 50 + 20 * orders; stream += 1) {
    const order = [...seededOrder(sorted.length, seed, PURPOSE_ORDERS, stream)].map((at) => sorted[at]!);
    found.set(order.join(' '), order);
  }
  return [...found.values()];
}

export function orderArms(
  spec: ExperimentSpec,
  languages: readonly string[],
  evaluate: readonly string[],
): Arm[] {
  const sets = new Map<string, { order: readonly string[]; k: number; orders: number[] }>();
  for (const [index, order] of languageOrders(languages, spec.orders, spec.seed).entries()) {
    for (let k = 1; k <= order.length; k += 1) {
      const set = order.slice(0, k).sort().join(' ');
      const entry = sets.get(set) ?? { order, k, orders: [] };
      entry.orders.push(index + 1);
      sets.set(set, entry);
    }
  }
  return [...sets.values()].map(({ order, k, orders }) => ({
    id: `order${orders[0]}-k${k}`,
    label:
      k === 1
        ? `${languageName(order[0]!)} only`
        : k === order.length
          ? `all ${k} languages`
          : order.slice(0, k).join(' + '),
    mixture: { kind: 'prefix', order, k, n: spec.examples },
    // `orders`: all orders in which this set comes up, so that each has its whole curve.
    at: { k, order: orders[0]!, orders: orders.join(',') },
    evaluate,
  }));
}
