// Words by Unicode's own rules and ICU's dictionaries, so that Chinese, Hindi or Thai need no code of their own, and one way
// to fold a text before two are compared.

const segmenters = new Map<string, Intl.Segmenter>();

function segmenterOf(lang: string, granularity: 'word' | 'sentence' | 'grapheme'): Intl.Segmenter {
  const key = `${granularity} ${lang}`;
  let segmenter = segmenters.get(key);
  if (segmenter === undefined) {
    segmenter = new Intl.Segmenter(lang, { granularity });
    segmenters.set(key, segmenter);
  }
  return segmenter;
}

/** Words of a text, punctuation and blanks left out. `lang` chooses ICU's rules where a language has its own. */
export function words(text: string, lang = 'und'): string[] {
  const found: string[] = [];
  for (const { segment, isWordLike } of segmenterOf(lang, 'word').segment(text))
    if (isWordLike === true) found.push(segment);
  return found;
}

/** All sentences or graphemes (characters as people count them) of a text, blanks between them included. */
export function segments(text: string, granularity: 'sentence' | 'grapheme', lang = 'und'): string[] {
  return Array.from(segmenterOf(lang, granularity).segment(text), ({ segment }) => segment);
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
