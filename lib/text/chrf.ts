// chrF: the F-score of shared character n-grams (Popović, WMT 2015), computed as sacreBLEU does by default: n-grams up to
// 6 without blanks, recall weighted twice (β = 2), statistics summed over orders that both texts have. Of a corpus, the
// counts are summed before anything is divided, so a long text weighs more than in a mean of sentences.
import { refuseUnknownOptions } from './options';

/** Parameters of chrF. */
export interface ChrfOptions {
  /** Longest character n-gram. Default 6. */
  order?: number;
  /** Weight of recall over precision. Default 2. */
  beta?: number;
}

/** Counts of one order: n-grams of the hypothesis, of the reference, and those in both. */
type Counts = [ours: number, theirs: number, shared: number];

/** chrF of a hypothesis against one reference, 0 to 100. Two empty texts give 0, as nothing is shared. */
export function chrf(hypothesis: string, reference: string, options: ChrfOptions = {}): number {
  refuseUnknownOptions('chrf', options, { order: true, beta: true });
  return fScore(statistics(hypothesis, reference, orderOf(options)), options.beta ?? 2);
}

/** chrF of a corpus of [hypothesis, reference] pairs, 0 to 100: summed counts, as sacreBLEU's `corpus_score`. */
export function corpusChrf(
  pairs: Iterable<readonly [hypothesis: string, reference: string]>,
  options: ChrfOptions = {},
): number {
  refuseUnknownOptions('corpusChrf', options, { order: true, beta: true });
  const order = orderOf(options);
  const sums = Array.from({ length: order }, (): Counts => [0, 0, 0]);
  for (const [hypothesis, reference] of pairs) {
    for (const [at, counts] of statistics(hypothesis, reference, order).entries()) {
      const sum = sums[at] as Counts;
      for (const part of [0, 1, 2] as const) sum[part] += counts[part];
    }
  }
  return fScore(sums, options.beta ?? 2);
}

function orderOf({ order = 6, beta = 2 }: ChrfOptions): number {
  if (!Number.isInteger(order) || order < 1)
    throw new RangeError(`order: expected a whole number from 1, got ${order}`);
  if (!(beta > 0)) throw new RangeError(`beta: expected a number over 0, got ${beta}`);
  return order;
}

function statistics(hypothesis: string, reference: string, order: number): Counts[] {
  const ours = withOffsets(hypothesis);
  const theirs = withOffsets(reference);
  const all: Counts[] = [];
  for (let n = 1; n <= order; n += 1) {
    const wanted = Math.max(theirs.length - n + 1, 0);
    // Where the reference has no n-gram of an order, sacreBLEU does not count the hypothesis's either.
    const total = wanted === 0 ? 0 : Math.max(ours.length - n + 1, 0);
    const counts: Counts = [total, wanted, 0];
    all.push(counts);
    if (total === 0) continue;
    const left = new Map<string, number>();
    for (let at = 0; at < wanted; at += 1) {
      const gram = theirs.gram(at, n);
      left.set(gram, (left.get(gram) ?? 0) + 1);
    }
    for (let at = 0; at < total; at += 1) {
      const gram = ours.gram(at, n);
      const count = left.get(gram) ?? 0;
      if (count === 0) continue;
      left.set(gram, count - 1);
      counts[2] += 1;
    }
  }
  return all;
}

function fScore(counts: readonly Counts[], beta: number): number {
  let precision = 0;
  let recall = 0;
  let orders = 0;
  for (const [ours, theirs, shared] of counts) {
    if (ours === 0 || theirs === 0) continue;
    precision += shared / ours;
    recall += shared / theirs;
    orders += 1;
  }
  if (orders === 0 || precision === 0) return 0;
  precision /= orders;
  recall /= orders;
  const factor = beta * beta;
  return (100 * (1 + factor) * precision * recall) / (factor * precision + recall);
}

/** What Python's `str.split()` takes for blanks, which is what sacreBLEU drops. */
const BLANKS = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g;

/** A text without blanks whose n-grams are cut by code point, not by UTF-16 unit. */
function withOffsets(text: string): { length: number; gram(at: number, n: number): string } {
  const dense = text.replace(BLANKS, '');
  const offsets: number[] = [];
  for (let at = 0; at < dense.length; at += (dense.codePointAt(at) as number) > 0xffff ? 2 : 1)
    offsets.push(at);
  const { length } = offsets;
  offsets.push(dense.length);
  return { length, gram: (at, n) => dense.substring(offsets[at] as number, offsets[at + n] as number) };
}
