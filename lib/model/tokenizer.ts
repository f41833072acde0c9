// Text to ids and back, with ids equal to the reference's (Rust `tokenizers`, transformers) for the families supported,
// from a Hugging Face folder or from a GGUF's metadata alone.

import type { GgufMetadata } from '../native/types';
import { refuseUnknownOptions } from '../text/options';
import { type AddedToken, AddedTokenMatcher } from './tokenizer-added';
import { BytePairEncoder } from './tokenizer-bpe';
import type { TokenizerJson } from './tokenizer-check';
import { specFromGguf } from './tokenizer-gguf';
import { readTokenizerFolder, specFromJson, type TokenizerSideFiles } from './tokenizer-hf';
import {
  type ByteDecoder,
  buildDecoder,
  buildNormalizer,
  buildPreTokenizer,
  type Normalizer,
  type PreTokenizer,
} from './tokenizer-pipeline';
import { type TokenizerSpec, toTokenizerConfig, toTokenizerJson } from './tokenizer-spec';
import { type GgufTokenizer, toGgufTokenizer } from './tokenizer-to-gguf';

/** How text becomes ids. */
export interface EncodeOptions {
  /** Put the BOS id first. Default: `addsBos`, what the tokenizer does by itself. */
  addBos?: boolean;
}

/** How ids become text. */
export interface DecodeOptions {
  /** Leave control tokens out of the text. Default false. */
  skipSpecial?: boolean;
}

/** Turns ids into text as they come; what it has given joined with `flush()` equals `decode` of all of them. */
export interface StreamingDecoder {
  /** The text that this id completes: whole code points only, perhaps none. */
  push(id: number): string;
  /** What is left at the end; bytes that complete no character become U+FFFD. */
  flush(): string;
}

/** A vocabulary with its rules. Immutable, apart from a cache of encoded words. */
export class Tokenizer {
  readonly #spec: TokenizerSpec;
  readonly #encoder: BytePairEncoder;
  readonly #normalizer: Normalizer | null;
  readonly #preTokenizer: PreTokenizer | null;
  readonly #decoder: ByteDecoder;
  readonly #raw: AddedTokenMatcher;
  readonly #normalized: AddedTokenMatcher;
  readonly #control: AddedTokenMatcher;
  readonly #special: ReadonlySet<number>;
  readonly #bytes: (Uint8Array | undefined)[] = [];

  private constructor(spec: TokenizerSpec) {
    this.#spec = spec;
    const normalizer = buildNormalizer(spec.normalizer, spec.file);
    this.#normalizer = normalizer;
    this.#preTokenizer = buildPreTokenizer(spec.preTokenizer, spec.file);
    this.#decoder = buildDecoder(spec.decoder, spec.file);
    const isNormalized = (token: AddedToken): boolean => token.normalized && normalizer !== null;
    this.#raw = new AddedTokenMatcher(
      spec.addedTokens.filter((token) => !isNormalized(token)),
      (token) => token.content,
    );
    this.#normalized = new AddedTokenMatcher(spec.addedTokens.filter(isNormalized), (token) =>
      (normalizer as Normalizer)(token.content),
    );
    this.#control = new AddedTokenMatcher(
      spec.addedTokens.filter((token) => token.special),
      (token) => token.content,
    );
    this.#special = new Set(spec.addedTokens.filter((token) => token.special).map((token) => token.id));
    this.#encoder = new BytePairEncoder({
      vocab: spec.vocab,
      merges: spec.merges,
      unknownId: spec.unknownId,
      fuseUnknown: spec.fuseUnknown,
      byteFallback: spec.byteFallback,
      ignoreMerges: spec.ignoreMerges,
    });
  }

  /** Reads tokenizer.json and, where there, tokenizer_config.json, special_tokens_map.json, generation_config.json and chat_template.jinja. */
  static async fromHuggingFace(folder: string): Promise<Tokenizer> {
    return new Tokenizer(await readTokenizerFolder(folder));
  }

  /** From the contents of a tokenizer.json and the files beside it. `file` names it in messages. */
  static fromJson(json: TokenizerJson, side: TokenizerSideFiles = {}, file = 'tokenizer.json'): Tokenizer {
    return new Tokenizer(specFromJson(json, file, side));
  }

  /** From the `tokenizer.*` keys of a GGUF's metadata. `file` names it in messages. */
  static fromGguf(metadata: GgufMetadata, file = 'GGUF'): Tokenizer {
    return new Tokenizer(specFromGguf(metadata, file));
  }

  /**
   * Ids of a text. Control tokens spelled in it become those tokens, as in transformers; unpaired surrogates
   * become U+FFFD, as in any UTF-8.
   */
  encode(text: string, options: EncodeOptions = {}): Int32Array {
    refuseUnknownOptions('Tokenizer.encode', options, { addBos: true });
    if (typeof text !== 'string') throw new TypeError(`text: expected a string, got ${typeof text}`);
    const ids: number[] = [];
    if (options.addBos ?? this.addsBos) ids.push(this.#requireBos());
    const wellFormed = text.replace(/\p{Surrogate}/gu, '\ufffd');
    let first = true;
    for (const section of this.#raw.split(wellFormed)) {
      if (section.id !== -1) ids.push(section.id);
      else this.#encodeSection(section.text, first, ids);
      first = false;
    }
    return Int32Array.from(ids);
  }

  #encodeSection(text: string, first: boolean, ids: number[]): void {
    const normalized = this.#normalizer === null ? text : this.#normalizer(text);
    let opens = first;
    for (const section of this.#normalized.split(normalized)) {
      if (section.id !== -1) {
        ids.push(section.id);
      } else if (this.#preTokenizer === null) {
        this.#encoder.encode(section.text, ids);
      } else {
        for (const word of this.#preTokenizer(section.text, opens)) this.#encoder.encode(word, ids);
      }
      opens = false;
    }
  }

  /** Text of ids. Ids without a token give nothing. */
  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const decoder = this.createDecoder(options);
    let text = '';
    for (const id of ids) text += decoder.push(id);
    return text + decoder.flush();
  }

  /** A decoder for ids that come one by one. */
  createDecoder(options: DecodeOptions = {}): StreamingDecoder {
    refuseUnknownOptions('Tokenizer.decode', options, { skipSpecial: true });
    const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
    const skip = options.skipSpecial ?? false;
    let atStart = this.#decoder.stripsLeadingSpace;
    const trim = (text: string): string => {
      if (!atStart || text.length === 0) return text;
      atStart = false;
      return text.startsWith(' ') ? text.slice(1) : text;
    };
    return {
      push: (id) =>
        skip && this.#special.has(id) ? '' : trim(utf8.decode(this.tokenBytes(id), { stream: true })),
      flush: () => trim(utf8.decode()),
    };
  }

  /** What a token adds to a text: bytes, which need not be whole characters. Nothing for an id without a token. */
  tokenBytes(id: number): Uint8Array {
    const known = this.#bytes[id];
    if (known !== undefined) return known;
    const token = this.#spec.tokens[id];
    const bytes = token === undefined ? new Uint8Array(0) : this.#decoder.bytes(token);
    this.#bytes[id] = bytes;
    return bytes;
  }

  #requireBos(): number {
    if (this.bosId === undefined) throw new RangeError(`addBos: ${this.#spec.file} names no BOS token`);
    return this.bosId;
  }

  /** Number of ids, those without a token included. */
  get vocabSize(): number {
    return this.#spec.tokens.length;
  }

  get bosId(): number | undefined {
    return this.#spec.bosId;
  }

  get padId(): number | undefined {
    return this.#spec.padId;
  }

  /** Every id that ends generation: the model's EOS ids and those that close a turn. */
  get eosIds(): readonly number[] {
    return this.#spec.eosIds;
  }

  /** Ids that close a turn in the vocabulary's chat format, e.g. `<end_of_turn>`. Empty where it has none. */
  get endOfTurnIds(): readonly number[] {
    return this.#spec.endOfTurnIds;
  }

  /** Whether a text gets a BOS when nothing else is said. */
  get addsBos(): boolean {
    return this.#spec.addsBos && this.#spec.bosId !== undefined;
  }

  /** The chat template that came with the model. */
  get chatTemplate(): string | undefined {
    return this.#spec.chatTemplate;
  }

  /** Whether every text is encoded as if a space stood before it (Llama 2's way). */
  get prefixesSpace(): boolean {
    return this.#decoder.stripsLeadingSpace;
  }

  /** Whether a text spells a control token, which encoding would make of it. */
  spellsControl(text: string): boolean {
    return this.#control.hasMatch(text);
  }

  /** The id of a token by its very text, or undefined. */
  tokenToId(token: string): number | undefined {
    return this.#spec.vocab.get(token);
  }

  /** `undefined` for an id that the tokenizer lacks: padding of the embedding matrix, never to be sampled. */
  idToToken(id: number): string | undefined {
    return this.#spec.tokens[id];
  }

  /** Whether an id is a control token (BOS, end of turn, …): never part of ordinary text. */
  isControl(id: number): boolean {
    return this.#special.has(id);
  }

  /** The object of a tokenizer.json that gives the same ids. */
  toJson(): Record<string, unknown> {
    return toTokenizerJson(this.#spec);
  }

  /** The object of the tokenizer_config.json beside it. */
  toConfig(): Record<string, unknown> {
    return toTokenizerConfig(this.#spec);
  }

  /** The `tokenizer.*` keys of a GGUF file for a model whose embedding has `rows` rows and that ends texts by `modelEos` too. */
  toGguf(rows: number, modelEos: readonly number[]): GgufTokenizer {
    return toGgufTokenizer(this.#spec, rows, modelEos);
  }
}
