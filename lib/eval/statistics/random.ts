// Random numbers of the statistics: millions a call, so Philox seeds a small fast generator instead of giving each of them.
import { philox4x32 } from '../../data/order';

/** Marks the draws of the statistics among all that use one seed. */
const PURPOSE_STATISTICS = 0x73746174;

/** Gives 32-bit unsigned words: sfc32 (C. Doty-Humphrey, PractRand), its state from Philox(seed). */
export type Words = () => number;

/** @param seed whole number from 0 to 2^53 − 1 */
export function randomWords(seed: number): Words {
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new RangeError(`seed: expected a whole number from 0 to 2^53 − 1, got ${seed}`);
  let [a, b, c] = philox4x32([0, 0, PURPOSE_STATISTICS, 0], [seed >>> 0, Math.floor(seed / 2 ** 32)]) as [
    number,
    number,
    number,
  ];
  let counter = 1;
  const next: Words = () => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  for (let i = 0; i < 15; i += 1) next();
  return next;
}

/** A whole number from 0 to `count` − 1; its bias is under count / 2^32. */
export function drawBelow(words: Words, count: number): number {
  return Math.floor((words() * count) / 2 ** 32);
}
