// Who does a job. There is one who works on this machine; another may hand the same descriptions to a cluster's scheduler.
import type { Job } from './job';

/** A job with the folders on this machine that it reads from and writes to. */
export interface Assignment {
  job: Job;
  /** Where its outputs go: empty, or with what an interrupted attempt has left. */
  folder: string;
  /** Folders of the finished jobs that it needs, by hash. */
  inputs: Readonly<Record<string, string>>;
  /** Folder of what judges said before, in any experiment of the store. */
  verdicts: string;
}

export interface JobOutcome {
  hash: string;
  /** Time it took, with what an interrupted attempt had done of it; of jobs done together, its share. */
  seconds: number;
  /** Small facts for people and for the store. */
  summary: Record<string, unknown>;
}

export interface JobProgress {
  hash: string;
  /** 0 to 1. */
  fraction: number;
  /** `step 12/60  loss 1.23  340 tokens/s` */
  detail: string;
}

export interface Executor extends AsyncDisposable {
  /** Jobs with one key may be given together; null: one at a time. */
  together(job: Job): string | null;
  /** Does the jobs and yields each as soon as its outputs are complete. Ends with the first failure. */
  run(
    assignments: readonly Assignment[],
    options: { onProgress?: (progress: JobProgress) => void },
  ): AsyncIterable<JobOutcome>;
}
