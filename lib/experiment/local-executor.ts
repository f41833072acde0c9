// Does jobs in this process, on one resident base.
import { performance } from 'node:perf_hooks';
import type { Assignment, Executor, JobOutcome, JobProgress } from './executor';
import { refuseChangedFiles } from './inputs';
import type { Job } from './job';
import { runMeasure } from './jobs/measure';
import { runMix } from './jobs/mix';
import { runSamples, sampleGroup } from './jobs/sample';
import { runScore } from './jobs/score';
import { runTrain } from './jobs/train';
import { Workshop, type WorkshopOptions } from './jobs/workshop';

export class LocalExecutor implements Executor {
  readonly workshop: Workshop;

  constructor(options: WorkshopOptions) {
    this.workshop = new Workshop(options);
  }

  together(job: Job): string | null {
    return job.description.kind === 'sample' ? sampleGroup(job) : null;
  }

  async *run(
    assignments: readonly Assignment[],
    options: { onProgress?: (progress: JobProgress) => void } = {},
  ): AsyncGenerator<JobOutcome> {
    const say = options.onProgress ?? (() => undefined);
    for (const { job } of assignments) await refuseChangedFiles(job);
    if (assignments[0]?.job.description.kind === 'sample') {
      yield* runSamples(assignments, this.workshop, say);
      return;
    }
    for (const work of assignments) {
      this.workshop.signal?.throwIfAborted();
      const { hash } = work.job;
      const started = performance.now();
      const summary = await this.#one(work, (progress) => say({ hash, ...progress }));
      const { earlierSeconds = 0 } = summary as { earlierSeconds?: number };
      yield { hash, seconds: earlierSeconds + (performance.now() - started) / 1000, summary };
    }
  }

  #one(
    work: Assignment,
    onProgress: (progress: Omit<JobProgress, 'hash'>) => void,
  ): Promise<Record<string, unknown>> {
    switch (work.job.description.kind) {
      case 'mix':
        return runMix(work, this.workshop);
      case 'train':
        return runTrain(work, this.workshop, onProgress);
      case 'score':
        return runScore(work, this.workshop, onProgress);
      case 'measure':
        return runMeasure(work, this.workshop);
      default:
        throw new RangeError(`executor: jobs of kind '${work.job.description.kind}' are not done one by one`);
    }
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.workshop[Symbol.asyncDispose]();
  }
}
