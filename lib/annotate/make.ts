// A task out of files of answers: joined to their prompts, of each language as many as were asked for, the same items in all of them.

import type { Example } from '../data/example';
import { itemOf } from '../data/hold-out';
import { epochOrder } from '../data/order';
import type { AnswerLine } from '../eval/measures/types';
import { MlitError } from '../native/errors';
import { refuseUnknownOptions } from '../text/options';
import type { AnnotationKind } from './protocol';
import { type AnnotationItem, type AnnotationTask, taskHash } from './task';

/** One model's answers, and where they come from. */
export interface AnnotationAnswers {
  /** What verdicts call the model. People never see it. */
  name: string;
  answers: readonly AnswerLine[];
  file: string;
  /** Of the file. */
  sha256: string;
}

/** What a task is made of. */
export interface AnnotationTaskOptions {
  /** One or two models. */
  models: readonly AnnotationAnswers[];
  /** The prompts that were answered, read with `need: 'prompt'`. */
  prompts: readonly Example[];
  promptsFile: { file: string; sha256: string };
  /** Default: `choose` between two models, `rate` of one. */
  kind?: AnnotationKind | undefined;
  /** Whether people may say that two answers are equally good. Default true. */
  ties?: boolean;
  /** Prompts of each language, drawn by the seed. Default: all. */
  sample?: number | undefined;
  /** Default: those of the answers. */
  languages?: readonly string[] | undefined;
  /** Of the draw and of every person's order. Default 0. */
  seed?: number;
}

/** A task, and what has to be told of how it was made. */
export interface MadeAnnotationTask {
  task: AnnotationTask;
  notes: string[];
}

/**
 * Of a prompt that was answered several times, the first answer is taken. Languages share their items as far as they have them.
 *
 * @throws MlitError `DATA_INVALID` for answers on one side only, twice, or to no prompt; `DATA_EMPTY` for a language without any
 */
export function makeAnnotationTask(options: AnnotationTaskOptions): MadeAnnotationTask {
  refuseUnknownOptions('makeAnnotationTask', options, {
    models: true,
    prompts: true,
    promptsFile: true,
    kind: true,
    ties: true,
    sample: true,
    languages: true,
    seed: true,
  });
  const { models, promptsFile, sample, languages, seed = 0 } = options;
  const kind = options.kind ?? (models.length === 2 ? 'choose' : 'rate');
  const ties = kind === 'choose' && (options.ties ?? true);
  if (models.length < 1 || models.length > 2 || (kind === 'choose' && models.length !== 2))
    throw new RangeError(
      `models: expected ${kind === 'choose' ? 'two to choose between' : 'one or two to rate'}, got ${models.length}`,
    );
  if (models.length === 2 && models[0]!.name === models[1]!.name)
    throw new RangeError(
      `models: both are called "${models[0]!.name}"; give them names, as in --a base=FILE --b tuned=FILE`,
    );
  if (sample !== undefined && (!Number.isInteger(sample) || sample < 1))
    throw new RangeError(`sample: expected a whole number from 1, got ${sample}`);
  const notes: string[] = [];
  const all = joinAnswers(models, options.prompts, notes);
  const kept = languages === undefined ? all : all.filter(({ lang }) => languages.includes(lang));
  for (const lang of languages ?? [])
    if (!kept.some((item) => item.lang === lang))
      throw new MlitError(
        'DATA_EMPTY',
        `languages: no prompt in ${lang} was answered; there are ${[...new Set(all.map((item) => item.lang))].sort().join(', ')}`,
        { fields: { value: lang } },
      );
  const items = sample === undefined ? kept : drawItems(kept, sample, seed, notes);
  const made = {
    version: 1 as const,
    kind,
    ties,
    seed,
    models: models.map(({ name, file, sha256 }) => ({ name, file, sha256 })),
    prompts: promptsFile,
    created: new Date().toISOString(),
    items,
  };
  return { task: { ...made, hash: taskHash(made) }, notes };
}

/** In the order of the prompts. */
function joinAnswers(
  models: readonly AnnotationAnswers[],
  prompts: readonly Example[],
  notes: string[],
): AnnotationItem[] {
  const first = models.map((model) => firstAnswers(model, notes));
  const known = new Set(prompts.map(({ id }) => id));
  for (const [at, model] of models.entries()) {
    const strays = [...first[at]!.keys()].filter((id) => !known.has(id));
    if (strays.length > 0)
      throw new MlitError(
        'DATA_INVALID',
        `${model.file}: ${naming(strays)} ${strays.length === 1 ? 'is' : 'are'} in no record of the prompts; name the file that was sampled from`,
        { fields: { file: model.file, id: strays[0]! } },
      );
  }
  const [ours, theirs] = first;
  if (ours !== undefined && theirs !== undefined) {
    const alone = (a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>) =>
      [...a.keys()].filter((id) => !b.has(id));
    const sides = [
      { file: models[0]!.file, ids: alone(ours, theirs) },
      { file: models[1]!.file, ids: alone(theirs, ours) },
    ];
    for (const { file, ids } of sides)
      if (ids.length > 0)
        throw new MlitError(
          'DATA_INVALID',
          `${file}: ${naming(ids)} ${ids.length === 1 ? 'is' : 'are'} answered here and not by the other model; sample both over the same prompts`,
          { fields: { file, id: ids[0]! } },
        );
  }
  return prompts.flatMap((prompt): AnnotationItem[] => {
    const answers = first.flatMap((byId) => byId.get(prompt.id) ?? []);
    if (answers.length === 0) return [];
    const [one, other] = answers;
    if (other !== undefined && other.sample !== one!.sample)
      throw new MlitError(
        'DATA_INVALID',
        `"${prompt.id}": the first answer is sample ${one!.sample} in ${models[0]!.file} and ${other.sample} in ${models[1]!.file}; sample both alike`,
        { fields: { file: models[1]!.file, id: prompt.id } },
      );
    return [
      {
        id: prompt.id,
        item: itemOf(prompt),
        lang: prompt.lang,
        sample: answers[0]!.sample,
        prompt: prompt.turns.map(({ role, content }) => ({ role, content })),
        answers: answers.map(({ response }) => response),
      },
    ];
  });
}

/** Each prompt's answer of the least sample number. */
function firstAnswers({ answers, file }: AnnotationAnswers, notes: string[]): Map<string, AnswerLine> {
  const first = new Map<string, AnswerLine>();
  const seen = new Set<string>();
  for (const answer of answers) {
    const key = JSON.stringify([answer.id, answer.sample]);
    if (seen.has(key))
      throw new MlitError(
        'DATA_INVALID',
        `${file}: "${answer.id}" has sample ${answer.sample} twice; one file holds one model's answers`,
        { fields: { file, id: answer.id } },
      );
    seen.add(key);
    const before = first.get(answer.id);
    if (before === undefined || answer.sample < before.sample) first.set(answer.id, answer);
  }
  if (seen.size > first.size)
    notes.push(`${file}: prompts were answered several times; people see the first answer to each`);
  return first;
}

/**
 * Items in an order of the seed's, those of all languages before others, and of each language the ones that come first; back in the
 * order of the prompts.
 */
function drawItems(
  items: readonly AnnotationItem[],
  count: number,
  seed: number,
  notes: string[],
): AnnotationItem[] {
  const languages = [...new Set(items.map((item) => item.lang))].sort();
  const langsOf = new Map<string, Set<string>>();
  for (const { item, lang } of items) langsOf.set(item, (langsOf.get(item) ?? new Set()).add(lang));
  const distinct = [...langsOf.keys()];
  const shuffled = Array.from(epochOrder(distinct.length, seed, 0), (at) => distinct[at]!);
  const isShared = (item: string): boolean => langsOf.get(item)!.size === languages.length;
  const order = [...shuffled.filter(isShared), ...shuffled.filter((item) => !isShared(item))];
  const rank = new Map(order.map((item, place) => [item, place]));
  const drawn = new Set<AnnotationItem>();
  for (const lang of languages) {
    const own = items.filter((item) => item.lang === lang);
    if (own.length < count) notes.push(`${lang}: has ${own.length} answered prompts, fewer than ${count}`);
    for (const item of own.sort((a, b) => rank.get(a.item)! - rank.get(b.item)!).slice(0, count))
      drawn.add(item);
  }
  return items.filter((item) => drawn.has(item));
}

function naming(ids: readonly string[]): string {
  const names = ids.slice(0, 3).map((id) => JSON.stringify(id));
  return ids.length > 3 ? `${names.join(', ')} and ${ids.length - 3} more` : names.join(', ');
}
