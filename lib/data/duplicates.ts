// When two texts count as one. A held-out item whose twin was trained on measures memory, so texts are compared without what
// does not make another question: case, width, punctuation, and the skin tone, sex and presentation of an emoji.

import type { Example } from './example';

const PRESENTATION_AND_TONE = /[\u{FE0E}\u{FE0F}\u{1F3FB}-\u{1F3FF}]/gu;
const SEX_SIGN = /\u200D[\u2640\u2642]/gu;
/** Emoji of a man or a woman, as those of a person. */
const PERSONS: Readonly<Record<string, string>> = {
  '\u{1F468}': '\u{1F9D1}',
  '\u{1F469}': '\u{1F9D1}',
  '\u{1F466}': '\u{1F9D2}',
  '\u{1F467}': '\u{1F9D2}',
  '\u{1F474}': '\u{1F9D3}',
  '\u{1F475}': '\u{1F9D3}',
};
const SEXED = /[\u{1F466}-\u{1F469}\u{1F474}\u{1F475}]/gu;
/** Joiners, direction marks, soft hyphens; not the tags that tell the flag of England from Scotland's. */
const INVISIBLE = /[^\P{Cf}\u{E0020}-\u{E007F}]+/gu;
// The keycap's enclosing mark makes `1️⃣` an emoji rather than a number; it stays, being a mark and no punctuation.
const PUNCTUATION = /[\p{P}\p{Sk}\p{Cc}\p{Z}]+/gu;

/**
 * A text as two of one language are compared: NFKC, lower case, without punctuation and invisible signs, blanks as one
 * space; emoji without skin tone, sex and presentation. Signs that mean something (+, €, emoji) stay. A text of nothing
 * but punctuation stays as it is, folded.
 */
export function normalizeText(text: string): string {
  const folded = text
    .normalize('NFKC')
    .replace(PRESENTATION_AND_TONE, '')
    .replace(SEX_SIGN, '')
    .replace(SEXED, (person) => PERSONS[person] as string)
    .replace(INVISIBLE, '')
    .toLowerCase();
  const bare = folded.replace(PUNCTUATION, ' ').trim();
  return bare === '' ? folded.replace(/\s+/gu, ' ').trim() : bare;
}

/** What was asked: all user turns (an input is part of its turn), or the text of a record that has no turns. */
export function promptOf(example: Example): string {
  if (example.text !== undefined && example.turns.length === 0) return example.text;
  return textOf(example, 'user');
}

/** What was answered: all assistant turns. */
export function responseOf(example: Example): string {
  return textOf(example, 'assistant');
}

function textOf({ turns }: Example, role: string): string {
  const texts: string[] = [];
  for (const turn of turns) if (turn.role === role) texts.push(turn.content);
  return texts.join('\n');
}

/** Characters of a shingle. */
export const SHINGLE = 5;
/** Jaccard similarity of two texts' shingles from which they are near-duplicates. */
export const MIN_NEAR = 0.8;

/** Two texts, by their places in the lists, that are much alike. */
export interface NearDuplicate {
  /** Index in the first and in the second list. */
  a: number;
  b: number;
  /** Jaccard similarity of the sets of shingles, `threshold` to 1. */
  similarity: number;
}

/**
 * For each text of `b` its nearest text of `a` whose character shingles (5, the ends padded) have a Jaccard similarity of at
 * least the threshold (Broder, "On the resemblance and containment of documents", 1997); texts whose numbers or emoji differ
 * are two questions and never near. Texts are compared as they come: normalise them, and compare one language with itself.
 *
 * The search is exact, not a sketch: a text that is near shares at least one of its rarest shingles (prefix filtering;
 * Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", WWW 2007).
 */
export function findNearDuplicates(
  a: readonly string[],
  b: readonly string[],
  threshold: number = MIN_NEAR,
): NearDuplicate[] {
  const best = new Map<number, NearDuplicate>();
  for (const pair of nearPairs(a, b, threshold)) {
    const before = best.get(pair.b);
    if (before === undefined || pair.similarity > before.similarity) best.set(pair.b, pair);
  }
  return [...best.values()].sort((x, y) => x.b - y.b);
}

/** All near-duplicates of two lists, as {@link findNearDuplicates} has them. */
export function* nearPairs(
  a: readonly string[],
  b: readonly string[],
  threshold: number = MIN_NEAR,
): Generator<NearDuplicate> {
  if (!(threshold > 0 && threshold <= 1))
    throw new RangeError(`threshold: expected a number over 0 and at most 1, got ${threshold}`);
  const index = indexTexts(b, threshold);
  for (const [at, text] of a.entries()) {
    const set = knownShingles(text, index, threshold);
    if (set === undefined) continue;
    let signs: string | undefined;
    for (const candidate of candidatesOf(set, index, threshold)) {
      const similarity = jaccard(set, index.sets[candidate] as Shingles);
      if (similarity < threshold) continue;
      signs ??= signsOf(text);
      if (signs === signsOf(b[candidate] as string)) yield { a: at, b: candidate, similarity };
    }
  }
}

/** Numbers and emoji of a text, in order. */
function signsOf(text: string): string {
  return (text.match(/\p{N}+|\p{Extended_Pictographic}|\p{Regional_Indicator}/gu) ?? []).join(' ');
}

/** A text's set: shingles that the index knows by rank, rarest first, and how many it has in all. */
interface Shingles {
  ranks: Int32Array;
  size: number;
}

interface ShingleIndex {
  rankOf: Map<number, number>;
  sets: Shingles[];
  /** Texts that have a shingle of this rank among their rarest. */
  holders: Map<number, number[]>;
}

/** Shingles that a set of this size must share with a set to be near it; rounding errors must not ask for one more. */
function leastShared(size: number, threshold: number): number {
  return Math.ceil(threshold * size - 1e-9);
}

function indexTexts(texts: readonly string[], threshold: number): ShingleIndex {
  const hashed = texts.map((text) => shingleHashes(text));
  const counts = new Map<number, number>();
  for (const set of hashed) for (const hash of set) counts.set(hash, (counts.get(hash) ?? 0) + 1);
  const byRarity = [...counts].sort(([x, m], [y, n]) => m - n || x - y);
  const rankOf = new Map(byRarity.map(([hash], rank) => [hash, rank]));
  const sets = hashed.map((set): Shingles => {
    const ranks = Int32Array.from(set, (hash) => rankOf.get(hash) as number).sort();
    return { ranks, size: ranks.length };
  });
  const holders = new Map<number, number[]>();
  for (const [text, { ranks, size }] of sets.entries()) {
    for (const rank of ranks.subarray(0, size - leastShared(size, threshold) + 1)) {
      const list = holders.get(rank);
      if (list === undefined) holders.set(rank, [text]);
      else list.push(text);
    }
  }
  return { rankOf, sets, holders };
}

/** Undefined where so many shingles are in no indexed text that none can be near. */
function knownShingles(text: string, index: ShingleIndex, threshold: number): Shingles | undefined {
  const hashes = shingleHashes(text);
  const allowed = hashes.length - leastShared(hashes.length, threshold);
  const known: number[] = [];
  let unknown = 0;
  for (const hash of hashes) {
    const rank = index.rankOf.get(hash);
    if (rank !== undefined) known.push(rank);
    else if (++unknown > allowed) return undefined;
  }
  return { ranks: Int32Array.from(known).sort(), size: hashes.length };
}

function candidatesOf(set: Shingles, index: ShingleIndex, threshold: number): Set<number> {
  const unknown = set.size - set.ranks.length;
  const rarest = set.size - leastShared(set.size, threshold) + 1 - unknown;
  const found = new Set<number>();
  for (const rank of set.ranks.subarray(0, Math.max(rarest, 0))) {
    for (const text of index.holders.get(rank) ?? []) {
      const { size } = index.sets[text] as Shingles;
      if (Math.min(size, set.size) >= leastShared(Math.max(size, set.size), threshold)) found.add(text);
    }
  }
  return found;
}

function jaccard(a: Shingles, b: Shingles): number {
  let shared = 0;
  for (let i = 0, j = 0; i < a.ranks.length && j < b.ranks.length; ) {
    const [x, y] = [a.ranks[i] as number, b.ranks[j] as number];
    if (x === y) shared += 1;
    if (x <= y) i += 1;
    if (y <= x) j += 1;
  }
  return shared / (a.size + b.size - shared);
}

/** Distinct 32-bit hashes of a text's shingles of UTF-16 units, ascending. Padded, so that first and last letters weigh as others. */
function shingleHashes(text: string): Int32Array {
  if (text === '') return new Int32Array();
  const pad = SHINGLE - 1;
  const hashes = new Int32Array(text.length + pad);
  for (let at = 0; at < hashes.length; at += 1) {
    let hash = 0x811c9dc5;
    for (let i = at - pad; i <= at; i += 1) {
      const unit = i >= 0 && i < text.length ? text.charCodeAt(i) : 32;
      hash = Math.imul(hash ^ unit, 0x01000193);
    }
    hashes[at] = hash ^ (hash >>> 15);
  }
  hashes.sort();
  let size = 1;
  for (let at = 1; at < hashes.length; at += 1)
    if (hashes[at] !== hashes[at - 1]) hashes[size++] = hashes[at] as number;
  return hashes.subarray(0, size);
}
