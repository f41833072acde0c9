// How far the experiments of a store are, from its files alone: it may be asked while a run writes, from another machine
// that sees the folder, or after a crash.
import { JOB_KINDS, type JobKind } from './job';
import { Pace } from './pace';
import { type ProgressRecord, readProgress } from './store/progress';
import { Store } from './store/store';

/** How far an experiment is, from a store’s files alone. */
export interface ExperimentStatus {
  name: string;
  protocol: string;
  models: number;
  jobs: Record<JobKind, { total: number; finished: number }>;
  total: number;
  finished: number;
  /** Of the finished jobs. */
  secondsTaken: number;
  /** By the plan, corrected by how finished jobs have kept to it; null where nothing is left or nothing is known. */
  secondsLeft: number | null;
  /** What a run is doing now. */
  now: (ProgressRecord & { alive: boolean }) | undefined;
}

/** @throws MlitError `STORE_INVALID` where the folder is no store */
export async function experimentStatus(storeFolder: string): Promise<ExperimentStatus[]> {
  await using store = await Store.open(storeFolder, { write: false });
  const now = await readProgress(storeFolder);
  const all: ExperimentStatus[] = [];
  for (const name of await store.experiments.list()) {
    const graph = await store.experiments.graph(name);
    if (graph === undefined) continue;
    const mine = now?.experiment === name ? now : undefined;
    const kinds = new Map<string, JobKind>();
    for (const { jobs } of graph.models) {
      for (const kind of JOB_KINDS) if (jobs[kind] !== undefined) kinds.set(jobs[kind], kind);
    }
    for (const { job } of graph.judgements ?? []) kinds.set(job, 'judge');
    const jobs = Object.fromEntries(
      JOB_KINDS.map((kind) => [kind, { total: 0, finished: 0 }]),
    ) as ExperimentStatus['jobs'];
    const pace = new Pace();
    const left: { kind: JobKind; planned: number }[] = [];
    let secondsTaken = 0;
    for (const [hash, kind] of kinds) {
      const job = store.finished(hash);
      const planned = graph.estimates[hash] ?? 0;
      jobs[kind].total += 1;
      if (job) {
        jobs[kind].finished += 1;
        secondsTaken += job.seconds;
        pace.add(kind, planned, job.seconds);
      } else {
        left.push({ kind, planned: planned * (1 - Number(mine?.underWay?.[hash] ?? 0)) });
      }
    }
    all.push({
      name,
      protocol: graph.protocol,
      models: graph.models.length,
      jobs,
      total: kinds.size,
      finished: kinds.size - left.length,
      secondsTaken,
      secondsLeft:
        left.length === 0
          ? null
          : left.reduce((sum, { kind, planned }) => sum + pace.expect(kind, planned), 0),
      now: mine,
    });
  }
  return all;
}
