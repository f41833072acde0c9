// Texts out of their packed chunks, as they are asked for; the last ones looked at are kept.
import { unpackJson } from '../../../page/client/unpack';

/** Chunks that are kept, of some 100 KB each. */
const KEPT = 128;

export class Texts<T> {
  readonly #name: (chunk: number) => string;
  readonly #starts: readonly number[];
  readonly #chunks = new Map<number, Promise<readonly T[]>>();

  /** @param starts number of the first value of each chunk, and behind the last the number of all */
  constructor(name: (chunk: number) => string, starts: readonly number[]) {
    this.#name = name;
    this.#starts = starts;
  }

  async get(at: number): Promise<T> {
    const chunk = this.#chunkOf(at);
    let values = this.#chunks.get(chunk);
    if (values === undefined) {
      values = unpackJson<readonly T[]>(this.#name(chunk));
      this.#chunks.set(chunk, values);
      if (this.#chunks.size > KEPT) this.#chunks.delete(this.#chunks.keys().next().value as number);
    }
    return (await values)[at - this.#starts[chunk]!]!;
  }

  #chunkOf(at: number): number {
    let [low, high] = [0, this.#starts.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.#starts[middle]! <= at) low = middle;
      else high = middle;
    }
    return low;
  }

  /** Every value in turn, with nothing kept. `look` is told how far it is, and ends the search by returning false. */
  async each(visit: (value: T, at: number) => void, look: (fraction: number) => boolean): Promise<boolean> {
    const chunks = this.#starts.length - 1;
    for (let chunk = 0; chunk < chunks; chunk += 1) {
      const values = await unpackJson<readonly T[]>(this.#name(chunk));
      for (const [place, value] of values.entries()) visit(value, this.#starts[chunk]! + place);
      if (!look((chunk + 1) / chunks)) return false;
    }
    return true;
  }
}
