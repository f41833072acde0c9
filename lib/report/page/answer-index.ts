// What the page's filters know of every answer, in columns: a few bytes an answer, so that a hundred thousand of them are
// filtered between two frames, while their texts stay packed. Written here, read in browsers.

/** Columns over answers, in the order of their models. */
export interface AnswerColumns {
  /** Place of the model. */
  model: Uint16Array;
  /** Place of the prompt. */
  prompt: Uint32Array;
  /** Place in the list of answers' languages; 0: not measured. */
  language: Uint16Array;
  /** One of {@link ANSWER_STATES}, by its place. */
  state: Uint8Array;
  /** chrF to the reference, unrounded, for verdicts of pairs; NaN: there is none. */
  chrf: Float64Array;
}

/** Columns over prompts. */
export interface PromptColumns {
  /** Place in the list of prompts' languages. */
  language: Uint16Array;
}

/** Whether an answer is in the language of its prompt. */
export const ANSWER_STATES = ['unmeasured', 'right', 'wrong', 'undecided'] as const;

export type AnswerState = (typeof ANSWER_STATES)[number];

/** Column after column, as little-endian numbers. */
export function encodeColumns(
  columns: readonly (Uint8Array | Uint16Array | Uint32Array | Float64Array)[],
): Uint8Array {
  const bytes = new Uint8Array(columns.reduce((sum, column) => sum + column.byteLength, 0));
  let at = 0;
  for (const column of columns) {
    bytes.set(new Uint8Array(column.buffer, column.byteOffset, column.byteLength), at);
    at += column.byteLength;
  }
  return bytes;
}

/** The columns of `answers` answers out of what {@link encodeColumns} made of them. */
export function decodeAnswers(bytes: Uint8Array, answers: number): AnswerColumns {
  const take = columnReader(bytes, answers);
  return {
    chrf: new Float64Array(take(8)),
    prompt: new Uint32Array(take(4)),
    model: new Uint16Array(take(2)),
    language: new Uint16Array(take(2)),
    state: new Uint8Array(take(1)),
  };
}

/** In the order in which {@link decodeAnswers} takes them. */
export function encodeAnswers({ chrf, prompt, model, language, state }: AnswerColumns): Uint8Array {
  return encodeColumns([chrf, prompt, model, language, state]);
}

/** The next column of `count` values, each of so many bytes, in a buffer of its own. */
function columnReader(bytes: Uint8Array, count: number): (width: number) => ArrayBuffer {
  let at = 0;
  return (width) => {
    const column = new Uint8Array(bytes.subarray(at, at + width * count));
    if (column.byteLength !== width * count) throw new RangeError('the index of answers is cut short');
    at += width * count;
    return column.buffer;
  };
}
