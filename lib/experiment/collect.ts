// From a store's folders to results: what the finished jobs of an experiment wrote, joined by record, and handed to its
// analysis. It reads files only, and so works while the experiment runs, on what is finished.
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import type { MixtureSpec } from '../data/mixture/types';
import { likelihoodMeasures } from '../eval/measures/measure';
import type { MeasureSummary } from '../eval/measures/types';
import { isHubReference } from '../model/hub/reference';
import { MlitError } from '../native/errors';
import { packageVersion } from '../native/version';
import { describeIssues } from '../text/issues';
import { refuseUnknownOptions } from '../text/options';
import { analyse } from './analysis';
import { sharedOpening } from './analysis/common-text';
import type { JudgedModels } from './analysis/judge-scores';
import { storedJudgements } from './judgements';
import type { ExperimentResults } from './results';
import type { ExperimentSpec } from './spec';
import { Store } from './store/store';
import type { ExperimentGraph } from './store/types';
import type { Arm, ItemResult, ModelResult } from './types';

/** What `mlit experiment run` has written down when it planned, beyond what the store's types ask for. */
type StoredGraph = Omit<ExperimentGraph, 'spec' | 'arms'> & {
  spec: ExperimentSpec;
  arms: readonly (Omit<Arm, 'mixture'> & { mixture?: MixtureSpec })[];
  provenance?: Partial<ExperimentResults['provenance']>;
};

const likelihoodLine = z.looseObject({
  id: z.string(),
  lang: z.string(),
  parallel_id: z.string().optional(),
  nats: z.number(),
  tokens: z.number(),
  bytes: z.number(),
  /** Of label sets. */
  measures: z.record(z.string(), z.number()).optional(),
});
const measureLine = z.looseObject({
  id: z.string(),
  lang: z.string(),
  sample: z.number().optional(),
  item: z.string().optional(),
  parallel_id: z.string().optional(),
  answerLang: z.string().optional(),
  measures: z.record(z.string(), z.number()),
});

const answerLine = z.looseObject({
  id: z.string(),
  lang: z.string(),
  prompt: z.string().optional(),
  response: z.string(),
});

/** Models of an experiment with what is measured of them. */
export interface CollectedModels {
  spec: ExperimentSpec;
  models: ModelResult[];
  /** One for each model that has answers, in the models' order. */
  summaries: MeasureSummary[];
  provenance: ExperimentResults['provenance'];
  /** What the experiment's judges said, and were to say. */
  judged: JudgedModels;
  /** Sentences about what is missing. */
  warnings: string[];
}

/**
 * Tables and figures of an experiment as far as it is finished.
 *
 * @param storeFolder the folder that the experiment's `store` names
 * @param name the experiment's name in it
 * @throws MlitError `STORE_INVALID` where the store or the experiment is not there or damaged; `EXPERIMENT_INVALID` where no
 * model is finished yet
 */
export async function collectResults(storeFolder: string, name: string): Promise<ExperimentResults> {
  const { spec, models, summaries, provenance, warnings, judged } = await collectModels(storeFolder, name);
  if (models.length === 0) {
    throw new MlitError(
      'EXPERIMENT_INVALID',
      `${name}: no model of it is finished in ${storeFolder}; \`mlit experiment run\` goes on where it stopped`,
      { fields: { file: storeFolder, field: 'models', expected: 'at least one finished model', value: 0 } },
    );
  }
  const results = analyse(spec, models, provenance, summaries, { judged });
  return { ...results, warnings: [...warnings, ...results.warnings] };
}

/**
 * The finished models of an experiment with all that was measured of them.
 *
 * @param options.responses also the texts that the models wrote. Default false
 */
export async function collectModels(
  storeFolder: string,
  name: string,
  options: { responses?: boolean } = {},
): Promise<CollectedModels> {
  refuseUnknownOptions('collectModels', options, { responses: true });
  await using store = await Store.open(storeFolder, { write: false });
  const graph = (await store.experiments.graph(name)) as StoredGraph | undefined;
  if (graph === undefined) {
    const there = await store.experiments.list();
    throw new MlitError(
      'STORE_INVALID',
      `${storeFolder} has no experiment '${name}'; it has ${there.length > 0 ? there.join(', ') : 'none'}`,
      { fields: { file: storeFolder, value: name } },
    );
  }
  const arms = new Map(graph.arms.map((arm) => [arm.id, arm]));
  const cache = new Map<string, Promise<readonly unknown[]>>();
  const lines = <T>(hash: string, file: string, schema: z.ZodType<T>): Promise<readonly T[]> => {
    const path = store.outputPath(hash, file);
    if (!cache.has(path)) cache.set(path, readLines(path, schema));
    return cache.get(path) as Promise<readonly T[]>;
  };
  const models: ModelResult[] = [];
  const summaries: MeasureSummary[] = [];
  let unfinished = 0;
  for (const { arm: id, seed, jobs } of graph.models) {
    const arm = arms.get(id);
    if (arm === undefined) {
      throw new MlitError(
        'STORE_INVALID',
        `${join(storeFolder, 'experiments', name, 'graph.json')}: models: there is no arm '${id}'; run the experiment again to write it anew`,
        { fields: { field: 'models', value: id } },
      );
    }
    if (Object.values(jobs).some((hash) => store.finished(hash) === undefined)) {
      unfinished += 1;
      continue;
    }
    const { measure, score, sample } = jobs;
    const measured = measure === undefined ? [] : await lines(measure, 'measures.jsonl', measureLine);
    const scored = score === undefined ? [] : await lines(score, 'likelihoods.jsonl', likelihoodLine);
    const answers =
      options.responses && sample !== undefined ? await lines(sample, 'answers.jsonl', answerLine) : [];
    models.push({
      arm,
      seed,
      items: joinItems(measured, scored, answers, new Set(arm.evaluate)),
      jobs: definedOf(jobs),
    });
    if (measure !== undefined) summaries.push(await readSummary(store.outputPath(measure, 'summary.json')));
  }
  const all = graph.models.length;
  const opening = await openingOf(models, graph.spec, (hash) => lines(hash, 'answers.jsonl', answerLine));
  return {
    spec: graph.spec,
    models,
    summaries,
    provenance: provenanceOf(graph, models),
    judged: {
      judgements: await storedJudgements(store, graph),
      all: (graph.judgements ?? []).map(({ judge, protocol }) => ({ judge, protocol })),
    },
    warnings: [
      ...(unfinished === 0
        ? []
        : [
            `${unfinished} of ${all} model${all === 1 ? ' is' : 's are'} not finished and left out: these are not the final numbers.`,
          ]),
      ...(opening === undefined
        ? []
        : [
            `The template puts the same words before every prompt, whatever its language: "${opening}". A \`system\` of your own, or another template, changes that.`,
          ]),
    ],
  };
}

/** A system prompt that comes from the template; one that the file has is warned of as it stands. */
async function openingOf(
  models: readonly ModelResult[],
  spec: ExperimentSpec,
  answers: (hash: string) => Promise<readonly z.output<typeof answerLine>[]>,
): Promise<string | undefined> {
  const sample = models[0]?.jobs.sample;
  if (sample === undefined || spec.system !== undefined) return undefined;
  const byLanguage = new Map<string, string>();
  for (const { lang, prompt } of await answers(sample)) {
    if (prompt !== undefined && !byLanguage.has(lang)) byLanguage.set(lang, prompt);
  }
  return sharedOpening([...byLanguage.values()]);
}

type MeasureLine = z.output<typeof measureLine>;
type LikelihoodLine = z.output<typeof likelihoodLine>;

/** One result a record: what its answer was measured to be, and how likely its reference was. The first sample counts. */
function joinItems(
  measured: readonly MeasureLine[],
  scored: readonly LikelihoodLine[],
  answers: readonly z.output<typeof answerLine>[],
  languages: ReadonlySet<string>,
): ItemResult[] {
  const items = new Map<string, ItemResult>();
  for (const line of measured) {
    if ((line.sample ?? 0) !== 0 || !languages.has(line.lang)) continue;
    items.set(line.id, {
      item: line.item ?? line.parallel_id ?? line.id,
      lang: line.lang,
      measures: line.measures,
      ...(line.answerLang !== undefined && { answerLang: line.answerLang }),
    });
  }
  for (const line of scored) {
    if (!languages.has(line.lang)) continue;
    const known = items.get(line.id) ?? { item: line.parallel_id ?? line.id, lang: line.lang, measures: {} };
    items.set(line.id, {
      ...known,
      measures: { ...known.measures, ...likelihoodMeasures(line), ...line.measures },
    });
  }
  for (const { id, response } of answers) {
    const known = items.get(id);
    if (known !== undefined) items.set(id, { ...known, response });
  }
  return [...items.values()];
}

async function readLines<T>(file: string, schema: z.ZodType<T>): Promise<readonly T[]> {
  const text = await readFile(file, 'utf8');
  const values: T[] = [];
  for (const [at, line] of text.split('\n').entries()) {
    if (line === '') continue;
    values.push(parseJson(line, `${file}:${at + 1}`, schema));
  }
  return values;
}

function parseJson<T>(text: string, where: string, schema: z.ZodType<T>): T {
  let problem: string;
  try {
    const result = schema.safeParse(JSON.parse(text));
    if (result.success) return result.data;
    problem = describeIssues(result.error, JSON.parse(text));
  } catch (error) {
    problem = (error as Error).message;
  }
  throw new MlitError(
    'STORE_INVALID',
    `${where}: ${problem}. Remove the job's folder, and the experiment's next run makes it again`,
    { fields: { file: where } },
  );
}

async function readSummary(file: string): Promise<MeasureSummary> {
  return parseJson(
    await readFile(file, 'utf8'),
    file,
    z.looseObject({ answers: z.number() }),
  ) as unknown as MeasureSummary;
}

function provenanceOf(graph: StoredGraph, models: readonly ModelResult[]): ExperimentResults['provenance'] {
  const { spec } = graph;
  const jobs: Record<string, Record<string, Readonly<Record<string, string>>>> = {};
  for (const model of models) {
    jobs[model.arm.id] ??= {};
    jobs[model.arm.id]![String(model.seed)] = model.jobs;
  }
  const unhashed = (files: readonly string[]) => files.map((file) => ({ file, sha256: '' }));
  const {
    model = spec.model,
    data = unhashed(spec.data),
    eval: evaluation = unhashed(spec.eval),
  } = graph.provenance ?? {};
  return {
    modelSha256: '',
    version: packageVersion,
    machine: '',
    train: spec.train,
    sample: spec.sample,
    ...graph.provenance,
    model: fileName(model),
    data: data.map(({ file, sha256 }) => ({ file: fileName(file), sha256 })),
    eval: evaluation.map(({ file, sha256 }) => ({ file: fileName(file), sha256 })),
    seeds: graph.seeds,
    jobs,
  };
}

/** A report is there to be shown: what a file is, its hash says, and where it lay is nobody's business. A hub's data sets keep their names. */
const fileName = (name: string): string => (isHubReference(name) ? name : basename(name));

function definedOf(jobs: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(Object.entries(jobs).filter((entry): entry is [string, string] => !!entry[1]));
}
