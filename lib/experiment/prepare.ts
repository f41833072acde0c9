// From an experiment's file to its graph: everything that can be found wrong before anything is computed is found here.
import { existsSync } from 'node:fs';
import type { Example } from '../data/example';
import { refuseLeaks } from '../data/hold-out';
import { drawMixture, ParallelTable, planMixture } from '../data/mixture';
import { readExamples } from '../data/read';
import { type ModelSource, resolveModel } from '../model/source';
import { loadAddon } from '../native/addon';
import { packageVersion } from '../native/version';
import { buildGraph, type JobGraph } from './graph';
import { type Evaluation, fileHash, loadEvaluation, modelHash } from './inputs';
import { expandProtocol } from './protocols';
import type { ExperimentResults } from './results';
import type { ExperimentSpec } from './spec';
import type { Speed } from './speed';
import type { ExperimentGraph } from './store/types';
import type { Arm } from './types';

export interface Prepared {
  spec: ExperimentSpec;
  arms: readonly Arm[];
  graph: JobGraph;
  source: ModelSource;
  table: ParallelTable;
  /** All training records. */
  data: readonly Example[];
  evaluation: Evaluation;
  provenance: ExperimentResults['provenance'];
}

/**
 * @throws MlitError `DATA_INVALID` (leaks, bad records), `DATA_EMPTY`, `MIXTURE_INVALID` (a language has too few items),
 * `EXPERIMENT_INVALID`, `FILE_NOT_FOUND`, `UNKNOWN_MODEL`
 */
export async function prepareExperiment(
  spec: ExperimentSpec,
  options: { signal?: AbortSignal | undefined; onNote?: ((note: string) => void) | undefined } = {},
): Promise<Prepared> {
  const { signal, onNote } = options;
  const source = await resolveModel(spec.model);
  const data = await readExamples(spec.data, { field: spec.field, signal, onNote });
  const all = await readExamples(spec.eval, { need: 'reference', field: spec.field, signal });
  refuseLeaks(data, all);
  const arms = expandProtocol(spec, [...new Set(all.map((example) => example.lang))].sort());
  const evalLanguages = [...new Set(arms.flatMap((arm) => arm.evaluate))].sort();
  const key = { field: spec.field, languages: evalLanguages, items: spec.evalItems ?? null, seed: spec.seed };
  const evaluation = await loadEvaluation(spec.eval, key, signal);
  const table = ParallelTable.from(data);

  const files: Record<string, string> = {};
  const hashAll = async (paths: readonly string[]): Promise<string[]> => {
    const hashes: string[] = [];
    for (const path of paths) {
      const hash = await fileHash(path);
      files[hash] = path;
      hashes.push(hash);
    }
    return hashes;
  };
  const dataHashes = await hashAll(spec.data);
  const evalHashes = await hashAll(spec.eval);
  const model = await modelHash(source);
  files[model] = source.path;
  const [template] = existsSync(spec.template) ? await hashAll([spec.template]) : [spec.template];
  const counts = table.recordsByLanguage();
  const graph = buildGraph(spec, arms, {
    files,
    data: dataHashes,
    evaluation: evalHashes,
    model,
    rendering: { template: template!, system: spec.system ?? null },
    evalLanguages,
    hasReferences: evaluation.hasReferences,
    plan: (mixture, seed) => planMixture({ policy: spec.policy, ...mixture, seed }, counts),
  });
  refuseTooFew(graph, table);
  const doctor = loadAddon().doctor();
  return {
    spec,
    arms,
    graph,
    source,
    table,
    data,
    evaluation,
    provenance: {
      model: spec.model,
      modelSha256: model,
      data: spec.data.map((file, at) => ({ file, sha256: dataHashes[at]! })),
      eval: spec.eval.map((file, at) => ({ file, sha256: evalHashes[at]! })),
      seeds: Array.from({ length: spec.seeds }, (_, i) => spec.seed + i),
      jobs: jobsByArm(graph),
      version: packageVersion,
      machine: `${doctor.cpu.model}, ${doctor.cpu.usableProcessors} processors, ${doctor.cpu.isas.find((isa) => isa.usable)?.name ?? 'no instruction set'}`,
      train: spec.train,
      sample: spec.sample,
    },
  };
}

/** Draws every mixture, so that what is missing shows before a model is loaded. */
function refuseTooFew(graph: JobGraph, table: ParallelTable): void {
  for (const { description } of graph.jobs.values()) {
    if (description.kind === 'mix') drawMixture(table, description);
  }
}

function jobsByArm(graph: JobGraph): ExperimentResults['provenance']['jobs'] {
  const jobs: Record<string, Record<string, Record<string, string>>> = {};
  for (const model of graph.models) {
    jobs[model.arm] ??= {};
    jobs[model.arm]![String(model.seed)] = { ...model.jobs };
  }
  return jobs;
}

/** graph.json: enough for status, analysis and report without the experiment's files. */
export interface StoredGraph extends ExperimentGraph {
  provenance: ExperimentResults['provenance'];
  speed?: Speed;
}

export function storedGraph(
  { spec, arms, graph, provenance }: Prepared,
  estimates: Record<string, number>,
  speed: Speed | undefined,
): StoredGraph {
  return {
    version: 1,
    experiment: spec.name,
    protocol: spec.protocol,
    spec,
    arms,
    seeds: provenance.seeds,
    models: graph.models,
    estimates,
    provenance,
    ...(speed !== undefined && { speed }),
  };
}
