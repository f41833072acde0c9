// Stop texts may be cut anywhere by token borders: what could still become one is held back until it is decided.

/** Passes text through until the first of the stop texts appears; that text and what follows are dropped. */
export class StopScanner {
  readonly #stops: readonly string[];
  #held = '';
  #stopped = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== '');
  }

  /** True once a stop text has been seen. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** The text that is certainly part of the response. */
  push(text: string): string {
    if (this.#stopped) return '';
    const all = this.#held + text;
    let end = -1;
    for (const stop of this.#stops) {
      const at = all.indexOf(stop);
      if (at >= 0 && (end < 0 || at < end)) end = at;
    }
    if (end >= 0) {
      this.#stopped = true;
      this.#held = '';
      return all.slice(0, end);
    }
    const held = this.#longestPrefixAtEnd(all);
    this.#held = all.slice(all.length - held);
    return all.slice(0, all.length - held);
  }

  /** What was held back and did not become a stop text. */
  flush(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }

  #longestPrefixAtEnd(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
        if (text.endsWith(stop.slice(0, length))) {
          longest = length;
          break;
        }
      }
    }
    return longest;
  }
}
