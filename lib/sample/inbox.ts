// Between the loop that steps for everybody and one caller who reads: what has happened to the caller's requests and was
// not taken yet.

/** Events in their order; ends when it is told to, or fails. */
export class Inbox<Event> {
  #events: Event[] = [];
  #failure: { reason: unknown } | undefined;
  #wake: (() => void) | undefined;

  push(event: Event): void {
    this.#events.push(event);
    this.#wake?.();
  }

  /** What the reader is to be thrown; the first reason stays. */
  fail(reason: unknown): void {
    this.#failure ??= { reason };
    this.#wake?.();
  }

  /** All events that have come since the last time, at least one. */
  async take(): Promise<Event[]> {
    if (this.#events.length === 0 && !this.#failure) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    if (this.#failure) throw this.#failure.reason;
    const events = this.#events;
    this.#events = [];
    return events;
  }
}
