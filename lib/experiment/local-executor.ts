// Does jobs in this process, on one resident base.
import { performance } from 'node:perf_hooks';
import type { Assignment, Executor, JobOutcome, JobProgress } from './executor';
import { refuseChangedFiles } from './inputs';
import type { Job } from './job';
import { runJudge } from './jobs/judge';
import { runMeasure } from './jobs/measure';
import { runMix } from './jobs/mix';
import { runSamples, sampleGroup } from './jobs/sample';
import { runScore } from './jobs/score';
import { runTrains, trainGroup } from './jobs/train';
import { Workshop, type WorkshopOptions } from './jobs/workshop';

export class LocalExecutor implements Executor {
  readonly workshop: Workshop;

  constructor(options: WorkshopOptions) {
    this.workshop = new Workshop(options);
  }

  together(job: Job): string | null {
    const { kind } = job.description;
    if (kind === 'train') return trainGroup(job);
    return kind === 'sample' ? sampleGroup(job) : null;
  }

  async *run(
    assignments: readonly Assignment[],
    options: { onProgress?: (progress: JobProgress) => void } = {},
  ): AsyncGenerator<JobOutcome> {
    const say = options.onProgress ?? (() => undefined);
    for (const { job } of assignments) await refuseChangedFiles(job);
    const kind = assignments[0]?.job.description.kind;
    if (kind === 'sample' || kind === 'train') {
      yield* kind === 'sample'
        ? runSamples(assignments, this.workshop, say)
        : runTrains(assignments, this.workshop, say);
      return;
    }
    for (const work of assignments) {
      this.workshop.signal?.throwIfAborted();
      const { hash } = work.job;
      const started = performance.now();
      const summary = await this.#one(work, (progress) => say({ hash, ...progress }));
      yield { hash, seconds: (performance.now() - started) / 1000, summary };
    }
  }

  #one(
    work: Assignment,
    onProgress: (progress: Omit<JobProgress, 'hash'>) => void,
  ): Promise<Record<string, unknown>> {
    switch (work.job.description.kind) {
      case 'mix':
        return runMix(work, this.workshop);
      case 'score':
        return runScore(work, this.workshop, onProgress);
      case 'measure':
        return runMeasure(work, this.workshop);
      case 'judge':
        return runJudge(work, this.workshop, onProgress);
      default:
        throw new RangeError(`executor: jobs of kind '${work.job.description.kind}' are not done one by one`);
    }
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.workshop[Symbol.asyncDispose]();
  }
}
