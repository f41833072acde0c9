// From an Example to token ids and weights. The prompt is encoded exactly as sampling feeds it and the response on its own,
// so that what is trained is what is met later; only the response and the token that ends the turn are targets.

import type { ChatTemplate, ChatTurn } from '../model/template';
import type { Tokenizer } from '../model/tokenizer';
import { MlitError } from '../native/errors';
import { type OptionNames, refuseUnknownOptions } from '../text/options';
import { type Example, place, type RecordSource } from './example';

/** A record ready to be trained on or scored. */
export interface RenderedExample {
  /** The record's id; with `#2`, `#3` … where each assistant turn became an example of its own. */
  id: string;
  lang: string;
  parallelId?: string;
  /** [length] ids, BOS first where the model has one. */
  tokens: Int32Array;
  /** [length] weight of tokens[i] as a target, predicted from those before it; 0 = context. `weights[0]` is 0. */
  weights: Float32Array;
  /** Tokens before the first target. */
  promptLength: number;
  /** Whether something was cut off. */
  cut: boolean;
  /** Responses in it without a visible character: little but the end of their turn is a target. Absent: none. */
  emptyResponses?: number;
  source: RecordSource;
}

/** Template and tokenizer by which turns become tokens. */
export interface RenderContext {
  tokenizer: Tokenizer;
  template: ChatTemplate;
  /** A system turn for conversations that have none. */
  system?: string | undefined;
}

/** Template and limits by which records become tokens. */
export interface RenderOptions extends RenderContext {
  /** Tokens of a record at most. Default 2048. */
  maxLength?: number;
  /** Tokens of the prompt at most; its beginning (after BOS) is cut, so that it still ends as a prompt. Default: no limit. */
  maxPrompt?: number | undefined;
  /** Tokens of one response at most, the end-of-turn token included. Default: no limit. */
  maxResponse?: number | undefined;
  /** `cut` shortens a record that is too long, `drop` leaves it out. Both are counted. Default `cut`. */
  truncate?: 'cut' | 'drop';
  /** `token`: every target weighs 1. `example`: the targets of a record weigh 1 together. Default `token`. */
  lossNorm?: 'token' | 'example';
}

/** What rendering did to a data set. */
export interface RenderReport {
  records: number;
  examples: number;
  /** Records with something cut off, by language. */
  cut: Record<string, number>;
  /** Records left out for their length, by language. */
  dropped: Record<string, number>;
  /** Records with an empty response, by language. */
  emptyResponses: Record<string, number>;
  /** Tokens by language: all, and those that are targets. */
  tokens: Record<string, number>;
  supervisedTokens: Record<string, number>;
  /** Records whose own text spells control tokens (which it then contains), and how many such tokens there are. */
  controlTokenRecords: number;
  controlTokens: number;
}

const RENDERING: OptionNames<RenderOptions> = {
  tokenizer: true,
  template: true,
  system: true,
  maxLength: true,
  maxPrompt: true,
  maxResponse: true,
  truncate: true,
  lossNorm: true,
};

/** A prompt's text and ids, exactly as training puts them before a response. */
export function renderPrompt(
  turns: readonly ChatTurn[],
  context: RenderContext,
): { text: string; tokens: Int32Array } {
  refuseUnknownOptions<Partial<RenderOptions>>('renderPrompt', context, RENDERING); // of records and prompts alike
  const { template, tokenizer } = context;
  const text = template.render(withSystem(turns, context), { addGenerationPrompt: true });
  return { text, tokens: withOneBos(tokenizer.encode(text, { addBos: false }), tokenizer) };
}

/**
 * Renders a data set.
 *
 * @throws MlitError `DATA_INVALID` naming the record that has no target after truncation, or that the template refuses;
 * `DATA_EMPTY` when every record was dropped
 */
export function renderExamples(
  examples: Iterable<Example>,
  options: RenderOptions,
): { examples: RenderedExample[]; report: RenderReport } {
  refuseUnknownOptions('renderExamples', options, RENDERING);
  const rendered: RenderedExample[] = [];
  const report: RenderReport = {
    records: 0,
    examples: 0,
    cut: {},
    dropped: {},
    emptyResponses: {},
    tokens: {},
    supervisedTokens: {},
    controlTokenRecords: 0,
    controlTokens: 0,
  };
  for (const example of examples) {
    report.records += 1;
    const { lang } = example;
    const parts = renderExample(example, options);
    if (parts.length === 0) add(report.dropped, lang, 1);
    if (parts.some((part) => part.cut)) add(report.cut, lang, 1);
    if (parts.some((part) => part.emptyResponses)) add(report.emptyResponses, lang, 1);
    for (const part of parts) {
      add(report.tokens, lang, part.tokens.length);
      add(report.supervisedTokens, lang, countTargets(part.weights));
      rendered.push(part);
    }
    const control = countControlTokens(example, options.tokenizer);
    report.controlTokens += control;
    if (control > 0) report.controlTokenRecords += 1;
  }
  report.examples = rendered.length;
  if (rendered.length === 0) {
    const why =
      report.records === 0
        ? 'there are no records'
        : `all ${report.records} records were dropped for their length`;
    throw new MlitError('DATA_EMPTY', `data: no record is left: ${why}`, {
      fields: { records: report.records },
    });
  }
  return { examples: rendered, report };
}

/** What a person should know of it: a line each. */
export function describeReport(report: RenderReport): string[] {
  const lines: string[] = [];
  const list = (counts: Record<string, number>): string =>
    Object.entries(counts)
      .map(([lang, n]) => `${lang} ${n}`)
      .join(', ');
  if (Object.keys(report.cut).length > 0) lines.push(`records cut to length: ${list(report.cut)}`);
  if (Object.keys(report.dropped).length > 0)
    lines.push(`records left out for their length: ${list(report.dropped)}`);
  if (Object.keys(report.emptyResponses).length > 0) {
    lines.push(
      `warning: records with an empty response, in which only the end of the turn is a target: ${list(report.emptyResponses)} (fill them in or leave them out, unless silence is the right answer)`,
    );
  }
  if (report.controlTokenRecords > 0) {
    lines.push(
      `${report.controlTokenRecords} records spell control tokens in their own text (${report.controlTokens} tokens)`,
    );
  }
  return lines;
}

/**
 * How long records may be: `maxLength`, or the model's context (0 = not known) where that is less, about which
 * `onNote` is told.
 */
export function lengthWithin(
  contextLength: number,
  maxLength: number,
  onNote?: (note: string) => void,
): number {
  if (contextLength <= 0 || maxLength <= contextLength) return maxLength;
  onNote?.(
    `the model's context is ${contextLength} tokens: longer records are cut there, not at ${maxLength}`,
  );
  return contextLength;
}

/** Renders one record: one example, several where its turns can't share one, none where it was dropped. */
export function renderExample(example: Example, options: RenderOptions): RenderedExample[] {
  refuseUnknownOptions('renderExample', options, RENDERING);
  if (options.template.name === 'none')
    return finish(example, [textPiece(example, options.tokenizer)], options);
  try {
    return finish(example, conversationPieces(example, options), options);
  } catch (cause) {
    if (!(cause instanceof MlitError) || cause.code !== 'TEMPLATE_INVALID') throw cause;
    throw new MlitError(
      'DATA_INVALID',
      `${place(example.source)}: record "${example.id}": ${cause.message}`,
      {
        fields: { ...example.source, id: example.id, ...cause.fields },
        cause,
      },
    );
  }
}

/** A stretch of ids that starts with context; `targets` are what follows it. */
interface Turn {
  context: readonly number[];
  response: readonly number[];
  end: readonly number[];
  empty: boolean;
}
type Piece = Turn[];

function textPiece(example: Example, tokenizer: Tokenizer): Piece {
  if (example.text === undefined) {
    throw new MlitError(
      'DATA_INVALID',
      `${place(example.source)}: record "${example.id}": the field "text" is missing; template none takes a record’s text as it stands`,
      { fields: { ...example.source, id: example.id, field: 'text' } },
    );
  }
  const ids = [...withOneBos(tokenizer.encode(example.text, { addBos: false }), tokenizer)];
  return [{ context: ids.slice(0, 1), response: ids.slice(1), end: [], empty: false }];
}

/** One piece for the whole conversation where every turn's prompt continues the last, else one piece a response. */
function conversationPieces(example: Example, context: RenderContext): Piece[] {
  const { template, tokenizer } = context;
  const turns = withSystem(example.turns, context);
  const whole: Piece = [];
  const apart: Piece[] = [];
  let soFar: number[] = [];
  let joined = true;
  for (const [at, turn] of turns.entries()) {
    if (turn.role !== 'assistant') continue;
    const before = turns.slice(0, at);
    const { text, tokens } = renderPrompt(before, { template, tokenizer });
    const prompt = [...tokens];
    const full = template.render(turns.slice(0, at + 1), { addGenerationPrompt: false });
    const response = encodeResponse(responseText(full, text, turn, template), tokenizer);
    const part = { response, end: template.end.ids, empty: turn.content.trim() === '' };
    apart.push([{ context: prompt, ...part }]);
    joined &&= soFar.every((id, i) => prompt[i] === id);
    whole.push({ context: prompt.slice(soFar.length), ...part });
    soFar = [...prompt, ...response, ...template.end.ids];
  }
  return joined && whole.length > 0 ? [whole] : apart;
}

/** The response as the template writes it (trimmed, with an empty thought, …), or as it stands where that can't be told. */
function responseText(full: string, prompt: string, turn: ChatTurn, template: ChatTemplate): string {
  if (!full.startsWith(prompt)) return turn.content;
  const rest = full.slice(prompt.length);
  return rest.endsWith(template.end.text)
    ? rest.slice(0, rest.length - template.end.text.length)
    : turn.content;
}

/** Tokenizers that put a space before every text get the response without the space that the template wrote. */
function encodeResponse(text: string, tokenizer: Tokenizer): readonly number[] {
  const own = tokenizer.prefixesSpace && text.startsWith(' ') ? text.slice(1) : text;
  return [...tokenizer.encode(own, { addBos: false })];
}

function finish(example: Example, pieces: readonly Piece[], options: RenderOptions): RenderedExample[] {
  const maxLength = options.maxLength ?? 2048;
  if (!(maxLength >= 2)) throw new RangeError(`maxLength: expected at least 2, got ${maxLength}`);
  const rendered: RenderedExample[] = [];
  for (const [index, piece] of pieces.entries()) {
    const tokens: number[] = [];
    const targets: boolean[] = [];
    let cut = false;
    let emptyResponses = 0;
    const push = (ids: readonly number[], target: boolean): void => {
      for (const id of ids) {
        tokens.push(id);
        targets.push(target && tokens.length > 1);
      }
    };
    for (const [turn, { context, response, end, empty }] of piece.entries()) {
      const prompt = turn === 0 ? limitPrompt(context, options) : context;
      cut ||= prompt.length < context.length;
      push(prompt, false);
      if (empty) emptyResponses += 1;
      const room = options.maxResponse ?? Number.POSITIVE_INFINITY;
      if (response.length + end.length > room) {
        cut = true;
        push(response.slice(0, room), true);
        break;
      }
      push(response, true);
      push(end, true);
    }
    if (tokens.length > maxLength) {
      cut = true;
      tokens.length = maxLength;
      targets.length = maxLength;
    }
    if (cut && options.truncate === 'drop') continue;
    const promptLength = targets.indexOf(true);
    if (promptLength === -1) throw noTarget(example, tokens.length, cut, maxLength);
    const count = targets.filter(Boolean).length;
    const weight = options.lossNorm === 'example' ? 1 / count : 1;
    rendered.push({
      id: index === 0 ? example.id : `${example.id}#${index + 1}`,
      lang: example.lang,
      ...(example.parallelId !== undefined && { parallelId: example.parallelId }),
      tokens: Int32Array.from(tokens),
      weights: Float32Array.from(targets, (target) => (target ? weight : 0)),
      promptLength,
      cut,
      ...(emptyResponses > 0 && { emptyResponses }),
      source: example.source,
    });
  }
  return rendered;
}

function limitPrompt(prompt: readonly number[], options: RenderOptions): readonly number[] {
  const limit = options.maxPrompt ?? Number.POSITIVE_INFINITY;
  if (prompt.length <= limit) return prompt;
  const bos = prompt[0] === options.tokenizer.bosId ? 1 : 0;
  return [...prompt.slice(0, bos), ...prompt.slice(prompt.length - Math.max(limit - bos, 0))];
}

function noTarget(example: Example, length: number, cut: boolean, maxLength: number): MlitError {
  const why = cut
    ? `its prompt alone fills the ${length} tokens that are left of ${maxLength} after truncation; raise maxLength (--max-length), limit maxPrompt (--max-prompt), or let truncate (--truncate) drop such records`
    : 'it has no text to predict';
  return new MlitError(
    'DATA_INVALID',
    `${place(example.source)}: record "${example.id}" has no supervised token: ${why}`,
    { fields: { ...example.source, id: example.id, maxLength } },
  );
}

function withSystem(turns: readonly ChatTurn[], context: RenderContext): ChatTurn[] {
  const { system } = context;
  if (system === undefined || system === '' || turns[0]?.role === 'system') return [...turns];
  return [{ role: 'system', content: system }, ...turns];
}

/** Puts a BOS first where the tokenizer wants one and the template wrote none; never two. */
function withOneBos(ids: Int32Array, tokenizer: Tokenizer): Int32Array {
  const bos = tokenizer.bosId;
  if (bos === undefined || !tokenizer.addsBos) return ids;
  let from = 0;
  while (ids[from] === bos) from += 1;
  const whole = new Int32Array(ids.length - from + 1);
  whole[0] = bos;
  whole.set(ids.subarray(from), 1);
  return whole;
}

function countControlTokens(example: Example, tokenizer: Tokenizer): number {
  let count = 0;
  for (const text of [example.text ?? '', ...example.turns.map((turn) => turn.content)]) {
    if (!tokenizer.spellsControl(text)) continue;
    for (const id of tokenizer.encode(text, { addBos: false })) if (tokenizer.isControl(id)) count += 1;
  }
  return count;
}

/** Targets of weight ≠ 0. */
export function countTargets(weights: Float32Array): number {
  let count = 0;
  for (const weight of weights) if (weight !== 0) count += 1;
  return count;
}

function add(counts: Record<string, number>, key: string, by: number): void {
  counts[key] = (counts[key] ?? 0) + by;
}
