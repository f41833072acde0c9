// chrF: the F-score of shared character n-grams (Popović, WMT 2015), computed as sacreBLEU does by default: n-grams up to
// 6 without blanks, recall weighted twice (β = 2), statistics summed over orders that both texts have.

export interface ChrfOptions {
  /** Longest character n-gram. Default 6. */
  order?: number;
  /** Weight of recall over precision. Default 2. */
  beta?: number;
}

/** chrF of a hypothesis against one reference, 0 to 100. Two empty texts give 0, as nothing is shared. */
export function chrf(hypothesis: string, reference: string, options: ChrfOptions = {}): number {
  const { order = 6, beta = 2 } = options;
  const ours = characters(hypothesis);
  const theirs = characters(reference);
  let precision = 0;
  let recall = 0;
  let orders = 0;
  for (let n = 1; n <= order; n += 1) {
    const total = ours.length - n + 1;
    const wanted = theirs.length - n + 1;
    if (total < 1 || wanted < 1) break;
    const left = ngrams(theirs, n);
    let shared = 0;
    for (let at = 0; at < total; at += 1) {
      const gram = ours.slice(at, at + n).join('');
      const count = left.get(gram) ?? 0;
      if (count === 0) continue;
      left.set(gram, count - 1);
      shared += 1;
    }
    precision += shared / total;
    recall += shared / wanted;
    orders += 1;
  }
  if (orders === 0) return 0;
  precision /= orders;
  recall /= orders;
  const factor = beta * beta;
  const sum = factor * precision + recall;
  return sum === 0 ? 0 : (100 * (1 + factor) * precision * recall) / sum;
}

function characters(text: string): string[] {
  return [...text.replace(/\s+/gu, '')];
}

function ngrams(characters: readonly string[], n: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let at = 0; at + n <= characters.length; at += 1) {
    const gram = characters.slice(at, at + n).join('');
    counts.set(gram, (counts.get(gram) ?? 0) + 1);
  }
  return counts;
}
