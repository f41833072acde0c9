// progress.json: what a run is doing now, for whoever looks from outside. It is no truth about what is finished, and a run
// goes on where it can't be written.
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../../native/files';
import { type LockOwner, mayLive, thisProcess } from '../../native/folder-lock';
import type { JobKind } from '../job';

const INTERVAL_MS = 1000;

/** What the runner says. */
export interface ProgressNow {
  experiment: string;
  /** Hash. */
  job: string;
  kind: JobKind;
  /** Of this job, 0 to 1. */
  fraction: number;
  /** Of every job that is being done together with it, itself included, by hash. */
  underWay: Readonly<Record<string, number>>;
  detail: string;
}

/** What the process that runs an experiment does now. */
export interface ProgressRecord extends ProgressNow, LockOwner {
  /** When the run began, ISO 8601. */
  startedAt: string;
  updatedAt: string;
}

/** Writes at most once a second, always the latest. */
export class ProgressWriter {
  readonly #file: string;
  readonly #startedAt = new Date().toISOString();
  #next: ProgressNow | undefined;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #last = Number.NEGATIVE_INFINITY;

  constructor(folder: string) {
    this.#file = join(folder, 'progress.json');
  }

  update(now: ProgressNow): void {
    this.#next = now;
    if (this.#timer !== undefined) return;
    const wait = Math.max(0, this.#last + INTERVAL_MS - performance.now());
    this.#timer = setTimeout(() => this.#write(), wait);
    this.#timer.unref();
  }

  #write(): void {
    this.#timer = undefined;
    this.#last = performance.now();
    const now = this.#next;
    if (now === undefined) return;
    this.#next = undefined;
    const record: ProgressRecord = {
      ...thisProcess(),
      startedAt: this.#startedAt,
      updatedAt: new Date().toISOString(),
      ...now,
    };
    this.#writing = this.#writing
      .then(() => writeFileAtomic(this.#file, `${JSON.stringify(record)}\n`))
      .catch(() => undefined);
  }

  /** Removes the file: nothing goes on any longer. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#next = undefined;
    await this.#writing;
    await rm(this.#file, { force: true });
  }
}

/** What was written last, and whether its writer may still be at work; undefined where no run has written or it has ended. */
export async function readProgress(
  folder: string,
): Promise<(ProgressRecord & { alive: boolean }) | undefined> {
  const text = await readFile(join(folder, 'progress.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    const record = JSON.parse(text) as ProgressRecord;
    return { ...record, alive: mayLive(record) };
  } catch {
    return undefined;
  }
}
