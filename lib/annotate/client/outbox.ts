// Labels on their way to the server, one after the other: a person goes on while they are sent, and none is lost while the
// server can't be reached.
import type { Label, LabelReply, LabelRequest, Refusal, Session } from '../protocol';

/** Where a label went. */
export interface OutboxEvents {
  /** On the server's disk. */
  onSaved(request: LabelRequest): void;
  /** Another window had answered: what holds is `label`, and nothing was written. */
  onConflict(request: LabelRequest, label: Label | null): void;
  /** Not taken, and trying again would not help. */
  onRefused(request: LabelRequest, message: string): void;
  /** So many wait while the server does not answer; 0: it does again. */
  onWaiting(count: number): void;
}

/** Longest pause between two tries, in milliseconds. */
const LONGEST_PAUSE = 10_000;

export class Outbox {
  readonly #waiting: LabelRequest[] = [];
  readonly #events: OutboxEvents;
  readonly #renew: () => Promise<Session | undefined>;
  #token: string;
  #sending = false;

  /** @param renew fetches the session again; undefined where the server serves another task now */
  constructor(token: string, renew: () => Promise<Session | undefined>, events: OutboxEvents) {
    this.#token = token;
    this.#renew = renew;
    this.#events = events;
  }

  /** Labels that are not on the server's disk yet. */
  get size(): number {
    return this.#waiting.length;
  }

  post(request: LabelRequest): void {
    this.#waiting.push(request);
    if (!this.#sending) void this.#send();
  }

  async #send(): Promise<void> {
    this.#sending = true;
    let pause = 500;
    while (this.#waiting.length > 0) {
      const request = this.#waiting[0]!;
      const settled = await this.#try(request);
      if (settled) {
        this.#waiting.shift();
        if (pause > 500) this.#events.onWaiting(0);
        pause = 500;
        settled();
        continue;
      }
      this.#events.onWaiting(this.#waiting.length);
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause = Math.min(2 * pause, LONGEST_PAUSE);
    }
    this.#sending = false;
  }

  /** What to tell of a request that is settled; undefined where it has to be tried again. */
  async #try(request: LabelRequest): Promise<(() => void) | undefined> {
    try {
      let reply = await this.#fetch(request);
      if (reply.status === 403) {
        // The server was started again, and has another token.
        const session = await this.#renew();
        if (session === undefined)
          return () =>
            this.#events.onRefused(request, 'This address serves another task now: reload the page.');
        this.#token = session.token;
        reply = await this.#fetch(request);
      }
      if (reply.status === 200) return () => this.#events.onSaved(request);
      if (reply.status === 409) {
        const { label } = (await reply.json()) as LabelReply;
        return () => this.#events.onConflict(request, label);
      }
      if (reply.status >= 500) return undefined;
      const { error } = (await reply.json()) as Refusal;
      return () => this.#events.onRefused(request, error.message);
    } catch {
      return undefined;
    }
  }

  #fetch(request: LabelRequest): Promise<Response> {
    return fetch('api/label', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-mlit-token': this.#token },
      body: JSON.stringify(request),
      // A page that is closed just now still sends it.
      keepalive: true,
    });
  }
}
