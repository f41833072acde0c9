// A GGUF file carries its tokenizer as metadata keys. This turns them into a vocabulary with merges and stages,
// for both kinds: SentencePiece-style (`llama`) and byte-level BPE (`gpt2`).

import { MlitError } from '../native/errors';
import type { GgufMetadata } from '../native/types';
import { shown } from '../native/untrusted';
import { GPT2_SPLIT, type Stage } from './tokenizer-pipeline';
import { END_OF_TURN_TOKENS, mergeTriples, type TokenizerSpec } from './tokenizer-spec';
import {
  addedTokensByType,
  mergesFromScores,
  spmDecoder,
  spmNormalizer,
  spmTokenText,
  TOKEN_TYPE,
} from './tokenizer-spm';

interface PreTokenizerKind {
  /** Regular expressions that cut a text one after the other. */
  splits: string[];
  ignoreMerges: boolean;
  normalizer: Stage | null;
  /** Whether a BOS comes first where the file does not say; llama.cpp’s defaults. Default false. */
  addsBos?: boolean;
}

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const TAIL = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

/** The value of `tokenizer.ggml.pre` → how words are cut before merging. */
export const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizerKind>> = {
  'llama-bpe': {
    splits: [
      `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${TAIL}`,
    ],
    ignoreMerges: true,
    normalizer: null,
    addsBos: true,
  },
  qwen2: {
    splits: [`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${TAIL}`],
    ignoreMerges: false,
    normalizer: { type: 'NFC' },
  },
  smollm: { splits: ['\\p{N}', GPT2_SPLIT], ignoreMerges: false, normalizer: null },
  'gpt-2': { splits: [GPT2_SPLIT], ignoreMerges: false, normalizer: null },
  tekken: {
    splits: [
      `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*|\\p{N}|` +
        ` ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${TAIL}`,
    ],
    ignoreMerges: true,
    normalizer: null,
    addsBos: true,
  },
  default: {
    splits: ['[\\p{P}\\$\\+<=>\\^~\\|]+', GPT2_SPLIT, '\\p{N}+', '[0-9][0-9][0-9]'],
    ignoreMerges: false,
    normalizer: null,
  },
};

/** Reads the tokenizer keys of a GGUF's metadata. `file` names it in messages. */
export function specFromGguf(metadata: GgufMetadata, file: string): TokenizerSpec {
  if (typeof metadata !== 'object' || metadata === null) {
    throw new MlitError('FILE_DAMAGED', `${file}: expected an object of metadata, got ${shown(metadata)}`, {
      fields: { file, value: shown(metadata) },
    });
  }
  const kind = metadata['tokenizer.ggml.model'];
  const tokens = strings(metadata, 'tokenizer.ggml.tokens', file);
  const types = numbers(metadata, 'tokenizer.ggml.token_type', tokens.length, file);
  if (kind === 'llama') return finish(spmSpec(metadata, tokens, types, file), metadata, types);
  if (kind === 'gpt2') return finish(bpeSpec(metadata, tokens, types, file), metadata, types);
  throw new MlitError(
    'TOKENIZER_UNSUPPORTED',
    `${file}: tokenizer.ggml.model is ${shown(kind ?? null)}; expected "llama" (SentencePiece) or "gpt2" (byte-level BPE)`,
    {
      fields: {
        file,
        field: 'tokenizer.ggml.model',
        value: shown(kind ?? null),
        expected: ['llama', 'gpt2'],
      },
    },
  );
}

function spmSpec(
  metadata: GgufMetadata,
  raw: string[],
  types: ArrayLike<number>,
  file: string,
): TokenizerSpec {
  const tokens = raw.map((token, id) => spmTokenText(token, types[id] as number));
  const scores = numbers(metadata, 'tokenizer.ggml.scores', tokens.length, file);
  const vocab = vocabulary(tokens);
  const prefix = flag(metadata, 'tokenizer.ggml.add_space_prefix', true);
  return {
    ...emptySpec(file, tokens, vocab),
    merges: mergesFromScores(tokens, scores, types),
    unknownId: idOf(metadata, 'tokenizer.ggml.unknown_token_id', tokens.length) ?? vocab.get('<unk>'),
    fuseUnknown: true,
    byteFallback: true,
    addedTokens: addedTokensByType(tokens, types),
    normalizer: spmNormalizer(prefix),
    decoder: spmDecoder(prefix),
    addsBos: flag(metadata, 'tokenizer.ggml.add_bos_token', true),
  };
}

function bpeSpec(
  metadata: GgufMetadata,
  tokens: string[],
  types: ArrayLike<number>,
  file: string,
): TokenizerSpec {
  const name = metadata['tokenizer.ggml.pre'];
  const pre =
    typeof name === 'string' && Object.hasOwn(PRE_TOKENIZERS, name) ? PRE_TOKENIZERS[name] : undefined;
  if (pre === undefined) {
    const known = Object.keys(PRE_TOKENIZERS);
    throw new MlitError(
      'TOKENIZER_UNSUPPORTED',
      `${file}: tokenizer.ggml.pre is ${shown(name ?? null)}; expected one of ${known.join(', ')}. ` +
        'Guessing would give other token ids than the model was trained with; use the model’s Hugging Face folder instead',
      { fields: { file, field: 'tokenizer.ggml.pre', value: shown(name ?? null), expected: known } },
    );
  }
  const vocab = vocabulary(tokens);
  const rules = strings(metadata, 'tokenizer.ggml.merges', file).map((line): [string, string] => {
    const space = line.indexOf(' ', 1);
    return [line.slice(0, space), line.slice(space + 1)];
  });
  const complain = (rule: readonly [string, string], rank: number): never => {
    throw new MlitError(
      'FILE_DAMAGED',
      `${file}: merge ${rank} of tokenizer.ggml.merges, ${shown(rule.join(' '))}, joins or makes a token that is not in the vocabulary`,
      { fields: { file, field: 'tokenizer.ggml.merges', value: shown(rule.join(' ')) } },
    );
  };
  const splits = pre.splits.map(
    (source): Stage => ({ type: 'Split', pattern: { Regex: source }, behavior: 'Isolated', invert: false }),
  );
  const byteLevel: Stage = {
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: false,
  };
  return {
    ...emptySpec(file, tokens, vocab),
    merges: mergeTriples(rules, vocab, complain),
    ignoreMerges: pre.ignoreMerges,
    addedTokens: addedTokensByType(tokens, types),
    normalizer: pre.normalizer,
    preTokenizer: { type: 'Sequence', pretokenizers: [...splits, byteLevel] },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    addsBos: flag(metadata, 'tokenizer.ggml.add_bos_token', pre.addsBos ?? false),
  };
}

function emptySpec(file: string, tokens: string[], vocab: Map<string, number>): TokenizerSpec {
  return {
    file,
    tokens,
    vocab,
    merges: new Int32Array(0),
    unknownId: undefined,
    fuseUnknown: false,
    byteFallback: false,
    ignoreMerges: false,
    addedTokens: [],
    normalizer: null,
    preTokenizer: null,
    decoder: null,
    bosId: undefined,
    eosIds: [],
    endOfTurnIds: [],
    padId: undefined,
    addsBos: false,
    chatTemplate: undefined,
  };
}

/** Special ids, the chat template, and the holes that padding left in the vocabulary. */
function finish(spec: TokenizerSpec, metadata: GgufMetadata, types: ArrayLike<number>): TokenizerSpec {
  const count = spec.tokens.length;
  const control = (name: string): number | undefined => {
    const id = spec.vocab.get(name);
    return id !== undefined && types[id] === TOKEN_TYPE.control ? id : undefined;
  };
  const turn = new Set<number>();
  const stated = idOf(metadata, 'tokenizer.ggml.eot_token_id', count);
  if (stated !== undefined) turn.add(stated);
  else for (const name of END_OF_TURN_TOKENS) add(turn, control(name));
  const eos = new Set<number>();
  add(eos, idOf(metadata, 'tokenizer.ggml.eos_token_id', count));
  for (const id of turn) eos.add(id);
  add(eos, idOf(metadata, 'tokenizer.ggml.eom_token_id', count));
  for (let id = 0; id < spec.tokens.length; id += 1) {
    if (types[id] !== TOKEN_TYPE.unused) continue;
    spec.vocab.delete(spec.tokens[id] as string);
    spec.tokens[id] = undefined;
  }
  const template = metadata['tokenizer.chat_template'];
  return {
    ...spec,
    bosId: idOf(metadata, 'tokenizer.ggml.bos_token_id', count),
    padId: idOf(metadata, 'tokenizer.ggml.padding_token_id', count),
    eosIds: [...eos],
    endOfTurnIds: [...turn],
    chatTemplate: typeof template === 'string' ? template : undefined,
  };
}

function add(set: Set<number>, id: number | undefined): void {
  if (id !== undefined) set.add(id);
}

/** The first of several equal texts keeps the text. */
function vocabulary(tokens: readonly string[]): Map<string, number> {
  const vocab = new Map<string, number>();
  for (let id = 0; id < tokens.length; id += 1) {
    const token = tokens[id] as string;
    if (!vocab.has(token)) vocab.set(token, id);
  }
  return vocab;
}

function strings(metadata: GgufMetadata, key: string, file: string): string[] {
  const value = metadata[key];
  if (Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === 'string'))
    return value as string[];
  throw damaged(file, key, 'a non-empty array of strings', value);
}

function numbers(metadata: GgufMetadata, key: string, length: number, file: string): ArrayLike<number> {
  const value = metadata[key] as unknown;
  const list =
    ArrayBuffer.isView(value) || Array.isArray(value) ? (value as unknown as ArrayLike<number>) : undefined;
  if (list !== undefined && list.length === length) return list;
  throw damaged(file, key, `an array of ${length} numbers, one a token`, value);
}

function damaged(file: string, key: string, expected: string, value: unknown): MlitError {
  const got =
    value === undefined
      ? 'nothing'
      : Array.isArray(value) || ArrayBuffer.isView(value)
        ? `${(value as unknown as ArrayLike<unknown>).length} values`
        : typeof value;
  return new MlitError('FILE_DAMAGED', `${file}: ${key} must be ${expected}, but the file has ${got}`, {
    fields: { file, field: key, expected, value: got },
  });
}

/** An id; undefined also where the vocabulary has none of that number, as files write for "none" (2³² − 1). */
function idOf(metadata: GgufMetadata, key: string, count: number): number | undefined {
  const value = metadata[key];
  const id = typeof value === 'number' || typeof value === 'bigint' ? Number(value) : -1;
  return Number.isInteger(id) && id >= 0 && id < count ? id : undefined;
}

function flag(metadata: GgufMetadata, key: string, absent: boolean): boolean {
  const value = metadata[key];
  return typeof value === 'boolean' ? value : absent;
}
