// The way back: any tokenizer as the `tokenizer.*` keys of a GGUF file, of the kind that its stages say it is. What those
// keys can't express is refused, because llama.cpp would give other ids without a word.

import { MlitError } from '../native/errors';
import type { NativeGgufEntry } from '../native/types';
import { PRE_TOKENIZERS } from './tokenizer-gguf';
import { flattenStage, GPT2_SPLIT, type Stage } from './tokenizer-pipeline';
import type { TokenizerSpec } from './tokenizer-spec';
import { mergesFromScores, TOKEN_TYPE } from './tokenizer-spm';

const SPACE = '▁';
const BYTE = /^<0x[0-9A-F]{2}>$/;
/** Where llama.cpp ends a text whatever the keys say, of the families that are read here. */
const KNOWN_ENDS = new Set([
  '<|endoftext|>',
  '<|end_of_text|>',
  '<|eom_id|>',
  '<|eot_id|>',
  '<|im_end|>',
  '<|end|>',
  '<end_of_turn>',
  '<eos>',
  '</s>',
]);

export interface GgufTokenizer {
  entries: NativeGgufEntry[];
  /** Tokens that end a text of the model and have no key in the file. */
  lostEnds: string[];
}

/**
 * The keys for a model whose embedding has `rows` rows, and whose configuration names `modelEos` as ends of a text; ids without
 * a token are marked unused.
 *
 * @throws MlitError `TOKENIZER_UNSUPPORTED` naming the stage that GGUF has no words for
 */
export function toGgufTokenizer(
  spec: TokenizerSpec,
  rows: number,
  modelEos: readonly number[],
): GgufTokenizer {
  if (spec.tokens.length > rows) {
    throw unsupported(
      spec,
      `it has ${spec.tokens.length} tokens, but the embedding only ${rows} rows`,
      'tokens',
    );
  }
  const types = tokenTypes(spec, rows);
  const byteLevel = flattenStage(spec.decoder, 'decoders').some((stage) => stage.type === 'ByteLevel');
  const ends = endKeys(spec, modelEos);
  const entries = [
    ...(byteLevel ? bpeKeys(spec, types) : spmKeys(spec, types)),
    ...commonKeys(spec, ends.ids),
  ];
  return { entries, lostEnds: ends.lost.map((id) => spec.tokens[id] ?? `token ${id}`) };
}

/**
 * The file has one key for the end of a text, one for that of a turn, one for that of a message. llama.cpp stops at each of
 * them, and at some tokens that it knows by their texts; the last key is for one that it does not know.
 */
function endKeys(spec: TokenizerSpec, modelEos: readonly number[]) {
  const ends = [...new Set([...spec.eosIds, ...modelEos])];
  const [turn] = spec.endOfTurnIds;
  const eos = ends[0];
  const eot = turn === eos ? undefined : turn;
  const others = ends.filter((id) => id !== eos && id !== eot);
  const isKnown = (id: number): boolean => KNOWN_ENDS.has(spec.tokens[id] ?? '');
  const eom =
    others.find((id) => !isKnown(id)) ?? others.find((id) => spec.tokens[id] === '<|eom_id|>') ?? others[0];
  return { ids: { eos, eot, eom }, lost: others.filter((id) => id !== eom) };
}

function tokenTypes(spec: TokenizerSpec, rows: number): Int32Array {
  const types = new Int32Array(rows).fill(TOKEN_TYPE.normal);
  for (let id = 0; id < rows; id += 1) {
    const token = spec.tokens[id];
    if (token === undefined) types[id] = TOKEN_TYPE.unused;
    else if (spec.byteFallback && BYTE.test(token)) types[id] = TOKEN_TYPE.byte;
  }
  for (const { id, special } of spec.addedTokens)
    types[id] = special ? TOKEN_TYPE.control : TOKEN_TYPE.userDefined;
  if (spec.unknownId !== undefined && spec.byteFallback) types[spec.unknownId] = TOKEN_TYPE.unknown;
  return types;
}

function bpeKeys(spec: TokenizerSpec, types: Int32Array): NativeGgufEntry[] {
  const token = (id: number): string => spec.tokens[id] ?? `[PAD${id}]`;
  const merges: string[] = [];
  for (let at = 0; at < spec.merges.length; at += 3)
    merges.push(`${token(spec.merges[at] as number)} ${token(spec.merges[at + 1] as number)}`);
  return [
    { key: 'tokenizer.ggml.model', type: 'text', value: 'gpt2' },
    { key: 'tokenizer.ggml.pre', type: 'text', value: preTokenizerName(spec) },
    { key: 'tokenizer.ggml.tokens', type: 'texts', value: Array.from(types, (_, id) => token(id)) },
    { key: 'tokenizer.ggml.token_type', type: 'i32s', value: types },
    { key: 'tokenizer.ggml.merges', type: 'texts', value: merges },
  ];
}

/** The name under which llama.cpp knows this way of cutting words. */
function preTokenizerName(spec: TokenizerSpec): string {
  const splits: string[] = [];
  for (const stage of flattenStage(spec.preTokenizer, 'pretokenizers')) {
    if (stage.type === 'Split' && isIsolating(stage)) splits.push((stage.pattern as { Regex: string }).Regex);
    else if (stage.type === 'Digits') splits.push(stage.individual_digits === true ? '\\p{N}' : '\\p{N}+');
    else if (stage.type !== 'ByteLevel' || stage.add_prefix_space === true)
      throw unsupported(
        spec,
        `its pre-tokenizer ${JSON.stringify(stage)} has no name in GGUF`,
        'pre_tokenizer',
      );
    else if (stage.use_regex !== false) splits.push(GPT2_SPLIT);
  }
  for (const [name, kind] of Object.entries(PRE_TOKENIZERS)) {
    const same =
      JSON.stringify(kind.splits) === JSON.stringify(splits) &&
      JSON.stringify(kind.normalizer) === JSON.stringify(spec.normalizer) &&
      kind.ignoreMerges === spec.ignoreMerges;
    if (same) return name;
  }
  throw unsupported(
    spec,
    `its way of cutting words is none of ${Object.keys(PRE_TOKENIZERS).join(', ')}`,
    'pre_tokenizer',
  );
}

function isIsolating(stage: Stage): boolean {
  const regex = (stage.pattern as { Regex?: string } | undefined)?.Regex;
  return regex !== undefined && stage.behavior === 'Isolated' && stage.invert !== true;
}

function spmKeys(spec: TokenizerSpec, types: Int32Array): NativeGgufEntry[] {
  if (!spec.byteFallback)
    throw unsupported(spec, 'it is neither byte-level nor falls back to bytes', 'byte_fallback');
  const normalizers = flattenStage(spec.normalizer, 'normalizers');
  const pre = flattenStage(spec.preTokenizer, 'pretokenizers');
  const odd = [...normalizers, ...pre].find((stage) => !isSpaceStage(stage));
  if (odd) throw unsupported(spec, `its stage ${JSON.stringify(odd)} has no key in GGUF`, odd.type);
  const prefix =
    normalizers.some((stage) => stage.type === 'Prepend') ||
    pre.some((stage) => stage.type === 'Metaspace' && stage.prepend_scheme !== 'never');
  const tokens = Array.from(types, (type, id) => {
    const token = spec.tokens[id] ?? `[PAD${id}]`;
    return type === TOKEN_TYPE.userDefined ? token.replaceAll(SPACE, ' ') : token;
  });
  return [
    { key: 'tokenizer.ggml.model', type: 'text', value: 'llama' },
    { key: 'tokenizer.ggml.pre', type: 'text', value: 'default' },
    { key: 'tokenizer.ggml.tokens', type: 'texts', value: tokens },
    { key: 'tokenizer.ggml.scores', type: 'f32s', value: scores(spec, types) },
    { key: 'tokenizer.ggml.token_type', type: 'i32s', value: types },
    { key: 'tokenizer.ggml.add_space_prefix', type: 'bool', value: prefix },
  ];
}

/** What only turns spaces into `▁`, with or without one in front. */
function isSpaceStage(stage: Stage): boolean {
  const pattern = (stage.pattern as { String?: string } | undefined)?.String;
  switch (stage.type) {
    case 'Prepend':
      return stage.prepend === SPACE;
    case 'Replace':
      return pattern === ' ' && stage.content === SPACE;
    case 'Split': // of spaces that are gone by then
      return pattern === ' ';
    case 'Metaspace':
      return (stage.replacement ?? SPACE) === SPACE && stage.split === false;
    default:
      return false;
  }
}

/** The better the earlier a token's first merge comes; checked by making the merges of them again. */
function scores(spec: TokenizerSpec, types: Int32Array): Float32Array {
  const ranks = new Float32Array(types.length);
  const ordered = (merges: Int32Array): number[] => {
    const kept: number[] = [];
    for (let at = 0; at < merges.length; at += 3) {
      const merged = merges[at + 2] as number;
      if (types[merged] === TOKEN_TYPE.normal)
        kept.push(merges[at] as number, merges[at + 1] as number, merged);
    }
    return kept;
  };
  const own = ordered(spec.merges);
  let rank = 0;
  for (let at = 2; at < own.length; at += 3) {
    const merged = own[at] as number;
    if (ranks[merged] === 0) ranks[merged] = -++rank;
  }
  for (let id = 0; id < types.length; id += 1)
    if (ranks[id] === 0 && types[id] === TOKEN_TYPE.normal) ranks[id] = -(rank + 1 + id);
  const tokens = Array.from(types, (_, id) => spec.tokens[id] ?? '');
  const again = ordered(mergesFromScores(tokens, ranks, types));
  const differs = again.length === own.length ? again.findIndex((id, at) => id !== own[at]) : 0;
  if (differs === -1) return ranks;
  throw unsupported(
    spec,
    'its merges do not follow from scores of their tokens, which is all that GGUF keeps of this kind',
    'merges',
  );
}

function commonKeys(spec: TokenizerSpec, ends: Record<string, number | undefined>): NativeGgufEntry[] {
  const ids = {
    bos: spec.bosId,
    ...ends,
    unknown: spec.unknownId,
    padding: spec.padId,
  };
  const entries: NativeGgufEntry[] = Object.entries(ids).flatMap(([name, value]) =>
    value === undefined ? [] : [{ key: `tokenizer.ggml.${name}_token_id`, type: 'u32' as const, value }],
  );
  entries.push(
    { key: 'tokenizer.ggml.add_bos_token', type: 'bool', value: spec.addsBos && spec.bosId !== undefined },
    { key: 'tokenizer.ggml.add_eos_token', type: 'bool', value: false },
  );
  if (spec.chatTemplate !== undefined)
    entries.push({ key: 'tokenizer.chat_template', type: 'text', value: spec.chatTemplate });
  return entries;
}

function unsupported(spec: TokenizerSpec, what: string, field: string): MlitError {
  return new MlitError(
    'TOKENIZER_UNSUPPORTED',
    `${spec.file} can’t be written into a GGUF file: ${what}. Export as safetensors instead`,
    { fields: { file: spec.file, field } },
  );
}
