// A chat template turns a conversation into the one text that a model was, or is to be, tuned on. Which template, whether
// the vocabulary can carry it and where a turn ends is settled here once, before any record is rendered.

import { readFile } from 'node:fs/promises';
import { Environment, Interpreter, Template } from '@huggingface/jinja';
import { MlitError } from '../native/errors';
import { refuseUnknownOptions } from '../text/options';
import { BUILTIN_TEMPLATES } from './templates-builtin';
import type { Tokenizer } from './tokenizer';

/** One turn of a conversation. */
export interface ChatTurn {
  role: string;
  content: string;
}

/** Which template, for which tokenizer. */
export interface ChatTemplateOptions {
  /** `auto` (the model's own), `gemma`, `chatml`, `llama3`, `mistral`, `alpaca`, `none`, or a Jinja file. Default `auto`. */
  template?: string;
  tokenizer: Tokenizer;
  /** What `strftime_now` answers with in every rendering (UTC): a run's start. Default: now. */
  now?: Date | string;
}

/** Whether a template is given as a Jinja file: by its form, whatever lies in the working folder. */
export function isTemplateFile(choice: string): boolean {
  return /[./\\]/.test(choice);
}

/** How a template closes an assistant's turn. */
export interface TurnEnd {
  /** Ids right after the response, up to and including the end-of-turn token; the training target's end. */
  ids: readonly number[];
  /** All text that the template puts after a response: the turn's end and what follows it. */
  text: string;
}

const SENTINEL = '\u2063response\u2063';
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

/** How turns become text, and where a response ends. */
export class ChatTemplate {
  /** `gemma`, `none`, …, a file's path, or `model` for the model's own. */
  readonly name: string;
  /** Jinja source; empty for `none`. */
  readonly source: string;
  /** ISO time that `strftime_now` is frozen at. */
  readonly now: string;
  /** What a person should be told about the choice, if anything. */
  readonly note: string | undefined;
  readonly #program: Template['parsed'] | null;
  readonly #tokenizer: Tokenizer;
  readonly #end: TurnEnd;

  private constructor(name: string, source: string, options: ChatTemplateOptions, note?: string) {
    this.name = name;
    this.source = source;
    this.now = new Date(options.now ?? Date.now()).toISOString();
    this.note = note;
    this.#tokenizer = options.tokenizer;
    if (name === 'none') {
      this.#program = null;
      this.#end = { ids: [], text: '' };
      return;
    }
    try {
      this.#program = new Template(source).parsed;
    } catch (cause) {
      throw invalid(name, `does not parse as Jinja: ${(cause as Error).message}`, cause);
    }
    this.#end = this.#findEnd();
  }

  /**
   * Settles which template is meant.
   *
   * `auto` on a model that brings none takes the built-in whose tokens the vocabulary has, and says so in `note`.
   *
   * @throws MlitError `TEMPLATE_INVALID` for an unknown name, a vocabulary without the template's tokens, a template that
   * does not parse or does not end an assistant's turn; `FILE_NOT_FOUND` for a file that is not there
   */
  static async create(options: ChatTemplateOptions): Promise<ChatTemplate> {
    refuseUnknownOptions('ChatTemplate.create', options, { template: true, tokenizer: true, now: true });
    const choice = options.template ?? 'auto';
    if (choice === 'none') return new ChatTemplate('none', '', options);
    if (choice === 'auto') return ChatTemplate.#auto(options);
    if (Object.hasOwn(BUILTIN_TEMPLATES, choice)) return ChatTemplate.#builtin(choice, options);
    if (!isTemplateFile(choice)) {
      throw new MlitError(
        'TEMPLATE_INVALID',
        `template: "${choice}" is not known; expected auto, ${Object.keys(BUILTIN_TEMPLATES).join(', ')}, none, or the path of a Jinja file`,
        { fields: { option: 'template', value: choice } },
      );
    }
    let source: string;
    try {
      source = await readFile(choice, 'utf8');
    } catch (cause) {
      throw new MlitError(
        'FILE_NOT_FOUND',
        `template: the Jinja file ${choice} can’t be read (${(cause as Error).message})`,
        {
          fields: { option: 'template', file: choice },
          cause,
        },
      );
    }
    return new ChatTemplate(choice, source, options);
  }

  static #auto(options: ChatTemplateOptions): ChatTemplate {
    const own = options.tokenizer.chatTemplate;
    if (own !== undefined) return new ChatTemplate('model', own, options);
    for (const [name, { tokens }] of Object.entries(BUILTIN_TEMPLATES)) {
      if (tokens.length === 0 || missingTokens(tokens, options.tokenizer).length > 0) continue;
      const note = `the model brings no chat template: the built-in "${name}" is used, whose tokens its vocabulary has`;
      return ChatTemplate.#builtin(name, options, note);
    }
    throw new MlitError(
      'TEMPLATE_INVALID',
      'template: the model brings no chat template, and its vocabulary has no chat format’s tokens; choose alpaca, mistral, a Jinja file, or none',
      { fields: { option: 'template', value: 'auto' } },
    );
  }

  static #builtin(name: string, options: ChatTemplateOptions, note?: string): ChatTemplate {
    const { source, tokens, needsEos } = BUILTIN_TEMPLATES[name] as (typeof BUILTIN_TEMPLATES)[string];
    const missing = missingTokens(tokens, options.tokenizer);
    if (missing.length > 0) {
      throw invalid(
        name,
        `needs ${missing.join(', ')} as single tokens, which this model’s vocabulary lacks`,
      );
    }
    if (needsEos && options.tokenizer.eosIds.length === 0) {
      throw invalid(name, 'ends turns with the EOS token, which this model’s tokenizer lacks');
    }
    return new ChatTemplate(name, source, options, note);
  }

  /** How an assistant's turn ends; nothing for `none`. */
  get end(): TurnEnd {
    return this.#end;
  }

  /**
   * The text of a conversation.
   *
   * @throws MlitError `TEMPLATE_INVALID` with the template's own complaint, e.g. about the order of roles
   */
  render(turns: readonly ChatTurn[], options: { addGenerationPrompt: boolean }): string {
    if (this.#program === null) return turns.map((turn) => turn.content).join('');
    const environment = new Environment();
    const variables: Record<string, unknown> = {
      true: true,
      false: false,
      none: null,
      True: true,
      False: false,
      None: null,
      range: (start: number, stop?: number, step = 1) => range(start, stop, step),
      raise_exception: (message: string) => {
        throw new Error(message);
      },
      strftime_now: (format: string) => strftime(new Date(this.now), format),
      messages: turns.map(({ role, content }) => ({ role, content })),
      add_generation_prompt: options.addGenerationPrompt,
      bos_token: this.#tokenText(this.#tokenizer.bosId),
      eos_token: this.#tokenText(this.#tokenizer.eosIds[0]),
      pad_token: this.#tokenText(this.#tokenizer.padId),
    };
    for (const [name, value] of Object.entries(variables)) environment.set(name, value);
    try {
      return String(new Interpreter(environment).run(this.#program).value);
    } catch (cause) {
      throw invalid(this.name, `refuses this conversation: ${(cause as Error).message}`, cause);
    }
  }

  #tokenText(id: number | undefined): string {
    return id === undefined ? '' : (this.#tokenizer.idToToken(id) ?? '');
  }

  /** Renders a marked response and looks at what the template puts after it. */
  #findEnd(): TurnEnd {
    const turns = [
      { role: 'user', content: 'question' },
      { role: 'assistant', content: SENTINEL },
    ];
    const text = this.render(turns, { addGenerationPrompt: false });
    const at = text.indexOf(SENTINEL);
    if (at === -1) throw invalid(this.name, 'leaves the assistant’s answer out');
    const after = text.slice(at + SENTINEL.length);
    const ids = [...this.#tokenizer.encode(after, { addBos: false })];
    const control = ids.findIndex((id) => this.#tokenizer.isControl(id));
    if (control !== -1) return { ids: ids.slice(0, control + 1), text: after };
    const eos = this.#tokenizer.eosIds[0];
    if (eos === undefined) {
      throw invalid(
        this.name,
        'puts no control token after an answer, and the tokenizer has no EOS: no answer would ever end',
      );
    }
    return { ids: [eos], text: after };
  }
}

function missingTokens(tokens: readonly string[], tokenizer: Tokenizer): string[] {
  return tokens.filter((token) => {
    const id = tokenizer.tokenToId(token);
    return id === undefined || !tokenizer.isControl(id);
  });
}

function invalid(name: string, what: string, cause?: unknown): MlitError {
  return new MlitError('TEMPLATE_INVALID', `template "${name}" ${what}`, {
    fields: { template: name },
    cause,
  });
}

/** As in Jinja's own sandbox. */
const MAX_RANGE = 100_000;

function range(start: number, stop: number | undefined, step: number): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  const count = Math.max(0, Math.ceil((to - from) / step));
  if (count > MAX_RANGE) throw new RangeError(`range() of ${count} numbers; expected at most ${MAX_RANGE}`);
  return Array.from({ length: count }, (_, i) => from + i * step);
}

/** C's strftime in English and UTC, whatever the machine's locale is. */
function strftime(time: Date, format: string): string {
  const pad = (value: number): string => String(value).padStart(2, '0');
  const month = MONTHS[time.getUTCMonth()] as string;
  const day = DAYS[time.getUTCDay()] as string;
  const fields: Record<string, string> = {
    Y: String(time.getUTCFullYear()),
    y: pad(time.getUTCFullYear() % 100),
    m: pad(time.getUTCMonth() + 1),
    d: pad(time.getUTCDate()),
    B: month,
    b: month.slice(0, 3),
    A: day,
    a: day.slice(0, 3),
    H: pad(time.getUTCHours()),
    M: pad(time.getUTCMinutes()),
    S: pad(time.getUTCSeconds()),
    '%': '%',
  };
  return format.replace(/%(.)/g, (whole, letter: string) => fields[letter] ?? whole);
}
