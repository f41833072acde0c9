// What an experiment's trainings have come to so far, from the files that they append to: asked again and again while a run goes
// on, it reads only what is new.
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isMlitError } from '../native/errors';
import type { DevAnswer } from '../train/evaluator';
import type { EvalEvent, StepEvent, TrainEvent } from '../train/events';
import { readRunRecord } from '../train/run-directory';
import { Store } from './store/store';

/** One training of an experiment. */
export interface TrainingView {
  /** Hash of its job. */
  job: string;
  /** `pinch-10 (seed 1)`; of a job that several models share, all. */
  models: readonly string[];
  state: 'waiting' | 'begun' | 'finished';
  /** The last step. */
  step: number;
  /** Steps in all; undefined before it has begun. */
  steps: number | undefined;
  /** Loss by step, at most 120 of them, each the mean of its stretch. */
  losses: readonly { step: number; loss: number }[];
  /** Of the dev set. */
  dev: readonly { step: number; loss: number }[];
  /** Mean of the last ten steps; undefined before the first. */
  loss: number | undefined;
  tokensPerSecond: number | undefined;
  /** What the model said to some dev records at the last of their scores; empty where the adapter is not chosen by answers. */
  answers: readonly DevAnswer[];
}

/** Points of a curve that are kept for a picture. */
export const MOST_POINTS = 120;
const LAST = 10;

/** Follows the trainings of one experiment. */
export class TrainingFollower {
  readonly #store: string;
  readonly #name: string;
  readonly #tails = new Map<string, EventsTail>();
  readonly #steps = new Map<string, number>();

  constructor(storeFolder: string, name: string) {
    this.#store = storeFolder;
    this.#name = name;
  }

  /**
   * Every training, in the order of the experiment's models.
   *
   * @throws MlitError `STORE_INVALID` where the folder is no store
   */
  async read(): Promise<TrainingView[]> {
    await using store = await Store.open(this.#store, { write: false });
    const graph = await store.experiments.graph(this.#name);
    const models = new Map<string, string[]>();
    for (const { arm, seed, jobs } of graph?.models ?? []) {
      if (jobs.train === undefined) continue;
      const label = (graph?.seeds.length ?? 0) > 1 ? `${arm} (seed ${seed})` : arm;
      models.set(jobs.train, [...(models.get(jobs.train) ?? []), label]);
    }
    const views: TrainingView[] = [];
    for (const [job, labels] of models) {
      const finished = store.finished(job) !== undefined;
      const folder = join(this.#store, 'jobs', finished ? job : `${job}.part`, 'run');
      const tail = this.#tails.get(job) ?? new EventsTail();
      this.#tails.set(job, tail);
      await tail.read(join(folder, 'events.jsonl'));
      const steps = await this.#stepsOf(job, folder);
      const recent = tail.steps.slice(-LAST);
      views.push({
        job,
        models: labels,
        state: finished ? 'finished' : tail.steps.length > 0 || steps !== undefined ? 'begun' : 'waiting',
        step: recent.at(-1)?.step ?? 0,
        steps,
        losses: thinned(tail.steps),
        dev: tail.evals,
        loss: recent.length === 0 ? undefined : mean(recent.map(({ loss }) => loss)),
        tokensPerSecond:
          recent.length === 0 ? undefined : mean(recent.map(({ tokensPerSecond }) => tokensPerSecond)),
        answers: tail.answers,
      });
    }
    return views;
  }

  /** A run that has not written its record yet has none. */
  async #stepsOf(job: string, folder: string): Promise<number | undefined> {
    if (!this.#steps.has(job)) {
      try {
        this.#steps.set(job, (await readRunRecord(folder)).chosen.totalSteps);
      } catch (error) {
        if (!isMlitError(error)) throw error;
      }
    }
    return this.#steps.get(job);
  }
}

type Step = Pick<StepEvent, 'step' | 'loss' | 'tokensPerSecond'>;

/** The steps and dev scores of an events.jsonl that grows. A resumed run drops what it says again: then it is read anew. */
class EventsTail {
  steps: Step[] = [];
  evals: Pick<EvalEvent, 'step' | 'loss'>[] = [];
  answers: readonly DevAnswer[] = [];
  #read = 0;
  /** Which file it was. */
  #file = '';

  async read(path: string): Promise<void> {
    const info = await stat(path).catch(() => undefined);
    // A file that was written anew is another one, even where it has become longer meanwhile.
    const file = info === undefined ? '' : `${info.dev} ${info.ino}`;
    if (file !== this.#file || (info?.size ?? 0) < this.#read) {
      this.steps = [];
      this.evals = [];
      this.answers = [];
      this.#read = 0;
      this.#file = file;
    }
    if (info === undefined || info.size === this.#read) return;
    const handle = await open(path, 'r').catch(() => undefined);
    if (handle === undefined) return;
    try {
      const bytes = Buffer.alloc(info.size - this.#read);
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, this.#read);
      const end = bytes.lastIndexOf(10, bytesRead - 1) + 1;
      this.#read += end;
      for (const line of bytes.toString('utf8', 0, end).split('\n')) this.#take(line);
    } finally {
      await handle.close();
    }
  }

  #take(line: string): void {
    let event: TrainEvent;
    try {
      event = JSON.parse(line) as TrainEvent;
    } catch {
      return; // the end of the file, or blocks that a crash left unfilled
    }
    if (event?.type === 'step') {
      const { step, loss, tokensPerSecond } = event;
      this.steps.push({ step, loss, tokensPerSecond });
    } else if (event?.type === 'eval') {
      this.evals.push({ step: event.step, loss: event.loss });
      this.answers = event.answers ?? this.answers;
    }
  }
}

/** Means over equal stretches of steps, where there are more steps than points. */
function thinned(steps: readonly Step[]): { step: number; loss: number }[] {
  const each = Math.ceil(steps.length / MOST_POINTS);
  const points: { step: number; loss: number }[] = [];
  for (let from = 0; from < steps.length; from += each) {
    const stretch = steps.slice(from, from + each);
    points.push({ step: stretch.at(-1)!.step, loss: mean(stretch.map(({ loss }) => loss)) });
  }
  return points;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
