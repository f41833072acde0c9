// A run under observation: what its JavaScript does and when, beside what the model's backend notes. Both tell time by the same clock, so
// that they go into one table and one trace.
import type { Model } from '../model/model';
import { loadAddon } from '../native/addon';
import { writeFileAtomic } from '../native/files';
import type { Compute } from '../native/types';
import type { StepEvent } from './events';
import { type ProfileRow, stepRows } from './profile-rows';
import { type HostSpan, traceText } from './trace';

/** Where the time of a run's steps went. */
export interface TrainProfile {
  /** `cpu` or `cuda:N`. */
  device: string;
  compute: Compute;
  threads: number;
  steps: number;
  tokens: number;
  /** Wall time of the steps, which the rows add up to. */
  seconds: number;
  /** GFLOP/s of large products here, measured when the run had ended; on a card nothing is measured. */
  rates: Partial<Record<Compute, number>>;
  rows: ProfileRow[];
  /** What went on beside the steps, or between them: packing, dev scores, checkpoints. */
  beside: { name: string; calls: number; seconds: number }[];
  /** The trace's file, where one was asked for. */
  trace: string | undefined;
}

/** What a run's profile is to be. */
export interface ProfileOptions {
  /** A file for a trace that opens in Perfetto (ui.perfetto.dev). Default: none. */
  trace?: string | undefined;
}

/** Spans of JavaScript that are kept; totals go on. */
const MOST_SPANS = 20_000;

/** Nanoseconds of the clock that native code reads, too. */
const now = (): number => Number(process.hrtime.bigint());

/** Times a run's JavaScript and asks its model for the rest. */
export class Profiler {
  readonly #model: Model;
  readonly #machine: { isa: string; threads: number };
  readonly #trace: string | undefined;
  readonly #spans: HostSpan[] = [];
  readonly #totals = new Map<string, { calls: number; seconds: number }>();
  #steps = 0;
  #tokens = 0;
  #seconds = 0;

  constructor(model: Model, machine: { isa: string; threads: number }, { trace }: ProfileOptions) {
    this.#model = model;
    this.#machine = machine;
    this.#trace = trace;
  }

  /** Before the first step: a file that can't be written is told now, and what was done so far forgotten. */
  async begin(): Promise<void> {
    if (this.#trace !== undefined) await writeFileAtomic(this.#trace, traceText([], []));
    await this.#model.native.takeProfile();
  }

  /** Times what may be a promise. */
  time<T>(name: string, work: () => T): T {
    const start = now();
    const end = (): void => this.#note(name, start);
    const value = work();
    if (value instanceof Promise) return value.finally(end) as T;
    end();
    return value;
  }

  /** Times a step; its event says how long it took. */
  async step(work: () => Promise<StepEvent>): Promise<StepEvent> {
    const start = now();
    const event = await work();
    this.#steps++;
    this.#tokens += event.tokens;
    this.#seconds += event.seconds;
    this.#note(`step ${event.step}`, start, { tokens: event.tokens, loss: event.loss });
    return event;
  }

  #note(name: string, start: number, step?: HostSpan['args']): void {
    const end = now();
    if (this.#spans.length < MOST_SPANS) this.#spans.push({ name, start, end, ...(step && { args: step }) });
    if (step) return;
    const total = this.#totals.get(name) ?? { calls: 0, seconds: 0 };
    this.#totals.set(name, { calls: total.calls + 1, seconds: total.seconds + (end - start) * 1e-9 });
  }

  /** When the run has ended: measures the machine, writes the trace. */
  async finish(): Promise<TrainProfile> {
    const native = await this.#model.native.takeProfile();
    const { device, compute } = this.#model;
    const { isa, threads } = this.#machine;
    const rates: TrainProfile['rates'] = {};
    for (const each of new Set<Compute>(device === 'cpu' ? ['f32', compute] : []))
      rates[each] = await loadAddon().measureRate(device, isa, threads, each);
    if (this.#trace !== undefined) await writeFileAtomic(this.#trace, traceText(this.#spans, native.spans));
    const scored = native.phases.filter(({ name }) => name === 'score' || name === 'sampling');
    return {
      device,
      compute,
      threads,
      steps: this.#steps,
      tokens: this.#tokens,
      seconds: this.#seconds,
      rates,
      rows: stepRows(native, this.#seconds, rates),
      beside: [
        ...[...this.#totals].map(([name, total]) => ({ name, ...total })),
        ...scored.map(({ name, calls, seconds }) => ({
          name: name === 'score' ? 'dev scores, computing' : 'dev responses, computing',
          calls,
          seconds,
        })),
      ],
      trace: this.#trace,
    };
  }
}
