// How the jobs so far have kept to the plan, kind by kind: what is left is corrected by its own kind where that is known,
// for a busy machine slows them down unequally.
import type { JobKind } from './job';
import type { Work } from './under-way';

/** Planned seconds from which a pace is believed. */
const ENOUGH = 10;

export class Pace {
  readonly #sums = new Map<JobKind | 'all', Work>();

  add(kind: JobKind, planned: number, taken: number): void {
    for (const key of [kind, 'all'] as const) {
      const sum = this.#sums.get(key) ?? { planned: 0, taken: 0 };
      sum.planned += planned;
      sum.taken += taken;
      this.#sums.set(key, sum);
    }
  }

  /**
   * Seconds that work of a kind will probably take which was planned with `planned`.
   *
   * @param now what jobs of a kind that are not finished have come to so far
   */
  expect(kind: JobKind, planned: number, now?: Work & { kind: JobKind }): number {
    for (const key of [kind, 'all'] as const) {
      const sum = { planned: 0, taken: 0, ...this.#sums.get(key) };
      if (now !== undefined && (key === 'all' || key === now.kind)) {
        sum.planned += now.planned;
        sum.taken += now.taken;
      }
      if (sum.planned >= ENOUGH) return planned * (sum.taken / sum.planned);
    }
    return planned;
  }
}
