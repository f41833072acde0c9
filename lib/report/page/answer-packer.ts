// From a stream of answers to a page's packed blocks: texts in chunks of a few dozen kilobytes, each inflated when somebody
// looks at it, and an index that is inflated at once. Only the packed form is ever in memory.
import { createHash } from 'node:crypto';
import { type MeasureName, measureDefinition } from '../../eval/measures/names';
import type { AnsweringModel, StoredAnswer } from '../../experiment/answers';
import { directionOf } from '../../page/direction';
import { type Html, html } from '../../page/html';
import { packedBlock } from '../../page/packed';
import { languageName } from '../../text/language-codes';
import { formatNumber } from '../numbers';
import {
  type AnswersMeta,
  BLOCKS,
  type PackedAnswer,
  type PackedPrompt,
  type PageModel,
  type PageVerdicts,
} from './answer-data';
import { ANSWER_STATES, type AnswerState, encodeAnswers, encodeColumns } from './answer-index';

/** A chunk ends after so many characters or so many texts. */
const CHUNK_CHARACTERS = 1 << 16;
const CHUNK_TEXTS = 128;

/** Measures that stand beside an answer, where it has them. */
const SHOWN: readonly MeasureName[] = [
  'exactMatch',
  'chrf',
  'rougeL',
  'labelAnswered',
  'instructionPass',
  'empty',
  'truncated',
  'repetition',
];

/** Packed answers: what the page holds, and what its words have to say of them. */
export interface PackedAnswers {
  meta: AnswersMeta;
  prompts: number;
  /** Prompts with a reference. */
  references: number;
  blocks: Html;
}

/** A judge's verdicts on two models: by the keys of prompts. */
export interface JudgedPair extends Omit<PageVerdicts, 'invalid'> {
  /** {@link promptKey} → place in PAIR_VERDICTS. */
  verdicts: ReadonlyMap<string, number>;
}

/**
 * Reads every model's answers once, one after the other.
 *
 * @param judged pairs of these models, by their places
 */
export async function packAnswers(
  models: readonly AnsweringModel[],
  options: { judged?: readonly JudgedPair[]; signal?: AbortSignal | undefined } = {},
): Promise<PackedAnswers> {
  const packer = new Packer();
  for (const [model, { answers }] of models.entries()) {
    for await (const answer of answers()) {
      options.signal?.throwIfAborted();
      packer.add(model, answer);
    }
  }
  return packer.finish(
    models.map(({ arm, label, seed, job }) => ({ arm, label, seed: seed ?? null, job })),
    options.judged ?? [],
  );
}

/** What a link names a prompt by: the same in every report that has it. */
export function promptKey(id: string, lang: string): string {
  return createHash('sha256')
    .update(JSON.stringify([id, lang]))
    .digest('hex')
    .slice(0, 12);
}

class Packer {
  readonly #index = { chrf: [], prompt: [], model: [], language: [], state: [] } as Record<
    'chrf' | 'prompt' | 'model' | 'language' | 'state',
    number[]
  >;
  readonly #answers = new Chunks<PackedAnswer>(BLOCKS.answerTexts);
  readonly #answerLanguages = new Places([{ code: '' }], ({ code }) => code);
  readonly #languages = new Places<{ code: string; prompts: number }>([], ({ code }) => code);
  readonly #prompts = new Map<string, number>();
  readonly #promptTexts: PackedPrompt[] = [];
  readonly #promptLanguages: number[] = [];

  add(model: number, answer: StoredAnswer): void {
    const { response, answerLang = '', measures } = answer;
    const index = this.#index;
    index.model.push(model);
    index.prompt.push(this.#promptOf(answer));
    index.language.push(this.#answerLanguages.of({ code: answerLang }));
    index.state.push(ANSWER_STATES.indexOf(stateOf(answer)));
    index.chrf.push(measures.chrf ?? Number.NaN);
    const shown = SHOWN.map((name) =>
      measures[name] === undefined ? null : shownValue(name, measures[name]),
    );
    this.#answers.add([response, ...shown], response.length);
  }

  #promptOf({ id, item, lang, prompt, reference }: StoredAnswer): number {
    const key = promptKey(id, lang);
    let place = this.#prompts.get(key);
    if (place === undefined) {
      place = this.#promptTexts.length;
      this.#prompts.set(key, place);
      const language = this.#languages.of({ code: lang, prompts: 0 });
      this.#languages.at(language).prompts += 1;
      this.#promptLanguages.push(language);
      const text = prompt ?? '';
      this.#promptTexts.push({ key, id, item, text, ...(reference !== undefined && { reference }) });
    }
    return place;
  }

  finish(models: readonly PageModel[], judged: readonly JudgedPair[]): PackedAnswers {
    const { chrf, prompt, model, language, state } = this.#index;
    const index = encodeAnswers({
      chrf: Float64Array.from(chrf),
      prompt: Uint32Array.from(prompt),
      model: Uint16Array.from(model),
      language: Uint16Array.from(language),
      state: Uint8Array.from(state),
    });
    const frame = frameOf(this.#promptTexts.map(({ text }) => text));
    const prompts = new Chunks<PackedPrompt>(BLOCKS.promptTexts);
    for (const each of this.#promptTexts) {
      const { text, reference = '' } = each;
      const own = text.slice(frame.before.length, text.length - frame.after.length);
      prompts.add({ ...each, text: own }, own.length + reference.length);
    }
    const columns = judged.map(({ verdicts }) =>
      Uint8Array.from(this.#promptTexts, ({ key }) => verdicts.get(key) ?? 0),
    );
    const meta: AnswersMeta = {
      answers: model.length,
      models,
      languages: this.#languages.list.map(({ code, prompts: count }) => ({
        code,
        name: languageName(code),
        dir: directionOf(code),
        prompts: count,
      })),
      answerLanguages: this.#answerLanguages.list.map(({ code }) => ({
        code,
        name: languageName(code),
        dir: directionOf(code),
      })),
      answerStarts: this.#answers.starts(),
      promptStarts: prompts.starts(),
      measures: SHOWN.map((name) => ({ label: measureDefinition(name).label, unit: unitOf(name) })),
      frame,
      verdicts: judged.map(({ judge, protocol, a, b }, at) => ({
        judge,
        protocol,
        a,
        b,
        invalid: columns[at]!.filter((word) => word === INVALID).length,
      })),
    };
    return {
      meta,
      prompts: this.#promptTexts.length,
      references: this.#promptTexts.filter(({ reference }) => reference !== undefined).length,
      blocks: html`${[
        packedBlock(BLOCKS.meta, JSON.stringify(meta)),
        packedBlock(BLOCKS.answers, index),
        packedBlock(BLOCKS.prompts, encodeColumns([Uint16Array.from(this.#promptLanguages)])),
        packedBlock(BLOCKS.verdicts, encodeColumns(columns)),
        ...prompts.blocks(),
        ...this.#answers.blocks(),
      ]}`,
    };
  }
}

const INVALID = 4;

/** Values in packed blocks, each chunk packed as soon as it is full. */
class Chunks<T> {
  readonly #name: (chunk: number) => string;
  readonly #blocks: Html[] = [];
  readonly #starts = [0];
  #open: T[] = [];
  #characters = 0;
  #count = 0;

  constructor(name: (chunk: number) => string) {
    this.#name = name;
  }

  add(value: T, characters: number): void {
    this.#open.push(value);
    this.#count += 1;
    this.#characters += characters;
    if (this.#open.length >= CHUNK_TEXTS || this.#characters >= CHUNK_CHARACTERS) this.#close();
  }

  #close(): void {
    if (this.#open.length === 0) return;
    this.#blocks.push(packedBlock(this.#name(this.#blocks.length), JSON.stringify(this.#open)));
    this.#starts.push(this.#count);
    this.#open = [];
    this.#characters = 0;
  }

  starts(): readonly number[] {
    this.#close();
    return this.#starts;
  }

  blocks(): readonly Html[] {
    this.#close();
    return this.#blocks;
  }
}

/** Values by the order in which they came. */
class Places<T> {
  readonly list: T[];
  readonly #places = new Map<string, number>();
  readonly #key: (value: T) => string;

  constructor(list: T[], key: (value: T) => string) {
    this.list = list;
    this.#key = key;
    for (const [at, value] of list.entries()) this.#places.set(key(value), at);
  }

  at(place: number): T {
    return this.list[place] as T;
  }

  of(value: T): number {
    const key = this.#key(value);
    let place = this.#places.get(key);
    if (place === undefined) {
      place = this.list.length;
      this.list.push(value);
      this.#places.set(key, place);
    }
    return place;
  }
}

/** As the measures have it, which know of languages that count as one. */
function stateOf({ answerLang, measures }: StoredAnswer): AnswerState {
  const { languageMatch } = measures;
  if (languageMatch !== undefined) return languageMatch === 1 ? 'right' : 'wrong';
  return answerLang === undefined ? 'unmeasured' : 'undecided';
}

/** Yes and no of what is so or not; else a number with its unit. */
function shownValue(name: MeasureName, value: number): string | null {
  const { unit, scale } = measureDefinition(name);
  if (name === 'repetition') return value === 0 ? null : `${formatNumber(value * scale)} ${unit}`;
  if (unit !== '%') return formatNumber(value * scale);
  if (name === 'empty' || name === 'truncated') return value === 0 ? null : 'yes';
  return value === 1 ? 'yes' : value === 0 ? 'no' : `${formatNumber(value * scale)} ${unit}`;
}

const unitOf = (name: MeasureName): string => {
  const { unit } = measureDefinition(name);
  return unit === '%' ? '' : unit;
};

/** The common beginning and end of all prompts, each cut after and before a mark of a template, so that no word is taken off. */
export function frameOf(prompts: readonly string[]): { before: string; after: string } {
  const [first, ...others] = prompts;
  if (first === undefined || others.length === 0) return { before: '', after: '' };
  let [before, after, shortest] = [first.length, first.length, first.length];
  for (const other of others) {
    before = Math.min(
      before,
      same(first, other, (text, at) => text[at]),
    );
    after = Math.min(
      after,
      same(first, other, (text, at) => text[text.length - 1 - at]),
    );
    shortest = Math.min(shortest, other.length);
  }
  const opening = /^[\s\S]*[>\]\n]/.exec(first.slice(0, before))?.[0] ?? '';
  const rest = first.slice(first.length - Math.min(after, shortest - opening.length));
  const closing = /[<[\n][\s\S]*$/.exec(rest)?.[0] ?? '';
  return { before: opening, after: closing };
}

function same(a: string, b: string, at: (text: string, place: number) => string | undefined): number {
  const most = Math.min(a.length, b.length);
  let count = 0;
  while (count < most && at(a, count) === at(b, count)) count += 1;
  return count;
}
