// Questions to a local model whose reply is one of a few single tokens: rendered by its template, with the beginning of the reply
// put into its mouth.
import { renderPrompt } from '../../data/render';
import type { Model } from '../../model/model';
import { ChatTemplate } from '../../model/template';
import type { Tokenizer } from '../../model/tokenizer';
import { modelIdentity } from '../../model/weight-files';
import type { OptionNames } from '../../text/options';
import { findLetters, type Letters } from './letters';
import { sha256 } from './wording';

/** Who is asked, and by which template. */
export interface ChoiceModel {
  /** Stays the caller's: it is not disposed with the judge. */
  model: Model;
  /** What lines call it, behind `local:`. Default: the model's base name. */
  name?: string | undefined;
  /** As `mlit sample` takes it. Default `auto`. */
  template?: string | undefined;
  /** Told what people should know of the template. */
  onNote?: ((note: string) => void) | undefined;
}

/** Their names, for who has some of his own beside them. */
export const CHOICE_MODEL_OPTIONS = {
  model: true,
  name: true,
  template: true,
  onNote: true,
} as const satisfies OptionNames<ChoiceModel>;

/** Makes prompts whose next token is the reply. */
export class ChoicePrompts {
  /** As verdicts and ratings name the model. */
  readonly name: string;
  /** Of the choices, in their order. */
  readonly ids: readonly number[];
  /** Why {@link render} has no prompt. */
  readonly tooLong: string;
  readonly #model: Model;
  readonly #template: ChatTemplate;
  readonly #letters: Letters;
  readonly #prefill: string;
  readonly #identity: string;

  private constructor(
    { model, name }: ChoiceModel,
    parts: { template: ChatTemplate; letters: Letters; prefill: string; identity: string },
  ) {
    this.name = `local:${name ?? model.source.baseName}`;
    this.ids = parts.letters.ids;
    this.tooLong = `longer than the model’s context of ${model.config.contextLength} tokens`;
    this.#model = model;
    this.#template = parts.template;
    this.#letters = parts.letters;
    this.#prefill = parts.prefill;
    this.#identity = parts.identity;
  }

  /**
   * @param prefill what the reply begins with, before the choice
   * @throws MlitError `TEMPLATE_INVALID`, `TOKENIZER_UNSUPPORTED` where the choices are not one token each
   */
  static async create(of: ChoiceModel, choices: readonly string[], prefill: string): Promise<ChoicePrompts> {
    const { model, template = 'auto', onNote } = of;
    const { tokenizer, source } = model;
    const chat = await ChatTemplate.create({ template, tokenizer });
    if (chat.note !== undefined) onNote?.(chat.note);
    const letters = findLetters(tokenizer, choices, prefill);
    const identity = await modelIdentity(source.path, source.kind);
    return new ChoicePrompts(of, { template: chat, letters, prefill, identity });
  }

  /**
   * Of words and of whom they are put to. Names of files say little: other weights, another template, or products in another arithmetic,
   * are another judge.
   */
  versionOf(words: string): string {
    const { name, source } = this.#template;
    const { baseDtype, compute } = this.#model;
    const of = [words, name, source, this.#prefill, this.#identity, baseDtype, compute];
    return sha256(JSON.stringify(of)).slice(0, 12);
  }

  /** A text that spells control tokens would end the turn that it is shown in: such words are parted by zero-width spaces. */
  safe(text: string): string {
    return withoutControl(text, this.#model.tokenizer);
  }

  /** @returns ids, BOS included, up to where the choice stands; undefined where the model's context has no room for it */
  render(content: string): Int32Array | undefined {
    const { tokenizer, config } = this.#model;
    const context = { tokenizer, template: this.#template };
    const { tokens } = renderPrompt([{ role: 'user', content }], context);
    const length = tokens.length + this.#letters.prefill.length;
    if (config.contextLength > 0 && length + 1 > config.contextLength) return undefined;
    return Int32Array.from([...tokens, ...this.#letters.prefill]);
  }
}

function withoutControl(text: string, tokenizer: Tokenizer): string {
  if (!tokenizer.spellsControl(text)) return text;
  const parted = text.replace(/[<[|]/g, '$&\u200b');
  return tokenizer.spellsControl(parted) ? [...text].join('\u200b') : parted;
}
