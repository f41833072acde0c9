// Answers rated one by one by a rubric, without another to compare with: helpfulness from 1 to 6, or six facets from 0 to 2.
import type { Example } from '../../data/example';
import { MlitError } from '../../native/errors';
import { refuseUnknownOptions } from '../../text/options';
import type { AnswerLine } from '../measures/types';
import { PairedBootstrap } from '../statistics/bootstrap';
import type { Estimate } from '../statistics/estimate';
import { FACETS, type RatingFile, type RatingLine } from '../verdicts';
import { askAll } from './ask-all';
import { Endpoint, type EndpointOptions } from './endpoint';
import type { JudgeSpending } from './judge';
import { type JudgeProgress, promptTurns } from './judge-pairs';
import { endpointName } from './openai-judge';
import { parseRating } from './parse';
import { type MachineRubric, rateWording, sha256, wordingVersion } from './wording';

/** Which endpoint rates which answers, by which rubric. */
export interface RateAnswersOptions extends EndpointOptions {
  rubric: MachineRubric;
  prompts: readonly Example[];
  /** What ratings call the model that answered. Default `A`. */
  name?: string | undefined;
  /** Ratings of before, and where new ones are kept. Default: nothing is remembered. */
  ratings?: RatingFile | undefined;
  /** Of the bootstrap. Default 10,000. */
  resamples?: number | undefined;
  /** Of the bootstrap. Default 0. */
  seed?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Told at the start, and with every answer. */
  onProgress?: ((progress: JudgeProgress) => void) | undefined;
}

/** Means of one language: of `helpfulness`, or of each facet. */
export interface RatedLanguage {
  /** Answers with a rating in form. */
  rated: number;
  outOfForm: number;
  means: Record<string, Estimate>;
}

/** What the ratings of one set of answers come to. */
export interface Rated {
  judge: string;
  rubric: MachineRubric;
  wording: string;
  byLanguage: Record<string, RatedLanguage>;
  all: RatedLanguage;
  /** Asked now, known from before, and not answered. */
  asked: number;
  known: number;
  unasked: number;
  /** Answers out of form, by reason. */
  outOfForm: Record<string, number>;
  /** Questions that failed, by reason; they are among the unasked. */
  failed: Record<string, number>;
  /** What the endpoint said that it was, and in how many ratings. */
  models: Record<string, number>;
  spending: JudgeSpending;
}

/** The numbers of a rubric and their bounds. */
export const RATED: Readonly<
  Record<MachineRubric, { names: readonly string[]; range: readonly [number, number] }>
> = {
  'helpfulness-1-6': { names: ['helpfulness'], range: [1, 6] },
  'facets-0-2': { names: FACETS, range: [0, 2] },
};

interface RatingQuestion {
  prompt: string;
  line: Omit<RatingLine, 'rating' | 'rubric' | 'reason' | 'at'> & { key: string };
}

/**
 * Has an endpoint rate answers. Where a limit ends it early, the means are of what was rated, and `unasked` says how much is missing.
 *
 * @throws MlitError `JUDGE_FAILED`; `DATA_INVALID` for an answer whose prompt is not there or that comes twice; `DATA_EMPTY`;
 * `FILE_IO`; the signal's reason
 */
export async function rateAnswers(
  answers: readonly AnswerLine[],
  options: RateAnswersOptions,
): Promise<{ rated: Rated; ratings: RatingLine[] }> {
  refuseUnknownOptions('rateAnswers', options, {
    model: true,
    url: true,
    concurrency: true,
    maxCalls: true,
    maxTokens: true,
    maxNewTokens: true,
    timeoutMs: true,
    maxRetries: true,
    onNote: true,
    rubric: true,
    prompts: true,
    name: true,
    ratings: true,
    resamples: true,
    seed: true,
    signal: true,
    onProgress: true,
  });
  const { rubric, ratings: file, signal, onProgress } = options;
  const { model, url, concurrency, maxCalls, maxTokens, maxNewTokens, timeoutMs, maxRetries, onNote } =
    options;
  const endpoint = new Endpoint({
    ...{ model, url, maxCalls, maxTokens, maxNewTokens, timeoutMs, maxRetries, onNote },
  });
  const judge = endpointName(options);
  const wording = wordingVersion({ rubric });
  const questions = questionsOf(answers, options, { judge, wording });
  const found = new Map<string, RatingLine>();
  const toAsk = new Map<string, RatingQuestion>();
  const before = new Before(file);
  for (const question of questions) {
    const { line } = question;
    const known = before.recall({ ...line, rubric });
    if (known !== undefined) found.set(line.key, known.line);
    else toAsk.set(line.key, question);
    if (known !== undefined && !known.named) await file?.append([{ ...known.line, ...line } as RatingLine]);
  }
  const known = questions.filter(({ line }) => found.has(line.key)).length;
  const failed: Record<string, number> = {};
  const started = performance.now();
  let asked = 0;
  const tell = (): void =>
    onProgress?.({
      done: known + asked,
      total: questions.length,
      known,
      spending: endpoint.spending,
      seconds: (performance.now() - started) / 1000,
    });
  tell();
  for await (const { question, answer } of askAll(endpoint, toAsk.values(), { signal, concurrency })) {
    if (answer.kind === 'failed') {
      failed[answer.why] = (failed[answer.why] ?? 0) + 1;
      continue;
    }
    const read = parseRating(answer, rubric);
    const line = {
      ...question.line,
      rubric,
      ...('value' in read ? { rating: read.value } : { rating: null, reason: read.reason }),
      ...(answer.model !== undefined && { judgeModel: answer.model }),
      tokens: answer.tokens,
      at: new Date().toISOString(),
    } as RatingLine;
    await file?.append([line]);
    found.set(question.line.key, line);
    asked += 1;
    tell();
  }
  const ratings = questions.flatMap(({ line }) => {
    const rating = found.get(line.key);
    return rating === undefined ? [] : [{ ...rating, ...line }];
  });
  const counts = { asked, known, unasked: questions.length - ratings.length, failed };
  return {
    rated: { judge, rubric, wording, ...summary(ratings, options), ...counts, spending: endpoint.spending },
    ratings,
  };
}

/** Ratings of before, by what was asked and by the names that they are under. */
class Before {
  readonly #file: RatingFile | undefined;
  readonly #byKey = new Map<string, RatingLine>();
  readonly #byName = new Map<string, { line: RatingLine; at: number }>();

  constructor(file: RatingFile | undefined) {
    this.#file = file;
    for (const { value, line: at } of file?.before ?? []) {
      if (value.key !== undefined) this.#byKey.set(value.key, value);
      this.#byName.set(Before.#nameOf(value), { line: value, at });
    }
  }

  static #nameOf(
    line: Pick<RatingLine, 'judge' | 'rubric' | 'wording' | 'model' | 'id' | 'lang' | 'sample'>,
  ): string {
    const { judge, rubric, wording, model, id, lang, sample } = line;
    return JSON.stringify([judge, rubric, wording ?? null, model, id, lang, sample]);
  }

  /** @throws MlitError `DATA_INVALID` where these names stand for another answer in the file */
  recall(
    wanted: RatingQuestion['line'] & { rubric: MachineRubric },
  ): { line: RatingLine; named: boolean } | undefined {
    const named = this.#byName.get(Before.#nameOf(wanted));
    if (named !== undefined && named.line.key !== wanted.key) {
      const { id, model, judge } = wanted;
      const file = this.#file!.file;
      throw new MlitError(
        'DATA_INVALID',
        `${file}:${named.at}: this rating by ${judge} of record "${id}" is of another answer of ${model} than the one given now; name another file by --ratings, or remove this one`,
        { fields: { file, line: named.at, id, model } },
      );
    }
    if (named !== undefined) return { line: named.line, named: true };
    const known = this.#byKey.get(wanted.key);
    if (known === undefined) return undefined;
    const { tokens: _, ...free } = known;
    return { line: free as RatingLine, named: false };
  }
}

function questionsOf(
  answers: readonly AnswerLine[],
  { prompts, rubric, name = 'A' }: RateAnswersOptions,
  { judge, wording }: { judge: string; wording: string },
): RatingQuestion[] {
  if (answers.length === 0) throw new MlitError('DATA_EMPTY', 'there are no answers to rate');
  const byId = new Map(prompts.map((example) => [example.id, example]));
  const seen = new Set<string>();
  return answers.map(({ id, sample, response }) => {
    const example = byId.get(id);
    if (example === undefined) {
      throw new MlitError(
        'DATA_INVALID',
        `an answer is to record "${id}", which the prompts do not have; rate answers with the prompts they were sampled from`,
        { fields: { id } },
      );
    }
    const place = JSON.stringify([id, sample]);
    if (seen.has(place)) {
      throw new MlitError('DATA_INVALID', `record "${id}" has two answers of sample ${sample}`, {
        fields: { id, sample },
      });
    }
    seen.add(place);
    const turns = promptTurns(example);
    const prompt = rateWording({ turns, response }, rubric);
    const { lang, parallelId } = example;
    const key = sha256(JSON.stringify([judge, wording, turns, response])).slice(0, 32);
    return { prompt, line: { judge, model: name, id, item: parallelId ?? id, lang, sample, wording, key } };
  });
}

function summary(
  ratings: readonly RatingLine[],
  options: RateAnswersOptions,
): Pick<Rated, 'byLanguage' | 'all' | 'outOfForm' | 'models'> {
  const outOfForm: Record<string, number> = {};
  const models: Record<string, number> = {};
  for (const { rating, reason = 'out of form', judgeModel } of ratings) {
    if (rating === null) outOfForm[reason] = (outOfForm[reason] ?? 0) + 1;
    if (judgeModel !== undefined) models[judgeModel] = (models[judgeModel] ?? 0) + 1;
  }
  const languages = [...new Set(ratings.map(({ lang }) => lang))].sort();
  const of = (lang: string) => ratings.filter((rating) => rating.lang === lang);
  return {
    byLanguage: Object.fromEntries(languages.map((lang) => [lang, meansOf(of(lang), options)])),
    all: meansOf(ratings, options),
    outOfForm,
    models,
  };
}

function meansOf(
  ratings: readonly RatingLine[],
  { rubric, resamples, seed }: Pick<RateAnswersOptions, 'rubric' | 'resamples' | 'seed'>,
): RatedLanguage {
  const rated = ratings.filter(({ rating }) => rating !== null);
  const { names, range } = RATED[rubric];
  const items = [...new Set(rated.map(({ item }) => item))];
  const places = new Map(items.map((item, at) => [item, at]));
  const cells = names.map((name) => {
    const values = new Float64Array(items.length);
    const weights = new Float64Array(items.length);
    for (const { item, rating } of rated) {
      const at = places.get(item)!;
      values[at]! += (rating as Record<string, number>)[name]!;
      weights[at]! += 1;
    }
    return { values, weights, range };
  });
  const bootstrap = new PairedBootstrap(cells, {
    ...(resamples !== undefined && { resamples }),
    ...(seed !== undefined && { seed }),
  });
  return {
    rated: rated.length,
    outOfForm: ratings.length - rated.length,
    means: Object.fromEntries(names.map((name, at) => [name, bootstrap.estimate(at)])),
  };
}
