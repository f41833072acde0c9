// Finds the token that a stretch of another token spells, without making a string of it: deriving half a million merges
// asks this three million times, and slices and Map lookups would take seconds.

const MULTIPLIER = 0x01000193;

/** Token texts laid end to end, with rolling hashes and a table of ids. */
export class SubstringIndex {
  readonly #codes: Uint16Array;
  /** [tokens + 1] where each token's text starts. */
  readonly #starts: Int32Array;
  /** Hash of each token's text up to a place; one more place than it has code units. */
  readonly #hashes: Int32Array;
  readonly #powers: Int32Array;
  readonly #table: Int32Array;
  readonly #mask: number;

  /** Only the ids for which `wanted` holds are found; of equal texts, the first. */
  constructor(tokens: readonly string[], wanted: (id: number) => boolean) {
    this.#starts = new Int32Array(tokens.length + 1);
    let longest = 0;
    for (let id = 0; id < tokens.length; id += 1) {
      const { length } = tokens[id] as string;
      this.#starts[id + 1] = (this.#starts[id] as number) + length;
      longest = Math.max(longest, length);
    }
    const total = this.#starts[tokens.length] as number;
    this.#codes = new Uint16Array(total);
    this.#hashes = new Int32Array(total + tokens.length);
    this.#powers = new Int32Array(longest + 1);
    this.#powers[0] = 1;
    for (let i = 1; i <= longest; i += 1)
      this.#powers[i] = Math.imul(this.#powers[i - 1] as number, MULTIPLIER);
    let capacity = 16;
    while (capacity < tokens.length * 2) capacity *= 2;
    this.#mask = capacity - 1;
    this.#table = new Int32Array(capacity).fill(-1);
    for (let id = 0; id < tokens.length; id += 1) this.#lay(id, tokens[id] as string);
    for (let id = 0; id < tokens.length; id += 1) {
      const { length } = tokens[id] as string;
      if (length === 0 || !wanted(id)) continue;
      const slot = this.#slot(id, 0, length);
      if (this.#table[slot] === -1) this.#table[slot] = id;
    }
  }

  /** Id of the token that code units `from` to `to` of token `id` spell, or −1. */
  find(id: number, from: number, to: number): number {
    return this.#table[this.#slot(id, from, to)] as number;
  }

  /** UTF-16 code unit of a token. */
  codeAt(id: number, at: number): number {
    return this.#codes[(this.#starts[id] as number) + at] as number;
  }

  lengthOf(id: number): number {
    return (this.#starts[id + 1] as number) - (this.#starts[id] as number);
  }

  #lay(id: number, text: string): void {
    const start = this.#starts[id] as number;
    let hash = 0;
    for (let i = 0; i < text.length; i += 1) {
      const code = text.charCodeAt(i);
      this.#codes[start + i] = code;
      hash = (Math.imul(hash, MULTIPLIER) + code + 1) | 0;
      this.#hashes[start + id + i + 1] = hash;
    }
  }

  /** The slot that holds the stretch's token, or the empty one where it would be. */
  #slot(id: number, from: number, to: number): number {
    const base = (this.#starts[id] as number) + id;
    const length = to - from;
    const before = Math.imul(this.#hashes[base + from] as number, this.#powers[length] as number);
    let hash = ((this.#hashes[base + to] as number) - before) | 0;
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    let slot = (hash ^ (hash >>> 13)) & this.#mask;
    const start = (this.#starts[id] as number) + from;
    for (;;) {
      const other = this.#table[slot] as number;
      if (other === -1 || this.#equals(other, start, length)) return slot;
      slot = (slot + 1) & this.#mask;
    }
  }

  #equals(other: number, start: number, length: number): boolean {
    if (this.lengthOf(other) !== length) return false;
    const first = this.#starts[other] as number;
    for (let i = 0; i < length; i += 1) if (this.#codes[first + i] !== this.#codes[start + i]) return false;
    return true;
  }
}
