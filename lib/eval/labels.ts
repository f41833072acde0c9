// A closed question put to a model without parsing what it writes: each label is scored as the answer, and the likeliest is
// the model's choice. The sum of log-likelihoods favours short labels, the mean by byte long ones with easy tails, so both
// choices are given. The prompt is computed once for all of its labels.
import { type RenderContext, type RenderedExample, renderExample, renderPrompt } from '../data/render';
import type { Adapter } from '../model/adapter';
import type { Model } from '../model/model';
import type { ChatTemplate, ChatTurn } from '../model/template';
import { MlitError } from '../native/errors';
import { refuseUnknownOptions } from '../text/options';
import { type Continuation, scoreContinuations } from './continuations';

/** A question with the answers that it allows. */
export interface LabelItem {
  id: string;
  lang: string;
  /** The prompt; ends with the user's turn. */
  turns: readonly ChatTurn[];
  /** At least two, all different. */
  labels: readonly string[];
  /** Index of the right one. */
  correct: number;
}

/** Model, items and template of {@link scoreLabels}. */
export interface LabelOptions {
  model: Model;
  /** Default: the bare base. */
  adapter?: Adapter | undefined;
  items: readonly LabelItem[];
  template: ChatTemplate;
  /** A system turn for conversations that have none. */
  system?: string | undefined;
  /** Tokens of prompt and label at most; an item over it is an error, since a cut label is another label. Default 2048. */
  maxLength?: number;
  /** Tokens computed at once. Default 2048. */
  microTokens?: number;
  signal?: AbortSignal | undefined;
  /** Fraction of labels done. */
  onProgress?: ((fraction: number) => void) | undefined;
}

/** What the model makes of one item’s labels. */
export interface LabelScore {
  id: string;
  lang: string;
  correct: number;
  /** [labels] negative log-likelihood of each label with its end-of-turn token, given the prompt. */
  nats: readonly number[];
  /** [labels] UTF-8 bytes of each label. */
  bytes: readonly number[];
  /** [labels] tokens scored. */
  tokens: readonly number[];
  /** Index of the label with the fewest nats; the first of equals. */
  choice: number;
  /** Index of the label with the fewest nats a byte. */
  choicePerByte: number;
  /** Nats of the best wrong label less those of the right one: over 0 where the right one is chosen. */
  margin: number;
  /** The same in nats a byte. */
  marginPerByte: number;
  /** By the names of lib/eval/measures/names.ts. */
  measures: { labelCorrect: 0 | 1; labelCorrectPerByte: 0 | 1 };
}

/**
 * Scores every label of every item as the answer to its prompt; the model's and the adapter's weights stay as they are.
 *
 * @returns one result an item, in their order
 * @throws RangeError for an item with fewer than two labels, equal or blank ones, or a `correct` that is no index of them;
 * MlitError `DATA_INVALID` for a prompt that leaves no room for a label, `NOT_FINITE` for a likelihood that is no number
 */
export async function scoreLabels(options: LabelOptions): Promise<LabelScore[]> {
  refuseUnknownOptions('scoreLabels', options, {
    model: true,
    adapter: true,
    items: true,
    template: true,
    system: true,
    maxLength: true,
    microTokens: true,
    signal: true,
    onProgress: true,
  });
  const { model, adapter, items, template, system, signal, onProgress } = options;
  const context = { tokenizer: model.tokenizer, template, system, maxLength: options.maxLength ?? 2048 };
  const seen = new Set<string>();
  for (const item of items) checkItem(item, seen);
  const places: { index: number; at: number }[] = [];
  const texts = items.flatMap((item, index) =>
    item.labels.map((label, at) => {
      places.push({ index, at });
      return scoredPart(renderLabel(item, label, context));
    }),
  );
  const nats = items.map(({ labels }) => new Array<number>(labels.length).fill(0));
  const tokens = items.map(({ labels }) => new Array<number>(labels.length).fill(0));
  let done = 0;
  const { microTokens } = options;
  for await (const { text, logprobs } of scoreContinuations(texts, { model, adapter, microTokens, signal })) {
    const { index, at } = places[text]!;
    nats[index]![at] = -logprobs.reduce((sum, logprob) => sum + logprob, 0);
    tokens[index]![at] = logprobs.length;
    done += 1;
    onProgress?.(done / texts.length);
  }
  return items.map((item, index) => choose(item, nats[index]!, tokens[index]!));
}

function checkItem(item: LabelItem, seen: Set<string>): void {
  const { id, labels, correct, turns } = item;
  if (seen.has(id)) throw new RangeError(`items: two items have the id "${id}"`);
  seen.add(id);
  if (labels.length < 2)
    throw new RangeError(`items: "${id}": labels: expected at least two, got ${labels.length}`);
  const blank = labels.findIndex((label) => label.trim() === '');
  if (blank >= 0) throw new RangeError(`items: "${id}": labels[${blank}] is blank`);
  const twice = labels.find((label, at) => labels.indexOf(label) !== at);
  if (twice !== undefined) throw new RangeError(`items: "${id}": the label "${twice}" comes twice`);
  if (!Number.isInteger(correct) || correct < 0 || correct >= labels.length) {
    throw new RangeError(
      `items: "${id}": correct: expected a whole number from 0 to ${labels.length - 1}, got ${correct}`,
    );
  }
  if (turns.at(-1)?.role !== 'user')
    throw new RangeError(`items: "${id}": turns: expected the last to be the user's`);
}

function renderLabel(
  item: LabelItem,
  label: string,
  context: RenderContext & { maxLength: number },
): RenderedExample {
  const source = { file: 'items', line: 1 };
  const rendered =
    context.template.name === 'none'
      ? renderPlain(item, label, context)
      : onlyLast(
          renderExample(
            {
              id: item.id,
              lang: item.lang,
              turns: [...item.turns, { role: 'assistant', content: label }],
              source,
            },
            { ...context, maxLength: Number.MAX_SAFE_INTEGER },
          ).at(-1)!,
        );
  if (rendered.tokens.length > context.maxLength) {
    throw new MlitError(
      'DATA_INVALID',
      `labels: item "${item.id}": prompt and label "${label}" are ${rendered.tokens.length} tokens, at most ${context.maxLength} are scored; shorten the prompt or raise maxLength`,
      { fields: { id: item.id, tokens: rendered.tokens.length, maxLength: context.maxLength } },
    );
  }
  return rendered;
}

/** Without a template: the prompt's text, then the label's, each encoded on its own. */
function renderPlain(
  item: LabelItem,
  label: string,
  { tokenizer, template, system }: RenderContext,
): RenderedExample {
  const prompt = renderPrompt(item.turns, { tokenizer, template, system }).tokens;
  const ids = tokenizer.encode(label, { addBos: false });
  const tokens = Int32Array.from([...prompt, ...ids]);
  const weights = Float32Array.from(tokens, (_, at) => (at >= prompt.length && at > 0 ? 1 : 0));
  return {
    id: item.id,
    lang: item.lang,
    tokens,
    weights,
    promptLength: prompt.length,
    cut: false,
    source: { file: 'items', line: 1 },
  };
}

/** Targets of the last answer only; those of earlier turns are the same for all labels. */
function onlyLast(example: RenderedExample): RenderedExample {
  const end = example.weights.findLastIndex((weight) => weight !== 0);
  let start = end;
  while (start > 0 && example.weights[start - 1] !== 0) start -= 1;
  const weights = example.weights.map((weight, at) => (at >= start && at <= end ? weight : 0));
  return { ...example, weights, promptLength: start };
}

/** The targets of one answer follow on each other. */
function scoredPart({ tokens, weights }: RenderedExample): Continuation {
  const from = weights.findIndex((weight) => weight !== 0);
  const end = weights.findLastIndex((weight) => weight !== 0);
  return { tokens: tokens.slice(0, end + 1), from };
}

function choose(item: LabelItem, nats: readonly number[], tokens: readonly number[]): LabelScore {
  const { id, lang, labels, correct } = item;
  const notFinite = nats.findIndex((value) => !Number.isFinite(value));
  if (notFinite >= 0) {
    throw new MlitError(
      'NOT_FINITE',
      `labels: item "${id}": the likelihood of label "${labels[notFinite]}" is not a finite number`,
      { fields: { id } },
    );
  }
  const bytes = labels.map((label) => Buffer.byteLength(label));
  const perByte = nats.map((value, at) => value / bytes[at]!);
  const choice = lowest(nats);
  const choicePerByte = lowest(perByte);
  return {
    id,
    lang,
    correct,
    nats,
    bytes,
    tokens,
    choice,
    choicePerByte,
    margin: marginOf(nats, correct),
    marginPerByte: marginOf(perByte, correct),
    measures: {
      labelCorrect: choice === correct ? 1 : 0,
      labelCorrectPerByte: choicePerByte === correct ? 1 : 0,
    },
  };
}

function lowest(values: readonly number[]): number {
  return values.reduce((best, value, at) => (value < values[best]! ? at : best), 0);
}

function marginOf(values: readonly number[], correct: number): number {
  return Math.min(...values.filter((_, at) => at !== correct)) - values[correct]!;
}
