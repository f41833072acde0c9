// ROUGE-L (Lin, 2004): the F-score of the longest common subsequence of words. The usual package drops every letter that is
// not a–z, so it gives 0 in five of twelve languages; here words are Unicode's, and that tokenizer is only a mode.

import { refuseUnknownOptions } from './options';
import { fold, words } from './segment';

/** How ROUGE-L cuts words. */
export interface RougeOptions {
  /** Language whose rules and dictionary find the words. Default `und`: Unicode's rules and whatever dictionary the script asks for. */
  lang?: string;
  /**
   * `unicode`: words by Intl.Segmenter after NFKC and lower case. `google`: as the Python package rouge-score does without
   * its stemmer, runs of a–z and 0–9; nothing is left of Arabic, Hebrew, Hindi, Russian and Chinese, whose score is 0, and
   * accented letters split words. Default `unicode`.
   */
  tokens?: 'unicode' | 'google';
}

/** ROUGE-L of a hypothesis against one reference: F-measure (β = 1), 0 to 100; 0 where either has no words. */
export function rougeL(hypothesis: string, reference: string, options: RougeOptions = {}): number {
  return rougeLOfTokens(rougeTokens(hypothesis, options), rougeTokens(reference, options));
}

/** The words that {@link rougeL} compares. */
export function rougeTokens(text: string, options: RougeOptions = {}): string[] {
  refuseUnknownOptions('rougeL', options, { lang: true, tokens: true });
  const { tokens = 'unicode', lang } = options;
  if (tokens === 'google') return text.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  if (tokens !== 'unicode')
    throw new RangeError(`tokens: expected "unicode" or "google", got ${JSON.stringify(tokens)}`);
  return words(fold(text), lang);
}

/** The same over words that the caller has found. */
export function rougeLOfTokens(hypothesis: readonly string[], reference: readonly string[]): number {
  const common = longestCommonSubsequence(hypothesis, reference);
  return common === 0 ? 0 : (200 * common) / (hypothesis.length + reference.length);
}

function longestCommonSubsequence(a: readonly string[], b: readonly string[]): number {
  if (a.length === 0 || b.length === 0) return 0;
  const ids = new Map<string, number>();
  const number = (word: string): number => {
    const known = ids.get(word) ?? ids.size;
    ids.set(word, known);
    return known;
  };
  const rows = Int32Array.from(a, number);
  const columns = Int32Array.from(b, number);
  // One row of the table: best[j + 1] is the length for the rows so far and the first j + 1 columns.
  const best = new Int32Array(columns.length + 1);
  for (const row of rows) {
    let diagonal = 0;
    for (let j = 0; j < columns.length; j += 1) {
      const above = best[j + 1] as number;
      best[j + 1] = row === columns[j] ? diagonal + 1 : Math.max(above, best[j] as number);
      diagonal = above;
    }
  }
  return best[columns.length] as number;
}
