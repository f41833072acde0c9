// A model of this library as a judge: no reasons, one letter, the likelier one. Small models say the same letter whatever
// they read, which is why every judge faces planted pairs first.
import type { Model } from '../../model/model';
import { refuseUnknownOptions, refuseUnknownWord } from '../../text/options';
import { JUDGE_PROTOCOLS, type JudgeProtocol } from '../verdicts';
import { CHOICE_MODEL_OPTIONS, type ChoiceModel, ChoicePrompts } from './choice-prompts';
import type { Judge, JudgeQuestion, JudgeReply, JudgeSpending } from './judge';
import { likeliestLetters } from './letters';
import { compareWording, wordingVersion } from './wording';

/** Model, template and protocol of {@link LocalJudge}. */
export interface LocalJudgeOptions extends ChoiceModel {
  /** Default `forced`. */
  protocol?: JudgeProtocol | undefined;
}

const CHOICES = ['first', 'second', 'tie'] as const;
const LETTERS = ['A', 'B', 'C'] as const;

/** Compares the log-probabilities of the letters as the next token. */
export class LocalJudge implements Judge {
  readonly name: string;
  readonly protocol: JudgeProtocol;
  readonly wording: string;
  readonly spending: JudgeSpending = { calls: 0, tokens: 0 };
  readonly #model: Model;
  readonly #prompts: ChoicePrompts;

  private constructor({ model, protocol = 'forced' }: LocalJudgeOptions, prompts: ChoicePrompts) {
    this.name = prompts.name;
    this.protocol = protocol;
    this.wording = prompts.versionOf(wordingVersion({ protocol, form: 'letter' }));
    this.#model = model;
    this.#prompts = prompts;
  }

  /** @throws MlitError `TEMPLATE_INVALID`, `TOKENIZER_UNSUPPORTED` where the letters are not one token each */
  static async create(options: LocalJudgeOptions): Promise<LocalJudge> {
    refuseUnknownOptions('LocalJudge.create', options, { ...CHOICE_MODEL_OPTIONS, protocol: true });
    const { protocol = 'forced' } = options;
    refuseUnknownWord('LocalJudge.create', 'protocol', protocol, JUDGE_PROTOCOLS);
    const letters = LETTERS.slice(0, protocol === 'tie' ? 3 : 2);
    return new LocalJudge(options, await ChoicePrompts.create(options, letters, 'Verdict:'));
  }

  async *ask(
    questions: readonly JudgeQuestion[],
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<JudgeReply> {
    const { ids, tooLong } = this.#prompts;
    const fitting: { key: string; prompt: Int32Array }[] = [];
    for (const question of questions) {
      const { key } = question;
      const prompt = this.#prompts.render(this.#content(question));
      if (prompt === undefined) yield { key, choice: null, reason: tooLong };
      else fitting.push({ key, prompt });
    }
    const prompts = fitting.map(({ prompt }) => prompt);
    for await (const { prompt, letter } of likeliestLetters(this.#model, prompts, ids, options.signal))
      yield { key: fitting[prompt]!.key, choice: CHOICES[letter]! };
  }

  #content({ turns, first, second }: JudgeQuestion): string {
    const safe = (text: string): string => this.#prompts.safe(text);
    const question = {
      turns: turns.map(({ role, content }) => ({ role, content: safe(content) })),
      first: safe(first),
      second: safe(second),
    };
    return compareWording(question, this.protocol, 'letter');
  }

  /** The model is the caller's. */
  async dispose(): Promise<void> {}

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
