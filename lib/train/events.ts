// What a run says while it goes on: plain records, one line of events.jsonl each, and a bounded ring for whoever iterates.

import type { DevAnswer } from './evaluator';

/** A step was taken. */
export interface StepEvent {
  type: 'step';
  /** From 1. */
  step: number;
  /** Mean nats a unit of weight over the whole step. */
  loss: number;
  learningRate: number;
  /** Global L2 before clipping. */
  gradNorm: number;
  /** Real tokens of the step: prompt, response and BOS. */
  tokens: number;
  /** Targets of weight other than 0. */
  supervisedTokens: number;
  /** Wall time of this step alone; of runs that are trained together, this one's share of the time. */
  seconds: number;
  tokensPerSecond: number;
  /** Processes that shared the step; only where there were several. */
  ranks?: number;
}

/** The dev set was scored. */
export interface EvalEvent {
  type: 'eval';
  step: number;
  /** Mean nats a supervised token of the dev set. */
  loss: number;
  perplexity: number;
  /** By language. */
  lossByLanguage: Record<string, number>;
  /** ROUGE-L of greedy responses, 0 to 100, the mean over languages; only where the adapter is chosen by it. */
  rougeL?: number;
  rougeLByLanguage?: Record<string, number>;
  /** Some of those responses, of the same records each time. */
  answers?: readonly DevAnswer[];
  /** True where this is the best so far by what the adapter is chosen by. */
  best: boolean;
  /** Dev scores since the best; only where the run has patience. */
  sinceBest?: number;
  seconds: number;
}

/** A checkpoint was written. */
export interface CheckpointEvent {
  type: 'checkpoint';
  step: number;
  path: string;
}

/** The run has ended. */
export interface EndEvent {
  type: 'end';
  step: number;
  reason: 'finished' | 'stopped';
  /** True where patience ended the run before its last step. */
  early?: true;
  /** The PEFT folder; only when finished. */
  adapter?: string;
  /** The tuned model's folder, of full tuning; only when finished. */
  model?: string;
}

/** A line of events.jsonl. */
export type TrainEvent = StepEvent | EvalEvent | CheckpointEvent | EndEvent;

const RING = 4096;

/** Keeps the last {@link RING} events; each iterator sees them from the oldest kept on and then waits. */
export class EventStream<Event = TrainEvent> {
  readonly #ring: Event[] = [];
  #first = 0;
  #closed = false;
  #error: unknown;
  #wake: (() => void)[] = [];

  push(event: Event): void {
    this.#ring.push(event);
    if (this.#ring.length > RING) {
      this.#ring.shift();
      this.#first++;
    }
    this.#notify();
  }

  /** Ends every iterator; with an error they reject. */
  close(error?: unknown): void {
    this.#closed = true;
    this.#error = error;
    this.#notify();
  }

  #notify(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }

  async *iterate(onLeave: () => void): AsyncGenerator<Event, void, void> {
    let next = this.#first;
    try {
      for (;;) {
        next = Math.max(next, this.#first);
        const event = this.#ring[next - this.#first];
        if (event) {
          next++;
          yield event;
        } else if (this.#closed) {
          if (this.#error !== undefined) throw this.#error;
          return;
        } else {
          await new Promise<void>((resolve) => this.#wake.push(resolve));
        }
      }
    } finally {
      if (!this.#closed) onLeave();
    }
  }
}
