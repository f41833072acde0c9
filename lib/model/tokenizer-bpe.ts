// Byte-pair encoding over ids. The ecosystem's package keeps its merges in a Map keyed by JSON strings, which costs
// most of a second to build for half a million merges; here they live in one open-addressing table over typed arrays.

/** Merge rules in rank order: `[left, right, merged]` token ids, one triple a rule. */
export type MergeTriples = Int32Array;

export interface BpeOptions {
  /** Token text → id, added tokens excluded. */
  vocab: ReadonlyMap<string, number>;
  merges: MergeTriples;
  /** Id that stands for a character outside the vocabulary; `undefined` drops it. */
  unknownId?: number | undefined;
  /** Write a run of unknown characters as one unknown id. */
  fuseUnknown: boolean;
  /** Write a character outside the vocabulary as its UTF-8 bytes, `<0x00>` … `<0xFF>`. */
  byteFallback: boolean;
  /** Take a whole word that is in the vocabulary as it stands, without merging. */
  ignoreMerges: boolean;
}

const MAX_CACHED_LENGTH = 64;
const MAX_CACHE_ENTRIES = 20_000;
const POSITION_SPAN = 2 ** 32;

/** One vocabulary's merges, ready to encode words. Not safe to share between threads; cheap to keep. */
export class BytePairEncoder {
  readonly #vocab: ReadonlyMap<string, number>;
  readonly #single = new Int32Array(0x10000).fill(-1);
  readonly #astral = new Map<number, number>();
  readonly #bytes: Int32Array | null;
  readonly #unknownId: number;
  readonly #fuseUnknown: boolean;
  readonly #ignoreMerges: boolean;
  readonly #mask: number;
  readonly #slotLeft: Int32Array;
  readonly #slotRight: Int32Array;
  readonly #slotRank: Int32Array;
  readonly #merged: Int32Array;
  readonly #cache = new Map<string, readonly number[]>();
  #ids = new Int32Array(256);
  #next = new Int32Array(256);
  #previous = new Int32Array(256);
  #heap = new Float64Array(512);
  #heapSize = 0;

  constructor(options: BpeOptions) {
    this.#vocab = options.vocab;
    this.#unknownId = options.unknownId ?? -1;
    this.#fuseUnknown = options.fuseUnknown;
    this.#ignoreMerges = options.ignoreMerges;
    this.#bytes = options.byteFallback ? byteTokenIds(options.vocab) : null;
    for (const [token, id] of options.vocab) {
      const code = token.codePointAt(0);
      if (code === undefined || token.length !== (code > 0xffff ? 2 : 1)) continue;
      if (code > 0xffff) this.#astral.set(code, id);
      else this.#single[code] = id;
    }
    const count = options.merges.length / 3;
    let capacity = 16;
    while (capacity < count * 2) capacity *= 2;
    this.#mask = capacity - 1;
    this.#slotLeft = new Int32Array(capacity).fill(-1);
    this.#slotRight = new Int32Array(capacity);
    this.#slotRank = new Int32Array(capacity);
    this.#merged = new Int32Array(count);
    for (let rank = 0; rank < count; rank += 1) {
      const left = options.merges[rank * 3] as number;
      const right = options.merges[rank * 3 + 1] as number;
      const slot = this.#find(left, right);
      this.#slotLeft[slot] = left;
      this.#slotRight[slot] = right;
      this.#slotRank[slot] = rank;
      this.#merged[rank] = options.merges[rank * 3 + 2] as number;
    }
  }

  /** Appends the ids of one pre-token to `out`. */
  encode(word: string, out: number[]): void {
    if (this.#ignoreMerges) {
      const id = this.#vocab.get(word);
      if (id !== undefined) {
        out.push(id);
        return;
      }
    }
    const cacheable = word.length <= MAX_CACHED_LENGTH;
    const cached = cacheable ? this.#cache.get(word) : undefined;
    if (cached !== undefined) {
      for (const id of cached) out.push(id);
      return;
    }
    const from = out.length;
    const count = this.#load(word);
    if (count === 0) return;
    this.#merge(count);
    for (let at = 0; at !== -1; at = this.#next[at] as number) out.push(this.#ids[at] as number);
    if (cacheable) {
      if (this.#cache.size >= MAX_CACHE_ENTRIES) this.#cache.clear();
      this.#cache.set(word, out.slice(from));
    }
  }

  /** Slot of a pair in the table: its own, or the empty one where it belongs. */
  #find(left: number, right: number): number {
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    hash ^= hash >>> 15;
    let slot = hash & this.#mask;
    while (
      this.#slotLeft[slot] !== -1 &&
      (this.#slotLeft[slot] !== left || this.#slotRight[slot] !== right)
    ) {
      slot = (slot + 1) & this.#mask;
    }
    return slot;
  }

  /** Fills the symbol list with one id a character (or a byte), and returns how many there are. */
  #load(word: string): number {
    const limit = word.length * 4;
    if (limit > this.#ids.length) {
      this.#ids = new Int32Array(limit * 2);
      this.#next = new Int32Array(limit * 2);
      this.#previous = new Int32Array(limit * 2);
    }
    let count = 0;
    let unknownBefore = false;
    for (let i = 0; i < word.length; i += 1) {
      const code = word.codePointAt(i) as number;
      if (code > 0xffff) i += 1;
      const id = code > 0xffff ? (this.#astral.get(code) ?? -1) : (this.#single[code] as number);
      if (id !== -1) {
        this.#ids[count++] = id;
        unknownBefore = false;
      } else if (this.#bytes !== null) {
        count = this.#pushBytes(code, count);
        unknownBefore = false;
      } else if (this.#unknownId !== -1) {
        if (!unknownBefore || !this.#fuseUnknown) this.#ids[count++] = this.#unknownId;
        unknownBefore = true;
      }
    }
    for (let i = 0; i < count; i += 1) {
      this.#next[i] = i + 1 < count ? i + 1 : -1;
      this.#previous[i] = i - 1;
    }
    return count;
  }

  #pushBytes(code: number, count: number): number {
    const bytes = this.#bytes as Int32Array;
    const ids = this.#ids;
    let at = count;
    if (code < 0x80) {
      ids[at++] = bytes[code] as number;
      return at;
    }
    if (code < 0x800) {
      ids[at++] = bytes[0xc0 | (code >> 6)] as number;
    } else {
      if (code < 0x10000) {
        ids[at++] = bytes[0xe0 | (code >> 12)] as number;
      } else {
        ids[at++] = bytes[0xf0 | (code >> 18)] as number;
        ids[at++] = bytes[0x80 | ((code >> 12) & 63)] as number;
      }
      ids[at++] = bytes[0x80 | ((code >> 6) & 63)] as number;
    }
    ids[at++] = bytes[0x80 | (code & 63)] as number;
    return at;
  }

  /** Applies the lowest-ranked merge, leftmost first, until none applies. */
  #merge(count: number): void {
    this.#heapSize = 0;
    for (let i = 0; i + 1 < count; i += 1) this.#offer(i);
    while (this.#heapSize > 0) {
      const key = this.#pop();
      const at = key % POSITION_SPAN;
      const rank = (key - at) / POSITION_SPAN;
      const left = this.#ids[at] as number;
      const next = this.#next[at] as number;
      if (left === -1 || next === -1) continue;
      const slot = this.#find(left, this.#ids[next] as number);
      if (this.#slotLeft[slot] === -1 || this.#slotRank[slot] !== rank) continue;
      this.#ids[at] = this.#merged[rank] as number;
      this.#ids[next] = -1;
      const after = this.#next[next] as number;
      this.#next[at] = after;
      if (after !== -1) {
        this.#previous[after] = at;
        this.#offer(at);
      }
      const before = this.#previous[at] as number;
      if (before !== -1) this.#offer(before);
    }
  }

  #offer(at: number): void {
    const next = this.#next[at] as number;
    const slot = this.#find(this.#ids[at] as number, this.#ids[next] as number);
    if (this.#slotLeft[slot] === -1) return;
    this.#push((this.#slotRank[slot] as number) * POSITION_SPAN + at);
  }

  #push(key: number): void {
    if (this.#heapSize === this.#heap.length) {
      const grown = new Float64Array(this.#heap.length * 2);
      grown.set(this.#heap);
      this.#heap = grown;
    }
    const heap = this.#heap;
    let child = this.#heapSize++;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      const value = heap[parent] as number;
      if (value <= key) break;
      heap[child] = value;
      child = parent;
    }
    heap[child] = key;
  }

  #pop(): number {
    const heap = this.#heap;
    const top = heap[0] as number;
    const last = heap[--this.#heapSize] as number;
    const size = this.#heapSize;
    let parent = 0;
    for (;;) {
      let child = parent * 2 + 1;
      if (child >= size) break;
      if (child + 1 < size && (heap[child + 1] as number) < (heap[child] as number)) child += 1;
      if ((heap[child] as number) >= last) break;
      heap[parent] = heap[child] as number;
      parent = child;
    }
    heap[parent] = last;
    return top;
  }
}

/** Ids of `<0x00>` … `<0xFF>`, or null where the vocabulary lacks one of them. */
function byteTokenIds(vocab: ReadonlyMap<string, number>): Int32Array | null {
  const ids = new Int32Array(256);
  for (let byte = 0; byte < 256; byte += 1) {
    const id = vocab.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
    if (id === undefined) return null;
    ids[byte] = id;
  }
  return ids;
}
