// Words by Unicode's own rules and ICU's dictionaries, so that Chinese, Hindi or Thai need no code of their own, and one way
// to fold a text before two are compared.

const segmenters = new Map<string, Intl.Segmenter>();

/** Words of a text, punctuation and blanks left out. `lang` chooses ICU's rules where a language has its own. */
export function words(text: string, lang = 'und'): string[] {
  let segmenter = segmenters.get(lang);
  if (segmenter === undefined) {
    segmenter = new Intl.Segmenter(lang, { granularity: 'word' });
    segmenters.set(lang, segmenter);
  }
  const found: string[] = [];
  for (const { segment, isWordLike } of segmenter.segment(text)) if (isWordLike === true) found.push(segment);
  return found;
}

/** NFKC, lower case, every run of blanks one space, none at the ends. */
export function fold(text: string): string {
  return text.normalize('NFKC').toLowerCase().replace(/\s+/gu, ' ').trim();
}

/**
 * The same, and punctuation and symbols count as blanks: what is left are words and digits. Invisible formatting (joiners,
 * direction marks, soft hyphens) is dropped, so that it does not part a word.
 */
export function foldWords(text: string): string {
  return fold(
    text
      .normalize('NFKC')
      .replace(/\p{Cf}+/gu, '')
      .replace(/[\p{P}\p{S}\p{C}]+/gu, ' '),
  );
}
