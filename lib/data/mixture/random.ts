// The chance in a mixture is a pure function of (seed, purpose, item or language): no state, so the same words give the same
// set on every machine, and one language's draw does not move when another is added.
import { philox4x32 } from '../order';

/** Mark the draws of mixtures among all that use one seed. */
export const PURPOSE = {
  /** Which items come first. */
  select: 0x6d697831,
  /** In which order they are written. */
  arrange: 0x6d697832,
  /** Which language a remainder goes to first. */
  language: 0x6d697833,
  /** `overlap`: which items a language draws on its own. */
  overlap: 0x6d697834,
} as const;

/** @throws RangeError */
export function checkSeed(seed: number): void {
  if (Number.isSafeInteger(seed) && seed >= 0) return;
  throw new RangeError(`mixture: seed: expected a whole number from 0 to 2^53 − 1, got ${seed}`);
}

function keyOf(seed: number): [number, number] {
  return [seed >>> 0, Math.floor(seed / 2 ** 32)];
}

/**
 * A permutation of 0 … count − 1. Element i's sort key is Philox(counter = (i, stream, purpose, 0), key = seed), cut to the
 * bits that 2^53 leaves beside the index, which breaks ties.
 */
export function seededOrder(count: number, seed: number, purpose: number, stream = 0): Int32Array {
  const key = keyOf(seed);
  const indexBits = Math.max(1, Math.ceil(Math.log2(Math.max(2, count))));
  const scale = 2 ** indexBits;
  const high = 2 ** (53 - indexBits - 32);
  const keys = new Float64Array(count);
  for (let i = 0; i < count; i += 1) {
    const words = philox4x32([i, stream, purpose, 0], key);
    const [first, second] = [words[0]!, words[1]!];
    const random =
      high >= 1 ? first * high + Math.floor((second / 2 ** 32) * high) : Math.floor(first * high);
    keys[i] = random * scale + i;
  }
  // Without a comparator a Float64Array is sorted by native code; the index comes back as the remainder.
  keys.sort();
  const order = new Int32Array(count);
  for (let i = 0; i < count; i += 1) order[i] = keys[i]! % scale;
  return order;
}

/** The languages in a seeded order that is a function of each language and the seed alone: of the set, not of its order. */
export function languageOrder(languages: Iterable<string>, seed: number): string[] {
  const key = keyOf(seed);
  const draws = new Map<string, number>();
  for (const language of new Set(languages)) {
    const [first, second] = philox4x32([codeHash(language), 0, PURPOSE.language, 0], key) as [number, number];
    draws.set(language, first * 2 ** 21 + (second >>> 11));
  }
  return [...draws.keys()].sort((a, b) => draws.get(a)! - draws.get(b)! || (a < b ? -1 : 1));
}

/** 32 bits of a language's code (FNV-1a), its number as a stream of draws. */
export function codeHash(code: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < code.length; i += 1) hash = Math.imul(hash ^ code.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}
