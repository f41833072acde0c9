// Whether a written answer names one label of a closed set. Label scoring by likelihood (lib/eval/labels.ts) asks the model
// and needs no parsing; this asks what it says.
import { foldWords } from '../../text/segment';

/** Scripts that are written without blanks, where a label may stand anywhere. */
const NO_BLANKS =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Khmer}\p{Script=Lao}\p{Script=Myanmar}]/u;

/** Indices of the labels that an answer names, as whole words; a label inside a longer one that is named does not count. */
export function labelsNamed(response: string, labels: readonly string[]): number[] {
  let rest = ` ${foldWords(response)} `;
  const named: number[] = [];
  const byLength = labels
    .map((label, index) => ({ index, folded: foldWords(label) }))
    .sort((a, b) => b.folded.length - a.folded.length || a.index - b.index);
  for (const { index, folded } of byLength) {
    if (folded === '') continue;
    const wanted = NO_BLANKS.test(folded) ? folded : ` ${folded} `;
    if (!rest.includes(wanted)) continue;
    named.push(index);
    // Two blanks in place of a word, so that its neighbours keep a blank each.
    rest = rest.replaceAll(wanted, '  ');
  }
  return named.sort((a, b) => a - b);
}
