// An answer beside the answer that was expected.
import { chrf } from '../../text/chrf';
import { rougeL } from '../../text/rouge';
import { fold, foldWords } from '../../text/segment';

/** @param lang finds the words; chrF needs none */
export function againstReference(
  response: string,
  reference: string,
  lang: string,
): { exactMatch: 0 | 1; exactMatchStrict: 0 | 1; chrf: number; rougeL: number } {
  return {
    exactMatch: sameWords(response, reference) ? 1 : 0,
    exactMatchStrict: response.trim() === reference.trim() ? 1 : 0,
    chrf: chrf(fold(response), fold(reference)),
    rougeL: rougeL(response, reference, { lang }),
  };
}

/** Equal but for case, width, punctuation and symbols; a text of nothing but these is compared with them. */
export function sameWords(a: string, b: string): boolean {
  const folded = foldWords(b);
  return folded === '' ? fold(a) === fold(b) : foldWords(a) === folded;
}
