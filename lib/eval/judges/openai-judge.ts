// A model behind an OpenAI-compatible endpoint as a judge: it writes its reasons, and its last line is the verdict.
import { refuseUnknownOptions, refuseUnknownWord } from '../../text/options';
import { JUDGE_PROTOCOLS, type JudgeProtocol } from '../verdicts';
import { askAll } from './ask-all';
import { ENDPOINT_OPTIONS, Endpoint, type EndpointAnswer, type EndpointOptions } from './endpoint';
import type { Judge, JudgeQuestion, JudgeReply, JudgeSpending } from './judge';
import { parseVerdict } from './parse';
import { compareWording, wordingVersion } from './wording';

/** Endpoint, model and protocol of {@link OpenAIJudge}. */
export interface OpenAIJudgeOptions extends EndpointOptions {
  /** Default `forced`. */
  protocol?: JudgeProtocol | undefined;
}

/** How verdicts and ratings name an endpoint's model: where it is asked, without the path that all have. */
export function endpointName({ model, url }: { model: string; url: string }): string {
  const { host, pathname } = new URL(url);
  const path = pathname.replace(/\/+$/, '').replace(/\/v1$/, '');
  return `openai:${model}@${host}${path}`;
}

/** Any OpenAI-compatible endpoint. The key is `MLIT_JUDGE_API_KEY`'s, else `OPENAI_API_KEY`'s. */
export class OpenAIJudge implements Judge {
  readonly name: string;
  readonly protocol: JudgeProtocol;
  readonly wording: string;
  readonly #endpoint: Endpoint;
  readonly #concurrency: number | undefined;
  #disposed = false;

  constructor(options: OpenAIJudgeOptions) {
    refuseUnknownOptions('OpenAIJudge', options, { ...ENDPOINT_OPTIONS, protocol: true });
    const { protocol = 'forced', concurrency, ...endpoint } = options;
    refuseUnknownWord('OpenAIJudge', 'protocol', protocol, JUDGE_PROTOCOLS);
    this.protocol = protocol;
    this.name = endpointName(options);
    this.wording = wordingVersion({ protocol, form: 'last-line' });
    this.#concurrency = concurrency;
    this.#endpoint = new Endpoint(endpoint);
  }

  get spending(): JudgeSpending {
    return this.#endpoint.spending;
  }

  async *ask(
    questions: readonly JudgeQuestion[],
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<JudgeReply> {
    if (this.#disposed) throw new RangeError('judge: it was disposed');
    const { protocol } = this;
    const prompts = function* () {
      for (const question of questions)
        yield { key: question.key, prompt: compareWording(question, protocol) };
    };
    const answers = askAll(this.#endpoint, prompts(), { ...options, concurrency: this.#concurrency });
    for await (const { question, answer } of answers) yield toReply(question.key, answer, protocol);
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

function toReply(
  key: string,
  answer: Exclude<EndpointAnswer, { kind: 'unasked' }>,
  protocol: JudgeProtocol,
): JudgeReply {
  if (answer.kind === 'failed') return { key, choice: null, failed: answer.why };
  const read = parseVerdict(answer, protocol);
  return {
    key,
    ...('value' in read ? { choice: read.value } : { choice: null, reason: read.reason }),
    ...(answer.model !== undefined && { model: answer.model }),
    tokens: answer.tokens,
  };
}
