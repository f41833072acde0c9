// From an experiment's file to its graph: everything that can be found wrong before anything is computed is found here.
import type { Example } from '../data/example';
import { itemOf, refuseLeaks } from '../data/hold-out';
import { drawMixture, languagesOf, ParallelTable, planMixture } from '../data/mixture';
import { readExamples } from '../data/read';
import type { HubOptions } from '../model/hub/snapshot';
import { type ModelSource, resolveModel } from '../model/source';
import { isTemplateFile } from '../model/template';
import { loadAddon } from '../native/addon';
import type { NativeDoctor } from '../native/types';
import { packageVersion } from '../native/version';
import { describeWarmup } from '../train/schedule';
import { buildGraph, type JobGraph } from './graph';
import { type Evaluation, fileHash, hashData, loadEvaluation, modelHash } from './inputs';
import { type PreparedJudge, prepareJudges } from './judges';
import { expandProtocol } from './protocols';
import type { ExperimentResults } from './results';
import type { ExperimentSpec } from './spec';
import type { Speed } from './speed';
import type { ExperimentGraph } from './store/types';
import type { Arm } from './types';

export interface Prepared {
  spec: ExperimentSpec;
  /** As resolved: `cpu` or `cuda:N`. */
  device: string;
  arms: readonly Arm[];
  graph: JobGraph;
  judges: readonly PreparedJudge[];
  source: ModelSource;
  /** All training records. */
  data: readonly Example[];
  /** Those that some mixture has drawn. */
  drawn: ReadonlySet<Example>;
  /** The whole evaluation set; `evaluation` is what of it is used. */
  all: readonly Example[];
  evaluation: Evaluation;
  provenance: ExperimentResults['provenance'];
}

/**
 * @throws MlitError `DATA_INVALID` (leaks, bad records), `DATA_EMPTY`, `MIXTURE_INVALID` (a language has too few items),
 * `EXPERIMENT_INVALID`, `FILE_NOT_FOUND`, `UNKNOWN_MODEL`, `DEVICE_UNAVAILABLE`
 */
export async function prepareExperiment(spec: ExperimentSpec, options: HubOptions = {}): Promise<Prepared> {
  const { signal, onNote, onFetch } = options;
  const device = loadAddon().resolveDevice(spec.device, 'auto');
  const source = await resolveModel(spec.model, { signal, onNote, onFetch });
  const data = await readExamples(spec.data, { field: spec.field, signal, onNote });
  const all = await readExamples(spec.eval, { need: 'reference', field: spec.field, signal });
  refuseLeaks(data, all);
  const arms = expandProtocol(spec, [...new Set(all.map((example) => example.lang))].sort());
  const evalLanguages = [...new Set(arms.flatMap((arm) => arm.evaluate))].sort();
  const key = { field: spec.field, languages: evalLanguages, items: spec.evalItems ?? null, seed: spec.seed };
  const evaluation = await loadEvaluation(spec.eval, key, signal);
  const without = evaluation.examples.length - evaluation.references;
  if (without > 0 && evaluation.references > 0)
    onNote?.(
      `${without} of ${evaluation.examples.length} evaluation prompts have no reference response: what compares with references is measured on the others`,
    );
  const table = ParallelTable.from(data);
  for (const line of remarks(spec, arms, evaluation)) onNote?.(line);

  const dataFiles = await hashData(spec.data, data, { signal });
  const evalFiles = await hashData(spec.eval, all, { signal });
  const model = await modelHash(source);
  const judges = await prepareJudges(spec, device, { signal, onNote, onFetch });
  const template = isTemplateFile(spec.template) ? await fileHash(spec.template) : spec.template;
  const files = {
    ...dataFiles.paths,
    ...evalFiles.paths,
    ...Object.assign({}, ...judges.map((judge) => judge.files)),
    [model]: source.path,
    ...(template !== spec.template && { [template]: spec.template }),
  };
  const counts = table.recordsByLanguage();
  const graph = buildGraph(spec, arms, {
    files,
    data: dataFiles.keys,
    evaluation: evalFiles.keys,
    model,
    device,
    rendering: { template, system: spec.system ?? null },
    evalLanguages,
    references: evaluation.references,
    judges: judges.map(({ key }) => key),
    plan: (mixture, seed) => planMixture({ policy: spec.policy, ...mixture, seed }, counts),
  });
  const drawn = drawAll(graph, table);
  return {
    spec,
    device,
    arms,
    graph,
    judges,
    source,
    data,
    drawn,
    all,
    evaluation,
    provenance: {
      model: spec.model,
      modelSha256: model,
      data: dataFiles.files,
      eval: evalFiles.files,
      seeds: Array.from({ length: spec.seeds }, (_, i) => spec.seed + i),
      jobs: jobsByArm(graph),
      version: packageVersion,
      machine: machineText(loadAddon().doctor(), device),
      train: spec.train,
      sample: spec.sample,
    },
  };
}

function machineText({ cpu, backends }: NativeDoctor, device: string): string {
  const isa = cpu.isas.find((each) => each.usable)?.name ?? 'no instruction set';
  const processor = `${cpu.model}, ${cpu.usableProcessors} processors, ${isa}`;
  const cards = backends.flatMap(({ devices = [] }) => devices);
  const card = cards.find(({ name }) => name === device);
  return card === undefined ? processor : `${processor}; ${device}: ${card.description}`;
}

/** What is allowed but seldom meant. */
function remarks(spec: ExperimentSpec, arms: readonly Arm[], evaluation: Evaluation): string[] {
  const lines: string[] = [];
  const items = new Set(evaluation.examples.map(itemOf)).size;
  if (spec.evalItems !== undefined && spec.evalItems > items)
    lines.push(`evalItems is ${spec.evalItems}, but the evaluation has ${items} items: all are used`);
  if (evaluation.references === 0)
    lines.push('the evaluation has no references: answers are told by language and form only');
  if (evaluation.references === 0 && spec.judge !== undefined)
    lines.push('without references no judge can be tried on planted pairs: its numbers will all be grey');
  if (spec.protocol === 'pinch' && spec.languages !== undefined && !spec.languages.includes(spec.hub))
    lines.push(`languages leave out the hub '${spec.hub}': it has a share of every P all the same`);
  const evaluated = new Set(evaluation.examples.map(({ lang }) => lang));
  const tuned = arms.flatMap(({ mixture }) => (mixture === undefined ? [] : languagesOf(mixture)));
  const unseen = [...new Set(tuned)].filter((lang) => !evaluated.has(lang)).sort();
  if (unseen.length > 0) lines.push(`tuned on, but not evaluated: ${unseen.join(', ')}`);
  const { steps, epochs, batchExamples, batchTokens, warmupSteps } = spec.train;
  const all =
    steps ?? (batchTokens === undefined ? Math.ceil(spec.examples / batchExamples) * epochs : undefined);
  if (all !== undefined) lines.push(...describeWarmup(warmupSteps, all));
  return lines;
}

/** Draws every mixture, so that what is missing shows before a model is loaded. */
function drawAll(graph: JobGraph, table: ParallelTable): Set<Example> {
  const drawn = new Set<Example>();
  for (const { description } of graph.jobs.values()) {
    if (description.kind !== 'mix') continue;
    const { allocation, policy, seed, hub } = description;
    const plan = { allocation, policy, seed, ...(hub !== undefined && { hub }) };
    for (const example of drawMixture(table, plan)) drawn.add(example);
  }
  return drawn;
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
    ...(graph.judgements.length > 0 && { judgements: graph.judgements }),
    estimates,
    provenance,
    ...(speed !== undefined && { speed }),
  };
}
