// Answers rated one by one by a rubric, without another to compare with: helpfulness from 1 to 6, or six facets from 0 to 2.
import type { Example } from '../../data/example';
import { MlitError } from '../../native/errors';
import { refuseUnknownOptions } from '../../text/options';
import type { AnswerLine } from '../measures/types';
import { PairedBootstrap } from '../statistics/bootstrap';
import type { Estimate } from '../statistics/estimate';
import type { RatingFile, RatingLine } from '../verdicts';
import type { JudgeSpending } from './judge';
import { type JudgeProgress, promptTurns } from './judge-pairs';
import { RATED, type Rater, type RatingNumbers, type RatingQuestion, type RatingReply } from './rater';
import { type MachineRubric, sha256 } from './wording';

/** Who rates which answers. */
export interface RateAnswersOptions {
  rater: Rater;
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
  /** Means of what the rater expects, where it tells that. */
  expected?: Record<string, Estimate>;
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

/** An answer to be rated: the question, and its line but for what is found out. */
interface Slot {
  question: RatingQuestion;
  line: Omit<RatingLine, 'rating' | 'reason' | 'expected' | 'at'> & { key: string };
}

/**
 * Has answers rated. Where a limit ends it early, the means are of what was rated, and `unasked` says how much is missing.
 *
 * @throws MlitError `JUDGE_FAILED`; `DATA_INVALID` for an answer whose prompt is not there or that comes twice; `DATA_EMPTY`;
 * `FILE_IO`; the signal's reason
 */
export async function rateAnswers(
  answers: readonly AnswerLine[],
  options: RateAnswersOptions,
): Promise<{ rated: Rated; ratings: RatingLine[] }> {
  refuseUnknownOptions('rateAnswers', options, {
    rater: true,
    prompts: true,
    name: true,
    ratings: true,
    resamples: true,
    seed: true,
    signal: true,
    onProgress: true,
  });
  const { rater, ratings: file, signal, onProgress } = options;
  const slots = slotsOf(answers, options);
  const found = new Map<string, RatingLine>();
  const toAsk = new Map<string, Slot[]>();
  const before = new Before(file);
  for (const slot of slots) {
    const { line } = slot;
    const known = before.recall(line);
    // Two samples may be the same text: it is asked about once.
    if (known === undefined) toAsk.set(line.key, [...(toAsk.get(line.key) ?? []), slot]);
    else found.set(line.key, known.line);
    if (known !== undefined && !known.named) await file?.append([{ ...known.line, ...line } as RatingLine]);
  }
  const known = slots.filter(({ line }) => found.has(line.key)).length;
  const failed: Record<string, number> = {};
  const started = performance.now();
  let asked = 0;
  const tell = (): void =>
    onProgress?.({
      done: known + asked,
      total: slots.length,
      known,
      spending: rater.spending,
      seconds: (performance.now() - started) / 1000,
    });
  tell();
  const questions = [...toAsk.values()].map(([first]) => first!.question);
  for await (const reply of rater.ask(questions, { signal })) {
    if (reply.failed !== undefined) {
      failed[reply.failed] = (failed[reply.failed] ?? 0) + 1;
      continue;
    }
    const lines = toAsk.get(reply.key)!.map(({ line }, index) => lineOf(line, reply, index === 0));
    await file?.append(lines);
    found.set(reply.key, lines[0]!);
    asked += lines.length;
    tell();
  }
  const ratings = slots.flatMap(({ line }) => {
    const rating = found.get(line.key);
    return rating === undefined ? [] : [{ ...rating, ...line } as RatingLine];
  });
  const { name: judge, rubric, wording, spending } = rater;
  const counts = { asked, known, unasked: slots.length - ratings.length, failed };
  return { rated: { judge, rubric, wording, ...summary(ratings, options), ...counts, spending }, ratings };
}

/** @param pays of samples that are one text, the first has the tokens that they cost */
function lineOf(line: Slot['line'], reply: RatingReply, pays: boolean): RatingLine {
  const { rating, reason, expected, model, tokens } = reply;
  return {
    ...line,
    rating,
    ...(reason !== undefined && { reason }),
    ...(expected !== undefined && { expected }),
    ...(model !== undefined && { judgeModel: model }),
    ...(tokens !== undefined && pays && { tokens }),
    at: new Date().toISOString(),
  } as RatingLine;
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
  recall(wanted: Slot['line']): { line: RatingLine; named: boolean } | undefined {
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

function slotsOf(answers: readonly AnswerLine[], { prompts, rater, name = 'A' }: RateAnswersOptions): Slot[] {
  const { name: judge, rubric, wording } = rater;
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
    const answer = JSON.stringify([id, sample]);
    if (seen.has(answer)) {
      throw new MlitError('DATA_INVALID', `record "${id}" has two answers of sample ${sample}`, {
        fields: { id, sample },
      });
    }
    seen.add(answer);
    const turns = promptTurns(example);
    const { lang, parallelId } = example;
    const key = sha256(JSON.stringify([judge, wording, turns, response])).slice(0, 32);
    const place = { id, item: parallelId ?? id, lang, sample };
    return {
      question: { key, turns, response },
      line: { judge, rubric, model: name, ...place, wording, key },
    };
  });
}

function summary(
  ratings: readonly RatingLine[],
  options: Pick<RateAnswersOptions, 'rater' | 'resamples' | 'seed'>,
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
  { rater, resamples, seed }: Pick<RateAnswersOptions, 'rater' | 'resamples' | 'seed'>,
): RatedLanguage {
  const rated = ratings.filter(({ rating }) => rating !== null);
  const { names, range } = RATED[rater.rubric];
  const items = [...new Set(rated.map(({ item }) => item))];
  const places = new Map(items.map((item, at) => [item, at]));
  const means = (numbersOf: (line: RatingLine) => unknown): Record<string, Estimate> => {
    const cells = names.map((name) => {
      const values = new Float64Array(items.length);
      const weights = new Float64Array(items.length);
      for (const line of rated) {
        const at = places.get(line.item)!;
        values[at]! += (numbersOf(line) as RatingNumbers)[name]!;
        weights[at]! += 1;
      }
      return { values, weights, range };
    });
    const bootstrap = new PairedBootstrap(cells, {
      ...(resamples !== undefined && { resamples }),
      ...(seed !== undefined && { seed }),
    });
    return Object.fromEntries(names.map((name, at) => [name, bootstrap.estimate(at)]));
  };
  const tellsExpected = rated.length > 0 && rated.every(({ expected }) => expected !== undefined);
  return {
    rated: rated.length,
    outOfForm: ratings.length - rated.length,
    means: means(({ rating }) => rating),
    ...(tellsExpected && { expected: means(({ expected }) => expected) }),
  };
}
