// What the models of an experiment answered, model by model and line by line, from a store's files: never all of it in memory.
// A finished job's files change no more, so what is read while a run writes is whole, as far as it goes.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Example } from '../data/example';
import { jsonValues } from '../data/read';
import { lastQualifications, type Qualification } from '../eval/judges/qualification';
import { referenceOf } from '../eval/label-set';
import type { VerdictLine } from '../eval/verdicts';
import { MlitError } from '../native/errors';
import { describeIssues } from '../text/issues';
import { storedJudgements, underArms } from './judgements';
import { Store } from './store/store';
import type { ExperimentGraph } from './store/types';

/** One answer with what programs measured of it. */
export interface StoredAnswer {
  /** The record's id in the evaluation set. */
  id: string;
  /** `parallel_id`, or the record's id where there is none. */
  item: string;
  /** Of the prompt. */
  lang: string;
  /** As the model read it, the template's marks included; absent where the store has none. */
  prompt?: string;
  /** What the evaluation set wants for an answer, in the prompt's language; absent where it has none, or the store does not know. */
  reference?: string;
  response: string;
  /** A language code, or `undecided`; absent where it is not measured. */
  answerLang?: string;
  /** By the names of `MEASURES`; empty where they are not measured yet. */
  measures: Readonly<Record<string, number>>;
}

/** A model whose answers are all there. */
export interface AnsweringModel {
  arm: string;
  label: string;
  /** Undefined for the untuned model, which has none. */
  seed: number | undefined;
  /** Hash of the sampling job. */
  job: string;
  /** One after the other, in the order of the prompts. */
  answers(): AsyncGenerator<StoredAnswer, void, void>;
}

/** The answers of an experiment. */
export interface StoredAnswers {
  /** In the order of the experiment's arms, seeds within. */
  models: readonly AnsweringModel[];
  /** Models of the experiment, those without finished answers among them. */
  of: number;
  /** What the experiment's own judges said, as far as they are finished; models are called by arm, and by `ARM/SEED` where there are seeds. */
  verdicts?: readonly VerdictLine[];
  /** What planted pairs said of them. */
  qualifications?: readonly Qualification[];
}

const answerLine = z.looseObject({
  id: z.string(),
  lang: z.string(),
  parallel_id: z.string().optional(),
  sample: z.number().optional(),
  prompt: z.string().optional(),
  response: z.string(),
});

const referenceLine = z.looseObject({ id: z.string(), lang: z.string(), reference: z.string() });

const measureLine = z.looseObject({
  id: z.string(),
  lang: z.string(),
  sample: z.number().optional(),
  answerLang: z.string().optional(),
  measures: z.record(z.string(), z.number()),
});

/** Beside graph.json: the references of the experiment's prompts, for who reads answers where the evaluation set is not. */
export const REFERENCES_FILE = 'references.jsonl';

/** The lines of {@link REFERENCES_FILE}; empty where no prompt has a reference. */
export function referenceLines(evaluation: readonly Example[]): string {
  return evaluation
    .flatMap((example) => {
      const { id, lang } = example;
      const reference = referenceOf(example);
      return reference === undefined ? [] : [`${JSON.stringify({ id, lang, reference })}\n`];
    })
    .join('');
}

/**
 * Finds the answers of an experiment that are finished at this moment. Of a prompt that was answered several times the first
 * sample is given, as in the tables.
 *
 * @throws MlitError `STORE_INVALID` where the store or the experiment is not there or damaged
 */
export async function storedAnswers(storeFolder: string, name: string): Promise<StoredAnswers> {
  await using store = await Store.open(storeFolder, { write: false });
  const graph = await store.experiments.graph(name);
  if (graph === undefined) {
    throw new MlitError('STORE_INVALID', `${storeFolder} has no experiment '${name}'`, {
      fields: { file: storeFolder, value: name },
    });
  }
  const arms = new Map<string, ExperimentGraph['arms'][number]>(graph.arms.map((arm) => [arm.id, arm]));
  const models: AnsweringModel[] = [];
  const references = readReferences(join(store.experiments.folder(name), REFERENCES_FILE), storeFolder);
  for (const { arm: id, seed, jobs } of graph.models) {
    const { sample, measure, train } = jobs;
    const arm = arms.get(id);
    if (sample === undefined || arm === undefined || store.finished(sample) === undefined) continue;
    const measured = measure !== undefined && store.finished(measure) !== undefined;
    const files = {
      answers: store.outputPath(sample, 'answers.jsonl'),
      ...(measured && { measures: store.outputPath(measure, 'measures.jsonl') }),
    };
    const languages = new Set(arm.evaluate);
    models.push({
      arm: id,
      label: arm.label,
      seed: train === undefined ? undefined : seed,
      job: sample,
      answers: () => readAnswers(files, languages, references),
    });
  }
  const judgements = await storedJudgements(store, graph);
  return {
    models,
    of: graph.models.length,
    ...(judgements.length > 0 && {
      verdicts: judgements.flatMap((judgement) => underArms(judgement, graph)),
      qualifications: lastQualifications(judgements.flatMap((judgement) => judgement.qualifications)),
    }),
  };
}

async function* readAnswers(
  files: { answers: string; measures?: string },
  languages: ReadonlySet<string>,
  references: () => Promise<ReadonlyMap<string, string>>,
): AsyncGenerator<StoredAnswer, void, void> {
  const wanted = await references();
  const measured = new Map<string, z.output<typeof measureLine>>();
  if (files.measures !== undefined) {
    for await (const line of readLines(files.measures, measureLine)) {
      if ((line.sample ?? 0) === 0) measured.set(line.id, line);
    }
  }
  for await (const { id, lang, parallel_id, sample, prompt, response } of readLines(
    files.answers,
    answerLine,
  )) {
    if ((sample ?? 0) !== 0 || !languages.has(lang)) continue;
    const line = measured.get(id);
    const reference = wanted.get(recordKey({ id, lang }));
    yield {
      id,
      item: parallel_id ?? id,
      lang,
      ...(prompt !== undefined && { prompt }),
      ...(reference !== undefined && { reference }),
      response,
      ...(line?.answerLang !== undefined && { answerLang: line.answerLang }),
      measures: line?.measures ?? {},
    };
  }
}

/** Reads the file when the first asks, once for all models; an experiment that was run before there was one has none. */
function readReferences(file: string, store: string): () => Promise<ReadonlyMap<string, string>> {
  const advice = `Run the experiment of ${store} again, and it is written anew`;
  const read = async (): Promise<ReadonlyMap<string, string>> => {
    const references = new Map<string, string>();
    if (!existsSync(file)) return references;
    for await (const { reference, ...record } of readLines(file, referenceLine, advice))
      references.set(recordKey(record), reference);
    return references;
  };
  let reading: ReturnType<typeof read> | undefined;
  return () => {
    reading ??= read();
    return reading;
  };
}

const recordKey = ({ id, lang }: { id: string; lang: string }): string => JSON.stringify([id, lang]);

async function* readLines<T>(
  file: string,
  schema: z.ZodType<T>,
  advice = "Remove the job's folder, and the experiment's next run makes it again",
): AsyncGenerator<T, void, void> {
  for await (const { value, line } of jsonValues(file, file, undefined)) {
    const result = schema.safeParse(value);
    if (!result.success) {
      throw new MlitError(
        'STORE_INVALID',
        `${file}:${line}: ${describeIssues(result.error, value)}. ${advice}`,
        { fields: { file, line } },
      );
    }
    yield result.data;
  }
}
