// From arms and seeds to jobs: mix → train → sample → measure, and score beside; judge over two sample jobs. Jobs that come out equal
// are one job.
import type { MixturePlan } from '../data/mixture';
import type { MixtureSpec } from '../data/mixture/types';
import { hashOf } from './inputs';
import {
  type EvaluationKey,
  type Job,
  type JobDescription,
  type JobKind,
  type JudgeKey,
  jobHash,
  type Rendering,
} from './job';
import { findMonolingual } from './protocols/shared-arms';
import type { ExperimentSpec } from './spec';
import type { Arm } from './types';

/** What the graph has to know of the files, found out before. */
export interface GraphInputs {
  /** SHA-256 → path, for data, evaluation, model and template. */
  files: Readonly<Record<string, string>>;
  /** Keys of the files ({@link hashData}). */
  data: readonly string[];
  evaluation: readonly string[];
  model: string;
  /** As resolved: `cpu` or `cuda:N`. */
  device: string;
  rendering: Rendering;
  /** Sorted. */
  evalLanguages: readonly string[];
  /** Prompts with a reference; 0: no `score` jobs. */
  references: number;
  /** Who judges, with a local judge's model by its hash. */
  judges?: readonly JudgeKey[];
  /** What an arm's mixture comes to with a seed. */
  plan: (spec: MixtureSpec, seed: number) => MixturePlan;
}

/** One model: an arm with a seed, and the jobs that make and judge it. */
export interface GraphModel {
  arm: string;
  seed: number;
  jobs: Partial<Record<JobKind, string>>;
}

/** One model compared with another by a judge. */
export interface GraphJudgement {
  /** As verdicts name it. */
  judge: string;
  protocol: string;
  /** Arms, of which A's points are counted, and the repetition that both are of. */
  a: string;
  b: string;
  seed: number;
  /** Of the prompts. */
  languages: readonly string[];
  /** Hash. */
  job: string;
}

export interface JobGraph {
  /** By hash, in an order in which every job comes after what it needs: all of a kind together. */
  jobs: ReadonlyMap<string, Job>;
  models: readonly GraphModel[];
  judgements: readonly GraphJudgement[];
}

/** The base as it is has no seed: it is one model in all repetitions. */
export function buildGraph(spec: ExperimentSpec, arms: readonly Arm[], inputs: GraphInputs): JobGraph {
  const byKind: Record<JobKind, Map<string, Job>> = {
    mix: new Map(),
    train: new Map(),
    sample: new Map(),
    score: new Map(),
    measure: new Map(),
    judge: new Map(),
  };
  const pathsOf = (keys: readonly string[]): Record<string, string> =>
    Object.fromEntries(keys.map(hashOf).map((hash) => [hash, inputs.files[hash]!]));
  const add = (description: JobDescription, needs: readonly string[], files: readonly string[]): string => {
    const hash = jobHash(description);
    byKind[description.kind].set(hash, { hash, description, needs, files: pathsOf(files) });
    return hash;
  };

  const evaluation: EvaluationKey = {
    files: [...inputs.evaluation].sort(),
    field: spec.field,
    languages: inputs.evalLanguages,
    items: spec.evalItems ?? null,
    // Where all items are taken there is nothing to choose.
    seed: spec.evalItems === undefined ? 0 : spec.seed,
  };
  const { rendering, model } = inputs;
  const device = inputs.device.startsWith('cuda') ? { device: 'cuda' as const } : {};
  const compute = spec.compute === 'int8' ? { compute: 'int8' as const } : {};
  const modelFiles = [model, ...(rendering.template in inputs.files ? [rendering.template] : [])];

  const evaluate = (train: string | null, seed: number): GraphModel['jobs'] => {
    const common = {
      model,
      baseDtype: spec.baseDtype,
      ...device,
      ...compute,
      train,
      evaluation,
      ...rendering,
    };
    const needs = train === null ? [] : [train];
    const files = [...modelFiles, ...evaluation.files];
    const sample = add(
      { kind: 'sample', ...common, options: spec.sample, seed: spec.sample.temperature === 0 ? 0 : seed },
      needs,
      files,
    );
    const measure = add({ kind: 'measure', sample, evaluation }, [sample], evaluation.files);
    if (inputs.references === 0) return { sample, measure };
    const { maxLength } = spec.train;
    return { sample, measure, score: add({ kind: 'score', ...common, maxLength }, needs, files) };
  };

  const models: GraphModel[] = [];
  for (const arm of arms) {
    if (arm.mixture === undefined)
      models.push({ arm: arm.id, seed: spec.seed, jobs: evaluate(null, spec.seed) });
  }
  for (let seed = spec.seed; seed < spec.seed + spec.seeds; seed += 1) {
    for (const arm of arms) {
      if (arm.mixture === undefined) continue;
      const data = [...inputs.data].sort();
      const mix = add({ kind: 'mix', data, field: spec.field, ...inputs.plan(arm.mixture, seed) }, [], data);
      const train = add(
        {
          kind: 'train',
          mix,
          model,
          baseDtype: spec.baseDtype,
          ...device,
          ...compute,
          ...rendering,
          options: spec.train,
          seed,
        },
        [mix],
        modelFiles,
      );
      models.push({ arm: arm.id, seed, jobs: { mix, train, ...evaluate(train, seed) } });
    }
  }
  const judgements: GraphJudgement[] = [];
  for (const judge of inputs.judges ?? []) {
    for (const { languages, ...pair } of comparedPairs(spec, arms, models)) {
      const { a, b } = pair.samples;
      const own = judge.by === 'local' ? [judge.model] : [];
      const description = { kind: 'judge', judge, a, b, evaluation, languages } as const;
      const job = add(description, [a, b], [...own, ...evaluation.files]);
      const { name, protocol } = judge;
      judgements.push({ judge: name, protocol, a: pair.a, b: pair.b, seed: pair.seed, languages, job });
    }
  }
  const jobs = new Map(Object.values(byKind).flatMap((kind) => [...kind]));
  return { jobs, models, judgements };
}

/** Every arm with the opponents that `against` gives it, seed by seed; the base is compared with each seed's. */
function* comparedPairs(
  spec: ExperimentSpec,
  arms: readonly Arm[],
  models: readonly GraphModel[],
): Generator<Omit<GraphJudgement, 'judge' | 'protocol' | 'job'> & { samples: { a: string; b: string } }> {
  const { hub, examples, against } = spec;
  if (against === 'none') return;
  const sampleOf = ({ id, mixture }: Arm, seed: number): string =>
    models.find((model) => model.arm === id && (mixture === undefined || model.seed === seed))!.jobs.sample!;
  for (let seed = spec.seed; seed < spec.seed + spec.seeds; seed += 1) {
    for (const arm of arms) {
      const byOpponent = new Map<Arm, string[]>();
      for (const lang of [...arm.evaluate].sort()) {
        const other = findMonolingual(arms, against === 'hub' ? hub : lang, examples);
        if (other === undefined || other.id === arm.id || !other.evaluate.includes(lang)) continue;
        byOpponent.set(other, [...(byOpponent.get(other) ?? []), lang]);
      }
      for (const [other, languages] of byOpponent) {
        const samples = { a: sampleOf(arm, seed), b: sampleOf(other, seed) };
        yield { a: arm.id, b: other.id, seed, languages, samples };
      }
    }
  }
}
