// A model of this library as a judge: no reasons, one letter, the likelier one. Small models say the same letter whatever
// they read, which is why every judge faces planted pairs first.
import { renderPrompt } from '../../data/render';
import type { Model } from '../../model/model';
import { ChatTemplate } from '../../model/template';
import type { Tokenizer } from '../../model/tokenizer';
import { modelIdentity } from '../../model/weight-files';
import { refuseUnknownOptions } from '../../text/options';
import type { JudgeProtocol } from '../verdicts';
import type { Judge, JudgeQuestion, JudgeReply, JudgeSpending } from './judge';
import { findLetters, type Letters, likeliestLetters, PREFILL } from './letters';
import { compareWording, sha256, wordingVersion } from './wording';

/** Model, template and protocol of {@link LocalJudge}. */
export interface LocalJudgeOptions {
  /** Stays the caller's: it is not disposed with the judge. */
  model: Model;
  /** What verdicts call it, behind `local:`. Default: the model's base name. */
  name?: string | undefined;
  /** Default `forced`. */
  protocol?: JudgeProtocol | undefined;
  /** As `mlit sample` takes it. Default `auto`. */
  template?: string | undefined;
  /** Told what people should know of the template. */
  onNote?: ((note: string) => void) | undefined;
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
  readonly #template: ChatTemplate;
  readonly #letters: Letters;

  private constructor(
    options: LocalJudgeOptions,
    { template, letters, identity }: { template: ChatTemplate; letters: Letters; identity: string },
  ) {
    const { model, protocol = 'forced' } = options;
    this.name = `local:${options.name ?? model.source.baseName}`;
    this.protocol = protocol;
    // Names of files say little: other weights, or another template, are another judge.
    const words = wordingVersion({ protocol, form: 'letter' });
    const parts = [words, template.name, template.source, PREFILL, identity];
    this.wording = sha256(JSON.stringify(parts)).slice(0, 12);
    this.#model = model;
    this.#template = template;
    this.#letters = letters;
  }

  /** @throws MlitError `TEMPLATE_INVALID`, `TOKENIZER_UNSUPPORTED` where the letters are not one token each */
  static async create(options: LocalJudgeOptions): Promise<LocalJudge> {
    refuseUnknownOptions('LocalJudge.create', options, {
      model: true,
      name: true,
      protocol: true,
      template: true,
      onNote: true,
    });
    const { model, protocol = 'forced', template = 'auto', onNote } = options;
    const { tokenizer } = model;
    const chat = await ChatTemplate.create({ template, tokenizer });
    if (chat.note !== undefined) onNote?.(chat.note);
    const letters = findLetters(tokenizer, LETTERS.slice(0, protocol === 'tie' ? 3 : 2));
    const identity = await modelIdentity(model.source.path, model.source.kind);
    return new LocalJudge(options, { template: chat, letters, identity });
  }

  async *ask(
    questions: readonly JudgeQuestion[],
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<JudgeReply> {
    const model = this.#model;
    const { contextLength } = model.config;
    const fitting: { key: string; prompt: Int32Array }[] = [];
    for (const question of questions) {
      const prompt = this.#prompt(question);
      if (contextLength > 0 && prompt.length + 1 > contextLength) {
        const reason = `longer than the model’s context of ${contextLength} tokens`;
        yield { key: question.key, choice: null, reason };
      } else {
        fitting.push({ key: question.key, prompt });
      }
    }
    const prompts = fitting.map(({ prompt }) => prompt);
    for await (const { prompt, letter } of likeliestLetters(
      model,
      prompts,
      this.#letters.ids,
      options.signal,
    ))
      yield { key: fitting[prompt]!.key, choice: CHOICES[letter]! };
  }

  #prompt({ turns, first, second }: JudgeQuestion): Int32Array {
    const { tokenizer } = this.#model;
    const safe = (text: string): string => withoutControl(text, tokenizer);
    const question = {
      turns: turns.map(({ role, content }) => ({ role, content: safe(content) })),
      first: safe(first),
      second: safe(second),
    };
    const content = compareWording(question, this.protocol, 'letter');
    const context = { tokenizer, template: this.#template };
    const { tokens } = renderPrompt([{ role: 'user', content }], context);
    return Int32Array.from([...tokens, ...this.#letters.prefill]);
  }

  /** The model is the caller's. */
  async dispose(): Promise<void> {}

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** A text that spells control tokens would end the turn that it is shown in: such words are parted by zero-width spaces. */
function withoutControl(text: string, tokenizer: Tokenizer): string {
  if (!tokenizer.spellsControl(text)) return text;
  const parted = text.replace(/[<[|]/g, '$&\u200b');
  return tokenizer.spellsControl(parted) ? [...text].join('\u200b') : parted;
}
