// Added tokens (control tokens, runs of spaces and newlines, markup) are cut out of a text before anything is merged.
// This finds them as the reference does: leftmost, longest, with its rules for words and for blanks on either side.

export interface AddedToken {
  id: number;
  content: string;
  /** Never shown in decoded text when special tokens are skipped. */
  special: boolean;
  /** Matched against the normalised text in place of the text itself. */
  normalized: boolean;
  /** Takes the blanks before it. */
  lstrip: boolean;
  /** Takes the blanks after it. */
  rstrip: boolean;
  /** Matches only where no letter or digit touches it. */
  singleWord: boolean;
}

/** A piece of a text: plain text between tokens (`id` −1), or one added token. */
export interface Section {
  text: string;
  id: number;
}

interface TrieNode {
  children: Map<number, TrieNode>;
  token: AddedToken | null;
}

const WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]/u;
const BLANK = /\p{White_Space}/u;

/** Finds a set of added tokens in texts. */
export class AddedTokenMatcher {
  readonly #root: TrieNode = { children: new Map(), token: null };
  /** 1 for a code unit that some token begins with: most places of a text are passed by at once. */
  readonly #begins = new Uint8Array(0x10000);
  readonly #empty: boolean;

  /** `spelling` gives the text under which a token is looked for: its content, or its normalised content. */
  constructor(tokens: readonly AddedToken[], spelling: (token: AddedToken) => string) {
    let count = 0;
    for (const token of tokens) {
      const text = spelling(token);
      if (text.length === 0) continue;
      count += 1;
      this.#begins[text.charCodeAt(0)] = 1;
      let node = this.#root;
      for (let i = 0; i < text.length; i += 1) {
        const code = text.charCodeAt(i);
        let child = node.children.get(code);
        if (child === undefined) {
          child = { children: new Map(), token: null };
          node.children.set(code, child);
        }
        node = child;
      }
      node.token = token;
    }
    this.#empty = count === 0;
  }

  /** Cuts a text into sections; joined they give the text back, blanks taken by a token left out. */
  split(text: string): Section[] {
    if (this.#empty) return text.length === 0 ? [] : [{ text, id: -1 }];
    const sections: Section[] = [];
    let from = 0;
    let at = 0;
    while (at < text.length) {
      const found = this.#match(text, at);
      if (found === null) {
        at += 1;
        continue;
      }
      let start = at;
      let end = found.end;
      if (found.token.singleWord && touchesWord(text, start, end)) {
        at = end;
        continue;
      }
      if (found.token.lstrip) while (start > from && BLANK.test(text[start - 1] as string)) start -= 1;
      if (found.token.rstrip) while (end < text.length && BLANK.test(text[end] as string)) end += 1;
      if (start > from) sections.push({ text: text.slice(from, start), id: -1 });
      sections.push({ text: found.token.content, id: found.token.id });
      from = end;
      at = end;
    }
    if (from < text.length) sections.push({ text: text.slice(from), id: -1 });
    return sections;
  }

  /** Whether any of the tokens is spelled in a text. */
  hasMatch(text: string): boolean {
    for (let at = 0; at < text.length; at += 1) if (this.#match(text, at) !== null) return true;
    return false;
  }

  #match(text: string, at: number): { token: AddedToken; end: number } | null {
    const code = text.charCodeAt(at);
    if (this.#begins[code] === 0) return null;
    let node = this.#root.children.get(code);
    let best: { token: AddedToken; end: number } | null = null;
    for (let end = at + 1; node !== undefined; end += 1) {
      if (node.token !== null) best = { token: node.token, end };
      if (end >= text.length) break;
      node = node.children.get(text.charCodeAt(end));
    }
    return best;
  }
}

function touchesWord(text: string, start: number, end: number): boolean {
  return (
    (start > 0 && WORD.test(text[start - 1] as string)) ||
    (end < text.length && WORD.test(text[end] as string))
  );
}
