// Jobs that are done together, as far as they are: what of the plan they have worked off, and in which time. Models that train side by
// side all move at once, so none of them tells by itself how much is left.

/** Planned seconds that were worked off, and the seconds that it took. */
export interface Work {
  planned: number;
  taken: number;
}

/** One group of jobs from its beginning to its end. */
export class UnderWay {
  readonly #estimates: Readonly<Record<string, number>>;
  readonly #clock: () => number;
  readonly #began: number;
  /** Of each job that was heard of: what was there when it went on, and what is there now. */
  readonly #fractions = new Map<string, { from: number; to: number }>();

  /**
   * @param estimates planned seconds by job
   * @param clock milliseconds
   */
  constructor(estimates: Readonly<Record<string, number>>, clock = (): number => performance.now()) {
    this.#estimates = estimates;
    this.#clock = clock;
    this.#began = clock();
  }

  /** What a job says first it had done before, in a run that was interrupted. */
  update(job: string, fraction: number): void {
    const known = this.#fractions.get(job);
    if (known === undefined) this.#fractions.set(job, { from: fraction, to: fraction });
    else known.to = fraction;
  }

  finish(job: string): void {
    this.update(job, 1);
  }

  /** Of one job; 0 for one that has said nothing. */
  fraction(job: string): number {
    return this.#fractions.get(job)?.to ?? 0;
  }

  /** Of those that are not finished, by job. */
  get open(): Record<string, number> {
    return Object.fromEntries(
      [...this.#fractions].filter(([, { to }]) => to < 1).map(([job, { to }]) => [job, to]),
    );
  }

  /** Of all of them so far. */
  get work(): Work {
    let planned = 0;
    for (const [job, { from, to }] of this.#fractions) planned += (this.#estimates[job] ?? 0) * (to - from);
    return { planned, taken: (this.#clock() - this.#began) / 1000 };
  }
}
