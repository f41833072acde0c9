// The tokens of one answer as its client may see them: those whose text is part of the answer, each at its place, told no
// earlier than that is certain.
import type { StreamingDecoder, Tokenizer } from '../model/tokenizer';
import type { DrawnTokens, FinishReason, TokenLogprob } from '../sample/sampler';

/** A token with what is told of it. */
export interface ToldToken {
  id: number;
  /** null for a prompt's first. */
  logprob: number | null;
  /** Likeliest tokens at its place, best first; empty where none were asked for. */
  top: readonly TokenLogprob[];
  /** Where its text begins, in characters (code points) of the answer's text. */
  offset: number;
}

/** Characters as OpenAI's clients count them. */
export function lengthOf(text: string): number {
  let length = 0;
  for (const _ of text) length += 1;
  return length;
}

/** Where each token's text begins. */
class Places {
  readonly #decoder: StreamingDecoder;
  #at: number;

  constructor(tokenizer: Tokenizer, start: number) {
    this.#decoder = tokenizer.createDecoder();
    this.#at = start;
  }

  next(id: number): number {
    const place = this.#at;
    this.#at += lengthOf(this.#decoder.push(id));
    return place;
  }
}

/** A prompt's own tokens; a BOS in front of it is part of its tokens, but not of its text. */
export function promptTokens(
  tokenizer: Tokenizer,
  prompt: Int32Array,
  logprobs: readonly (number | null)[],
  top: readonly (readonly TokenLogprob[] | null)[] = [],
): ToldToken[] {
  const places = new Places(tokenizer, 0);
  return Array.from(prompt, (id, at) => ({
    id,
    logprob: logprobs[at] ?? null,
    top: top[at] ?? [],
    offset: at === 0 && id === tokenizer.bosId ? 0 : places.next(id),
  }));
}

/** Of the answer itself. */
export class ToldTokens {
  readonly #places: Places;
  #pending: ToldToken[] = [];
  /** Where the text that was told ends. */
  #end: number;
  #taken = 0;

  /** @param start characters before the answer: an echoed prompt's */
  constructor(tokenizer: Tokenizer, start: number) {
    this.#places = new Places(tokenizer, start);
    this.#end = start;
  }

  /** A piece of text, and the tokens drawn since the one before: those that begin in what is told by now. */
  piece(text: string, drawn: DrawnTokens): ToldToken[] {
    this.#add(drawn, 0);
    this.#end += lengthOf(text);
    const certain = this.#pending.findIndex(({ offset }) => offset >= this.#end);
    return this.#pending.splice(0, certain < 0 ? this.#pending.length : certain);
  }

  /**
   * The rest, once all are drawn, but for what a stop text took away.
   *
   * @param ending whether the token that ended the answer, and is no text, is told as well
   */
  rest(all: DrawnTokens, reason: FinishReason, ending: boolean): ToldToken[] {
    this.#add(all, this.#taken);
    if (!ending && (reason === 'end-of-turn' || reason === 'eos')) this.#pending.pop();
    const rest = this.#pending;
    this.#pending = [];
    return reason === 'stop' ? rest.filter(({ offset }) => offset < this.#end) : rest;
  }

  #add({ tokens, logprobs, topLogprobs }: DrawnTokens, from: number): void {
    for (let at = from; at < tokens.length; at += 1) {
      const id = tokens[at] as number;
      const logprob = logprobs[at] as number;
      this.#pending.push({ id, logprob, top: topLogprobs?.[at] ?? [], offset: this.#places.next(id) });
      this.#taken += 1;
    }
  }
}
