// A model behind an OpenAI-compatible endpoint as a rater: it writes its reasons, and its last line holds the numbers.
import { refuseUnknownOptions, refuseUnknownWord } from '../../text/options';
import { askAll } from './ask-all';
import { ENDPOINT_OPTIONS, Endpoint, type EndpointOptions } from './endpoint';
import type { JudgeSpending } from './judge';
import { endpointName } from './openai-judge';
import { parseRating } from './parse';
import { RATED, type Rater, type RatingQuestion, type RatingReply } from './rater';
import { type MachineRubric, rateWording, wordingVersion } from './wording';

/** Endpoint, model and rubric of {@link OpenAIRater}. */
export interface OpenAIRaterOptions extends EndpointOptions {
  rubric: MachineRubric;
}

/** Any OpenAI-compatible endpoint. The key is `MLIT_JUDGE_API_KEY`'s, else `OPENAI_API_KEY`'s. */
export class OpenAIRater implements Rater {
  readonly name: string;
  readonly rubric: MachineRubric;
  readonly wording: string;
  readonly #endpoint: Endpoint;
  readonly #concurrency: number | undefined;
  #disposed = false;

  constructor(options: OpenAIRaterOptions) {
    refuseUnknownOptions('OpenAIRater', options, { ...ENDPOINT_OPTIONS, rubric: true });
    refuseUnknownWord('OpenAIRater', 'rubric', options.rubric, Object.keys(RATED));
    const { rubric, concurrency, ...endpoint } = options;
    this.name = endpointName(options);
    this.rubric = rubric;
    this.wording = wordingVersion({ rubric, form: 'last-line' });
    this.#concurrency = concurrency;
    this.#endpoint = new Endpoint(endpoint);
  }

  get spending(): JudgeSpending {
    return this.#endpoint.spending;
  }

  async *ask(
    questions: readonly RatingQuestion[],
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<RatingReply> {
    if (this.#disposed) throw new RangeError('rater: it was disposed');
    const { rubric } = this;
    const prompts = function* () {
      for (const question of questions) yield { key: question.key, prompt: rateWording(question, rubric) };
    };
    const answers = askAll(this.#endpoint, prompts(), { ...options, concurrency: this.#concurrency });
    for await (const { question, answer } of answers) {
      const { key } = question;
      if (answer.kind === 'failed') {
        yield { key, rating: null, failed: answer.why };
        continue;
      }
      const read = parseRating(answer, rubric);
      yield {
        key,
        ...('value' in read ? { rating: read.value } : { rating: null, reason: read.reason }),
        ...(answer.model !== undefined && { model: answer.model }),
        tokens: answer.tokens,
      };
    }
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
