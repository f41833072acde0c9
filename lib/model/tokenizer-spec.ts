// One description of a vocabulary, whatever file it came from. Both doors (a Hugging Face folder, a GGUF's metadata)
// lead here, and the way out to a tokenizer.json starts here too.

import type { AddedToken } from './tokenizer-added';
import type { MergeTriples } from './tokenizer-bpe';
import type { Stage } from './tokenizer-pipeline';

export interface TokenizerSpec {
  /** Where it was read from, for messages. */
  file: string;
  /** Token text by id; `undefined` for an id that has none. */
  tokens: (string | undefined)[];
  /** Id by token text, added tokens included. */
  vocab: Map<string, number>;
  merges: MergeTriples;
  unknownId: number | undefined;
  fuseUnknown: boolean;
  byteFallback: boolean;
  ignoreMerges: boolean;
  addedTokens: AddedToken[];
  normalizer: Stage | null;
  preTokenizer: Stage | null;
  decoder: Stage | null;
  bosId: number | undefined;
  /** Ids after which the model has nothing more to say, the end of turn among them. */
  eosIds: number[];
  /** Ids that close an assistant's turn in the vocabulary's own chat format. */
  endOfTurnIds: number[];
  padId: number | undefined;
  /** Whether the tokenizer puts a BOS before every text by itself. */
  addsBos: boolean;
  chatTemplate: string | undefined;
}

/** Tokens that close a turn in the chat formats of the supported families. */
export const END_OF_TURN_TOKENS = ['<end_of_turn>', '<|im_end|>', '<|eot_id|>', '<|end|>', '<|endofturn|>'];

/** Resolves each rule's three texts to ids; `complain` is called with the first rule that has a text without an id. */
export function mergeTriples(
  rules: readonly (readonly [string, string])[],
  vocab: ReadonlyMap<string, number>,
  complain: (rule: readonly [string, string], rank: number) => never,
): MergeTriples {
  const triples = new Int32Array(rules.length * 3);
  for (let rank = 0; rank < rules.length; rank += 1) {
    const rule = rules[rank] as readonly [string, string];
    const left = vocab.get(rule[0]);
    const right = vocab.get(rule[1]);
    const merged = vocab.get(rule[0] + rule[1]);
    if (left === undefined || right === undefined || merged === undefined) complain(rule, rank);
    triples[rank * 3] = left;
    triples[rank * 3 + 1] = right;
    triples[rank * 3 + 2] = merged;
  }
  return triples;
}

/** The same tokenizer as the object of a tokenizer.json (version 1.0), which Rust's `tokenizers` reads. */
export function toTokenizerJson(spec: TokenizerSpec): Record<string, unknown> {
  const vocab: Record<string, number> = Object.create(null);
  for (const [token, id] of spec.vocab) vocab[token] = id;
  const merges: [string, string][] = [];
  for (let at = 0; at < spec.merges.length; at += 3) {
    merges.push([
      spec.tokens[spec.merges[at] as number] ?? '',
      spec.tokens[spec.merges[at + 1] as number] ?? '',
    ]);
  }
  const bos = spec.addsBos && spec.bosId !== undefined ? spec.tokens[spec.bosId] : undefined;
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [...spec.addedTokens]
      .sort((a, b) => a.id - b.id)
      .map((token) => ({
        id: token.id,
        content: token.content,
        single_word: token.singleWord,
        lstrip: token.lstrip,
        rstrip: token.rstrip,
        normalized: token.normalized,
        special: token.special,
      })),
    normalizer: spec.normalizer,
    pre_tokenizer: spec.preTokenizer,
    post_processor: bos === undefined ? null : bosTemplate(bos, spec.bosId as number),
    decoder: spec.decoder,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: spec.unknownId === undefined ? null : (spec.tokens[spec.unknownId] ?? null),
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: spec.fuseUnknown,
      byte_fallback: spec.byteFallback,
      ignore_merges: spec.ignoreMerges,
      vocab,
      merges,
    },
  };
}

/** The object of a tokenizer_config.json beside it: special tokens by name and the chat template. */
export function toTokenizerConfig(spec: TokenizerSpec): Record<string, unknown> {
  const text = (id: number | undefined): string | undefined =>
    id === undefined ? undefined : spec.tokens[id];
  const named = {
    bos_token: text(spec.bosId),
    eos_token: text(spec.eosIds[0]),
    pad_token: text(spec.padId),
    unk_token: text(spec.unknownId),
    chat_template: spec.chatTemplate,
  };
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    add_bos_token: spec.addsBos && spec.bosId !== undefined,
    add_eos_token: false,
    clean_up_tokenization_spaces: false,
    ...Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined)),
  };
}

function bosTemplate(token: string, id: number): Stage {
  const bos = (type: number): object => ({ SpecialToken: { id: token, type_id: type } });
  const text = (name: string, type: number): object => ({ Sequence: { id: name, type_id: type } });
  return {
    type: 'TemplateProcessing',
    single: [bos(0), text('A', 0)],
    pair: [bos(0), text('A', 0), bos(1), text('B', 1)],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  };
}
