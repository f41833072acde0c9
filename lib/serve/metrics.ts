// What a server tells of itself to whoever watches it, in Prometheus' text form.
import type { Counter, Histogram, Registry } from 'prom-client';

/** What is asked when the numbers are read. */
export interface Gauges {
  /** Answers without a token yet, and with one. */
  waiting: () => number;
  running: () => number;
  /** Prompt tokens since the start: computed, and found computed. */
  promptTokens: () => { computed: number; shared: number };
}

const SECONDS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300];
const RATES = [1, 3, 10, 30, 100, 300, 1000];

export class Metrics {
  readonly #registry: Registry;
  readonly #requests: Counter<'endpoint' | 'status'>;
  readonly #prompt: Counter<'model'>;
  readonly #generated: Counter<'model'>;
  readonly #first: Histogram<'model'>;
  readonly #whole: Histogram<'model'>;
  readonly #rate: Histogram<'model'>;

  /** @param prometheus imported by whoever starts a server, so that nobody else waits for it */
  constructor(
    { waiting, running, promptTokens }: Gauges,
    { Counter, Gauge, Histogram, Registry }: typeof import('prom-client'),
  ) {
    this.#registry = new Registry();
    const registers = [this.#registry];
    const gauge = (name: string, help: string, read: () => number): void => {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    };
    gauge(
      'mlit_answers_waiting',
      'Answers without a token yet: queued, or their prompt being computed',
      waiting,
    );
    gauge('mlit_answers_running', 'Answers with a token, and more to come', running);
    gauge(
      'mlit_prompt_tokens_computed',
      'Prompt tokens computed since the start',
      () => promptTokens().computed,
    );
    gauge(
      'mlit_prompt_tokens_shared',
      'Prompt tokens since the start whose keys and values were there already',
      () => promptTokens().shared,
    );
    gauge('process_resident_memory_bytes', 'Resident memory size in bytes', () => process.memoryUsage.rss());
    const model = ['model'] as const;
    this.#requests = new Counter({
      name: 'mlit_requests_total',
      help: 'Requests by endpoint and status; 499 where the client went away',
      labelNames: ['endpoint', 'status'],
      registers,
    });
    this.#prompt = new Counter({
      name: 'mlit_prompt_tokens_total',
      help: 'Tokens of prompts asked',
      labelNames: model,
      registers,
    });
    this.#generated = new Counter({
      name: 'mlit_generated_tokens_total',
      help: 'Tokens drawn',
      labelNames: model,
      registers,
    });
    const histogram = (name: string, help: string, buckets: number[]): Histogram<'model'> =>
      new Histogram({ name, help, labelNames: model, buckets, registers });
    this.#first = histogram(
      'mlit_time_to_first_token_seconds',
      'From a request’s arrival to the first token of an answer',
      SECONDS,
    );
    this.#whole = histogram('mlit_answer_seconds', 'From a request’s arrival to an answer’s end', SECONDS);
    this.#rate = histogram(
      'mlit_answer_tokens_per_second',
      'Of one answer, from its first token to its last',
      RATES,
    );
  }

  request(endpoint: string, status: number): void {
    this.#requests.inc({ endpoint, status: String(status) });
  }

  prompts(model: string, tokens: number): void {
    this.#prompt.inc({ model }, tokens);
  }

  firstToken(model: string, seconds: number): void {
    this.#first.observe({ model }, seconds);
  }

  /** @param decoding seconds from the first token to the last */
  answer(
    model: string,
    { tokens, seconds, decoding }: { tokens: number; seconds: number; decoding: number },
  ): void {
    this.#generated.inc({ model }, tokens);
    this.#whole.observe({ model }, seconds);
    if (tokens > 1 && decoding > 0) this.#rate.observe({ model }, (tokens - 1) / decoding);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
