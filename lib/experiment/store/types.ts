// What a store keeps of a finished job and of an experiment: plain JSON, readable without this library.
import type { GraphJudgement, GraphModel } from '../graph';
import type { JobKind } from '../job';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** A file of a finished job. */
export interface OutputFile {
  bytes: number;
  sha256: string;
}

/** A line of jobs.jsonl. */
export interface FinishedJob {
  version: 1;
  hash: string;
  kind: JobKind;
  /** What the hash is made of. */
  description: object;
  /** By path inside the job's folder, with `/`. */
  outputs: Readonly<Record<string, OutputFile>>;
  /** ISO 8601. */
  startedAt: string;
  seconds: number;
  host: string;
  threads: number;
  summary: Readonly<Record<string, unknown>>;
}

/** experiments/NAME/graph.json. */
export interface ExperimentGraph {
  version: 1;
  experiment: string;
  protocol: string;
  spec: object;
  arms: readonly {
    id: string;
    label: string;
    at: Readonly<Record<string, string | number>>;
    evaluate: readonly string[];
  }[];
  seeds: readonly number[];
  models: readonly GraphModel[];
  /** Absent where nobody judges, and in graphs that were written before anybody could. */
  judgements?: readonly GraphJudgement[];
  /** Seconds that each job was expected to take, by hash. */
  estimates: Readonly<Record<string, number>>;
}
