// One walk over an experiment's graph, kind by kind: skips what the store has, commits each job as it ends, and says how far
// it is.
import { hostname } from 'node:os';
import { join } from 'node:path';
import { loadAddon } from '../native/addon';
import { MlitError } from '../native/errors';
import type { ExperimentPlan } from './estimate';
import type { Assignment, Executor, JobProgress } from './executor';
import { canonicalJson, JOB_KINDS, type Job, type JobKind } from './job';
import { isJudgeFailure } from './jobs/judge';
import { Pace } from './pace';
import type { Prepared } from './prepare';
import { ProgressWriter } from './store/progress';
import { explainFullDisk, type Store } from './store/store';
import { UnderWay } from './under-way';

/** What is told while an experiment runs. */
export type ExperimentEvent =
  /** How many jobs there are, and how many the store has already. */
  | { type: 'start'; total: number; finished: number }
  | {
      type: 'progress';
      job: Job;
      models: string;
      /** Of this job, 0 to 1. */
      fraction: number;
      /** Jobs' worth that is done of those under way: models that train together all move at once. */
      underWay: number;
      detail: string;
      secondsLeft: number;
    }
  | {
      type: 'job';
      job: Job;
      models: string;
      seconds: number;
      finished: number;
      total: number;
      secondsLeft: number;
    };

/** Jobs done together at most: each model that answers holds its adapter in memory. */
const MOST_TOGETHER = 16;

/** One walk over the graph. */
export class Walk {
  readonly #store: Store;
  readonly #prepared: Prepared;
  readonly #plan: ExperimentPlan;
  readonly #executor: Executor;
  readonly #say: (event: ExperimentEvent) => void;
  readonly #progress: ProgressWriter;
  /** Of the jobs done by this walk. */
  readonly #pace = new Pace();
  /** Judgements that are open, with why; and judges that are asked no more. */
  readonly #open: MlitError[] = [];
  readonly #givenUp = new Set<string>();

  constructor(
    store: Store,
    prepared: Prepared,
    plan: ExperimentPlan,
    executor: Executor,
    say: (event: ExperimentEvent) => void,
  ) {
    this.#store = store;
    this.#prepared = prepared;
    this.#plan = plan;
    this.#executor = executor;
    this.#say = say;
    this.#progress = new ProgressWriter(store.folder);
  }

  async all(signal: AbortSignal | undefined): Promise<void> {
    const jobs = [...this.#prepared.graph.jobs.values()];
    for (const { hash } of jobs) {
      signal?.throwIfAborted();
      await this.#store.verify(hash);
    }
    this.#say({ type: 'start', total: jobs.length, finished: jobs.length - this.#left().length });
    for (const kind of JOB_KINDS) {
      const todo = this.#left().filter((job) => job.description.kind === kind);
      for (const group of this.#groups(todo)) {
        signal?.throwIfAborted();
        await this.#do(group);
      }
    }
    const [first] = this.#open;
    if (first === undefined) return;
    const missing = this.#left().length;
    throw new MlitError(
      first.code,
      `${missing} judgement${missing === 1 ? ' is' : 's are'} missing; ${first.message}. What was answered is kept, and the same command goes on`,
      { fields: { ...first.fields, missing }, cause: first },
    );
  }

  #left(): Job[] {
    return [...this.#prepared.graph.jobs.values()].filter((job) => !this.#store.finished(job.hash));
  }

  #groups(jobs: readonly Job[]): Job[][] {
    const groups = new Map<string, Job[]>();
    for (const job of jobs) {
      const key = this.#executor.together(job) ?? job.hash;
      groups.set(key, [...(groups.get(key) ?? []), job]);
    }
    return [...groups.values()].flatMap((group) =>
      Array.from({ length: Math.ceil(group.length / MOST_TOGETHER) }, (_, i) =>
        group.slice(i * MOST_TOGETHER, (i + 1) * MOST_TOGETHER),
      ),
    );
  }

  async #do(jobs: readonly Job[]): Promise<void> {
    const judge = judgeOf(jobs[0]!);
    if (judge !== undefined && this.#givenUp.has(judge)) return;
    const byHash = new Map(jobs.map((job) => [job.hash, job]));
    const assignments: Assignment[] = [];
    for (const job of jobs) {
      const inputs = Object.fromEntries(job.needs.map((hash) => [hash, this.#store.jobFolder(hash)]));
      const verdicts = join(this.#store.folder, 'verdicts');
      assignments.push({ job, folder: await this.#store.begin(job.hash), inputs, verdicts });
    }
    let startedAt = new Date().toISOString();
    let current = jobs[0]!;
    const { kind } = current.description;
    const underWay = new UnderWay(this.#plan.estimates);
    const tell = (fraction: number, detail: string): void => {
      const { open } = underWay;
      this.#progress.update({
        experiment: this.#prepared.spec.name,
        job: current.hash,
        kind,
        fraction,
        underWay: open,
        detail,
      });
      this.#say({
        type: 'progress',
        job: current,
        models: this.#modelsOf(current),
        fraction,
        underWay: Object.values(open).reduce((sum, each) => sum + each, 0),
        detail,
        secondsLeft: this.#secondsLeft(kind, underWay),
      });
    };
    const onProgress = ({ hash, fraction, detail }: JobProgress): void => {
      current = byHash.get(hash)!;
      underWay.update(hash, fraction);
      tell(fraction, detail);
    };
    tell(0, '');
    try {
      for await (const { hash, seconds, summary } of this.#executor.run(assignments, { onProgress })) {
        const job = byHash.get(hash)!;
        await this.#store.commit({
          hash,
          kind: job.description.kind,
          description: job.description,
          startedAt,
          seconds,
          host: hostname(),
          threads: this.#prepared.spec.threads === 'auto' ? usableThreads() : this.#prepared.spec.threads,
          summary,
        });
        startedAt = new Date().toISOString();
        underWay.finish(hash);
        this.#finish(job, seconds, this.#secondsLeft(kind, underWay));
      }
      const { planned, taken } = underWay.work;
      this.#pace.add(kind, planned, taken);
    } catch (error) {
      const explained = await explainFullDisk(error, this.#store.folder);
      const named = explain(explained, current, this.#modelsOf(current));
      if (judge === undefined || !isJudgeFailure(named)) throw named;
      this.#open.push(named);
      // What the judge could not say of some questions it may say of others; one that refuses to be asked does so every time.
      if (named.fields.unasked === undefined) this.#givenUp.add(judge);
    }
  }

  #finish(job: Job, seconds: number, secondsLeft: number): void {
    const total = this.#prepared.graph.jobs.size;
    const finished = total - this.#left().length;
    this.#say({ type: 'job', job, models: this.#modelsOf(job), seconds, finished, total, secondsLeft });
  }

  /** By the plan, corrected by how the jobs so far have kept to it. */
  #secondsLeft(kind: JobKind, underWay: UnderWay): number {
    const now = { kind, ...underWay.work };
    return this.#left().reduce((sum, { hash, description }) => {
      const planned = (this.#plan.estimates[hash] ?? 0) * (1 - underWay.fraction(hash));
      return sum + this.#pace.expect(description.kind, planned, now);
    }, 0);
  }

  /** `pinch-10 (seed 1)`; of a job that several share, all. */
  #modelsOf(job: Job): string {
    const { models, judgements } = this.#prepared.graph;
    const judged = judgements.filter((one) => one.job === job.hash);
    if (judged.length > 0) {
      const [{ judge, languages }] = judged as [(typeof judged)[0]];
      const pairs = judged.map(
        ({ a, b, seed }) => `${a} against ${b}${this.#prepared.spec.seeds > 1 ? ` (seed ${seed})` : ''}`,
      );
      return `${pairs.join(', ')} in ${languages.join(', ')} by ${judge}`;
    }
    const named = models.filter(({ jobs }) => Object.values(jobs).includes(job.hash));
    const seeds = this.#prepared.spec.seeds > 1;
    return named.map(({ arm, seed }) => (seeds ? `${arm} (seed ${seed})` : arm)).join(', ');
  }

  close(): Promise<void> {
    return this.#progress.close();
  }
}

/** What tells the judge of a job from others. */
function judgeOf({ description }: Job): string | undefined {
  return description.kind === 'judge' ? canonicalJson(description.judge) : undefined;
}

function explain(error: unknown, job: Job, models: string): unknown {
  if (!(error instanceof MlitError)) return error;
  return new MlitError(error.code, `${job.description.kind} of ${models}: ${error.message}`, {
    fields: { ...error.fields, job: job.hash },
    cause: error,
  });
}

function usableThreads(): number {
  return loadAddon().doctor().cpu.usableProcessors;
}
