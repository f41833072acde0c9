// A model of this library as a rater: no reasons, one digit for each number of the rubric. The rating is the likeliest digit, so that
// it is what people and endpoints give; what the digits' probabilities expect is kept beside it, since a small model's likeliest
// digit is often the same whatever it reads.
import type { Model } from '../../model/model';
import { refuseUnknownOptions, refuseUnknownWord } from '../../text/options';
import { CHOICE_MODEL_OPTIONS, type ChoiceModel, ChoicePrompts } from './choice-prompts';
import type { JudgeSpending } from './judge';
import { letterDistributions, likeliest } from './letters';
import { RATED, type Rater, type RatingNumbers, type RatingQuestion, type RatingReply } from './rater';
import { digitWordings, type MachineRubric, wordingVersion } from './wording';

/** Model, template and rubric of {@link LocalRater}. */
export interface LocalRaterOptions extends ChoiceModel {
  rubric: MachineRubric;
}

/** Answers asked about in one go: so many are lost at most where the work is cut off. */
const TOGETHER = 64;

/** An answer under way. */
interface Asked {
  key: string;
  /** [numbers of the rubric][digits] */
  logprobs: number[][];
  /** Numbers that are not known yet. */
  left: number;
}

/** Compares the log-probabilities of the digits as the next token. */
export class LocalRater implements Rater {
  readonly name: string;
  readonly rubric: MachineRubric;
  readonly wording: string;
  readonly spending: JudgeSpending = { calls: 0, tokens: 0 };
  readonly #model: Model;
  readonly #prompts: ChoicePrompts;

  private constructor({ model, rubric }: LocalRaterOptions, prompts: ChoicePrompts) {
    this.name = prompts.name;
    this.rubric = rubric;
    this.wording = prompts.versionOf(wordingVersion({ rubric, form: 'digit' }));
    this.#model = model;
    this.#prompts = prompts;
  }

  /** @throws MlitError `TEMPLATE_INVALID`, `TOKENIZER_UNSUPPORTED` where the digits are not one token each */
  static async create(options: LocalRaterOptions): Promise<LocalRater> {
    refuseUnknownOptions('LocalRater.create', options, { ...CHOICE_MODEL_OPTIONS, rubric: true });
    refuseUnknownWord('LocalRater.create', 'rubric', options.rubric, Object.keys(RATED));
    return new LocalRater(options, await ChoicePrompts.create(options, digitsOf(options.rubric), 'Rating:'));
  }

  async *ask(
    questions: readonly RatingQuestion[],
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<RatingReply> {
    for (let at = 0; at < questions.length; at += TOGETHER)
      yield* this.#askTogether(questions.slice(at, at + TOGETHER), options.signal);
  }

  async *#askTogether(
    questions: readonly RatingQuestion[],
    signal: AbortSignal | undefined,
  ): AsyncGenerator<RatingReply> {
    const prompts: Int32Array[] = [];
    const asked: { of: Asked; number: number }[] = [];
    for (const question of questions) {
      const own = this.#render(question);
      if (own === undefined) {
        yield { key: question.key, rating: null, reason: this.#prompts.tooLong };
        continue;
      }
      const of: Asked = { key: question.key, logprobs: own.map(() => []), left: own.length };
      asked.push(...own.map((_, number) => ({ of, number })));
      prompts.push(...own);
    }
    const { ids } = this.#prompts;
    for await (const { prompt, logprobs } of letterDistributions(this.#model, prompts, ids, signal)) {
      const { of, number } = asked[prompt]!;
      of.logprobs[number] = logprobs;
      of.left -= 1;
      if (of.left === 0) yield { key: of.key, ...this.#read(of.logprobs) };
    }
  }

  /** Undefined where one of the prompts has no room in the model's context. */
  #render({ turns, response }: RatingQuestion): Int32Array[] | undefined {
    const safe = (text: string): string => this.#prompts.safe(text);
    const material = {
      turns: turns.map(({ role, content }) => ({ role, content: safe(content) })),
      response: safe(response),
    };
    const prompts = digitWordings(material, this.rubric).map((content) => this.#prompts.render(content));
    return prompts.every((prompt) => prompt !== undefined) ? prompts : undefined;
  }

  /** @param logprobs [numbers of the rubric][digits] */
  #read(logprobs: readonly number[][]): { rating: RatingNumbers; expected: RatingNumbers } {
    const { names, range } = RATED[this.rubric];
    const [least] = range;
    const entries = (value: (own: readonly number[]) => number): RatingNumbers =>
      Object.fromEntries(names.map((name, at) => [name, value(logprobs[at]!)]));
    return {
      rating: entries((own) => least + likeliest(own)),
      expected: entries((own) => expectation(own, least)),
    };
  }

  /** The model is the caller's. */
  async dispose(): Promise<void> {}

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

function digitsOf(rubric: MachineRubric): string[] {
  const [least, most] = RATED[rubric].range;
  return Array.from({ length: most - least + 1 }, (_, at) => String(least + at));
}

/** The mean digit over the digits' probabilities, which are taken to be all there are; to four decimals. */
function expectation(logprobs: readonly number[], least: number): number {
  const highest = Math.max(...logprobs);
  const weights = logprobs.map((logprob) => Math.exp(logprob - highest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const mean = weights.reduce((sum, weight, at) => sum + weight * at, 0) / total;
  return Math.round((least + mean) * 1e4) / 1e4;
}
