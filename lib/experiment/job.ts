// A job is what it is made of: its name is the hash of a description that holds hashes and options, never a path, a date or
// a machine. So nothing is done twice, whichever experiment asks for it, and a description can be sent elsewhere.
import { createHash } from 'node:crypto';
import type { MixturePlan } from '../data/mixture';
import type { JudgeProtocol } from '../eval/verdicts';
import type { ExperimentSpec } from './spec';

/** Raised when a kind of job computes something else from the same inputs. */
const VERSIONS = { mix: 1, train: 1, sample: 1, score: 1, measure: 2, judge: 1 } as const;

/** What a job does. */
export type JobKind = keyof typeof VERSIONS;
export const JOB_KINDS = Object.keys(VERSIONS) as JobKind[];

/** What both training and evaluation put around a record's text. */
export interface Rendering {
  /** `auto`, a built-in's name, or the SHA-256 of a template file. */
  template: string;
  system: string | null;
}

/** Which records of which files models are evaluated on. */
export interface EvaluationKey {
  /** SHA-256 of each file, with its language where that was given, its name where its records have no ids; sorted. */
  files: readonly string[];
  field: Readonly<Record<string, string>>;
  /** Sorted. */
  languages: readonly string[];
  /** How many items, chosen by `seed`; null = all. */
  items: number | null;
  seed: number;
}

export interface MixDescription extends MixturePlan {
  kind: 'mix';
  /** SHA-256 of each file, with its language where that was given, its name where its records have no ids; sorted. */
  data: readonly string[];
  field: Readonly<Record<string, string>>;
}

export interface TrainDescription extends Rendering {
  kind: 'train';
  mix: string;
  model: string;
  baseDtype: string;
  /** What else computes other bits than the processor; absent on it. */
  device?: 'cuda';
  /** Likewise what is not float32. */
  compute?: 'int8';
  options: ExperimentSpec['train'];
  seed: number;
}

interface Evaluated extends Rendering {
  model: string;
  baseDtype: string;
  device?: 'cuda';
  compute?: 'int8';
  /** Hash of the train job whose adapter answers; null = the base model as it is. */
  train: string | null;
  evaluation: EvaluationKey;
}

export interface SampleDescription extends Evaluated {
  kind: 'sample';
  options: ExperimentSpec['sample'];
  seed: number;
}

export interface ScoreDescription extends Evaluated {
  kind: 'score';
  maxLength: number;
}

export interface MeasureDescription {
  kind: 'measure';
  sample: string;
  evaluation: EvaluationKey;
}

/** A judge by all that its verdicts depend on. */
export type JudgeKey =
  | {
      by: 'openai';
      /** As verdicts name it. */
      name: string;
      model: string;
      url: string;
      protocol: JudgeProtocol;
      /** Version of the wording. */
      wording: string;
      maxNewTokens: number;
    }
  | {
      by: 'local';
      name: string;
      /** SHA-256. */
      model: string;
      protocol: JudgeProtocol;
      wording: string;
      baseDtype: string;
      device?: 'cuda';
      compute?: 'int8';
    };

export interface JudgeDescription {
  kind: 'judge';
  judge: JudgeKey;
  /** Hashes of the sample jobs whose answers are compared; verdicts call the models by them. */
  a: string;
  b: string;
  evaluation: EvaluationKey;
  /** Languages of the prompts that are judged; sorted. */
  languages: readonly string[];
}

export type JobDescription =
  | MixDescription
  | TrainDescription
  | SampleDescription
  | ScoreDescription
  | MeasureDescription
  | JudgeDescription;

/** A job to be done; everything that another machine would need to do it. */
export interface Job {
  hash: string;
  description: JobDescription;
  /** Jobs whose outputs it reads. */
  needs: readonly string[];
  /** Where the files named in the description are on this machine: SHA-256 → path. */
  files: Readonly<Record<string, string>>;
}

/** JSON with sorted keys and without blanks: equal values are equal texts. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, entry: unknown) => {
    if (entry === null || typeof entry !== 'object' || Array.isArray(entry)) return entry;
    return Object.fromEntries(Object.entries(entry).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** SHA-256 of the canonical description and of the version of what its kind computes, the first 32 hexadecimal digits. */
export function jobHash(description: JobDescription): string {
  return createHash('sha256')
    .update(`${description.kind} ${VERSIONS[description.kind]} ${canonicalJson(description)}`)
    .digest('hex')
    .slice(0, 32);
}
