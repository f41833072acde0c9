// How the jobs so far have kept to the plan, kind by kind: what is left is corrected by its own kind as far as that is known,
// for a busy machine slows them down unequally, and by all of them as far as it is not.
import type { JobKind } from './job';
import type { Work } from './under-way';

/** The plan counts like so many seconds in which it was kept: the first steps of many models at once are slow. */
const BELIEVED = 30;

export class Pace {
  readonly #sums = new Map<JobKind, Work>();

  add(kind: JobKind, planned: number, taken: number): void {
    this.#sums.set(kind, plus(this.#sums.get(kind), { planned, taken }));
  }

  /**
   * Seconds that work of a kind will probably take which was planned with `planned`.
   *
   * @param now what jobs of a kind that are not finished have come to so far
   */
  expect(kind: JobKind, planned: number, now?: Work & { kind: JobKind }): number {
    const kinds = new Map(this.#sums);
    if (now !== undefined) kinds.set(now.kind, plus(kinds.get(now.kind), now));
    const own = kinds.get(kind) ?? NONE;
    kinds.delete(kind);
    const others = [...kinds.values()].reduce(plus, NONE);
    return planned * corrected(corrected(1, others), own);
  }
}

const NONE: Work = { planned: 0, taken: 0 };

function plus(a: Work = NONE, b: Work): Work {
  return { planned: a.planned + b.planned, taken: a.taken + b.taken };
}

function corrected(pace: number, { planned, taken }: Work): number {
  return (BELIEVED * pace + taken) / (BELIEVED + planned);
}
