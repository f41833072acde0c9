// The stages around the merges, taken from a tokenizer.json: normaliser, pre-tokeniser, decoder. They are the package's
// own where it agrees with the reference; where its regular expressions know other blanks (U+0085, U+FEFF) or other
// digits (١, ½) than the reference, the stage is rewritten to one that agrees.

import { SequenceNormalizer, SequencePreTokenizer, SplitPreTokenizer } from '@huggingface/tokenizers';
import { isMlitError, MlitError } from '../native/errors';
import { shown } from '../native/untrusted';

/** A stage as a tokenizer.json states it: `type` and its own fields. */
export interface Stage {
  type: string;
  [key: string]: unknown;
}

/** GPT-2's own split, which `ByteLevel` with `use_regex` stands for. */
export const GPT2_SPLIT =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

export type Normalizer = (text: string) => string;
/** Cuts a section of a text into words; `first` says whether the section opens the text. */
export type PreTokenizer = (text: string, first: boolean) => string[];

const NORMALIZERS = new Set([
  'Sequence',
  'Replace',
  'Prepend',
  'NFC',
  'NFD',
  'NFKC',
  'NFKD',
  'Strip',
  'Lowercase',
]);

export function buildNormalizer(stage: Stage | null, file: string): Normalizer | null {
  if (stage === null) return null;
  checkStages(stage, 'normalizers', NORMALIZERS, 'normalizer', file);
  const stages = flatten(stage, 'normalizers').map((one) =>
    guarded(
      'normalizer',
      one.type,
      file,
      () => new SequenceNormalizer({ type: 'Sequence', normalizers: [one] } as never),
    ),
  );
  return (text) =>
    guarded('normalizer', stage.type, file, () => {
      let result = text;
      for (const one of stages) {
        result = one.normalize(result);
        checkGrowth(text, result.length, 'normalizer', file);
      }
      return result;
    });
}

export function buildPreTokenizer(stage: Stage | null, file: string): PreTokenizer | null {
  if (stage === null) return null;
  const stages = flatten(stage, 'pretokenizers').map((one) =>
    guarded('pre-tokenizer', one.type, file, () => preTokenizerStage(one, file)),
  );
  return (text, first) =>
    guarded('pre-tokenizer', stage.type, file, () => {
      let words = [text];
      for (const one of stages) {
        words = words.flatMap((word) => one(word, first));
        let length = 0;
        for (const word of words) length += word.length;
        checkGrowth(text, length, 'pre-tokenizer', file);
      }
      return words;
    });
}

function preTokenizerStage(stage: Stage, file: string): PreTokenizer {
  switch (stage.type) {
    case 'Split':
      return splitStage(stage, file);
    case 'Digits':
      return splitStage(regexSplit(stage.individual_digits === true ? '\\p{N}' : '\\p{N}+'), file);
    case 'ByteLevel':
      return byteLevelStage(stage, file);
    case 'Metaspace': {
      if (stage.split === false) return packageStage(stage);
      const replace = packageStage(stage);
      const cut = splitStage(
        { type: 'Split', pattern: { String: String(stage.replacement ?? '▁') }, behavior: 'MergedWithNext' },
        file,
      );
      return (text, first) => replace(text, first).flatMap((word) => cut(word, first));
    }
    case 'Punctuation':
    case 'Whitespace':
    case 'WhitespaceSplit':
      return packageStage(stage);
    default:
      throw unsupported('pre-tokenizer', stage.type, 'Split, Digits, ByteLevel, Metaspace, Sequence', file);
  }
}

function packageStage(stage: Stage): PreTokenizer {
  const built = new SequencePreTokenizer({ type: 'Sequence', pretokenizers: [stage] } as never);
  return (text, first) =>
    built.pre_tokenize_text(text, { section_index: first ? 0 : 1 } as never) as string[];
}

function byteLevelStage(stage: Stage, file: string): PreTokenizer {
  const cut = stage.use_regex === false ? null : splitStage(regexSplit(GPT2_SPLIT), file);
  const prefix = stage.add_prefix_space === true;
  return (text, first) => {
    const start = prefix && !text.startsWith(' ') ? ` ${text}` : text;
    const words = cut === null ? [start] : cut(start, first);
    return words.map(toByteLevel);
  };
}

function regexSplit(source: string): Stage {
  return { type: 'Split', pattern: { Regex: source }, behavior: 'Isolated', invert: false };
}

/** `Split` with every behaviour of the reference; the package treats some of them as `Isolated`. */
function splitStage(stage: Stage, file: string): PreTokenizer {
  const behavior = String(stage.behavior ?? 'Isolated').toLowerCase();
  const known = ['isolated', 'removed', 'mergedwithprevious', 'mergedwithnext', 'contiguous'];
  if (!known.includes(behavior))
    throw unsupported('split behaviour', String(stage.behavior), known.join(', '), file);
  const { pattern } = new SplitPreTokenizer({ ...stage, invert: false } as never) as unknown as {
    pattern: RegExp;
  };
  const invert = stage.invert === true;
  return (text) => {
    const pieces: { text: string; match: boolean }[] = [];
    const push = (from: number, to: number, match: boolean): void => {
      if (to > from) pieces.push({ text: text.slice(from, to), match: match !== invert });
    };
    let from = 0;
    for (const found of text.matchAll(pattern)) {
      push(from, found.index, false);
      push(found.index, found.index + found[0].length, true);
      from = found.index + found[0].length;
    }
    push(from, text.length, false);
    return join(pieces, behavior);
  };
}

function join(pieces: readonly { text: string; match: boolean }[], behavior: string): string[] {
  if (behavior === 'removed') return pieces.filter((piece) => !piece.match).map((piece) => piece.text);
  if (behavior === 'isolated') return pieces.map((piece) => piece.text);
  const words: string[] = [];
  let before: boolean | null = null;
  let open = false;
  for (const piece of pieces) {
    const joins =
      behavior === 'contiguous'
        ? piece.match && before === true
        : behavior === 'mergedwithprevious'
          ? piece.match && before === false
          : !piece.match && open;
    if (joins) words[words.length - 1] += piece.text;
    else words.push(piece.text);
    open = piece.match;
    before = piece.match;
  }
  return words;
}

const BYTE_TO_CHAR = byteAlphabet();
const CHAR_TO_BYTE = new Map(BYTE_TO_CHAR.map((char, byte) => [char, byte]));
const UTF8 = new TextEncoder();

/** GPT-2's printable alphabet: a character for every byte. */
function byteAlphabet(): string[] {
  const printable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let spare = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : spare++));
}

function toByteLevel(word: string): string {
  let text = '';
  for (const byte of UTF8.encode(word)) text += BYTE_TO_CHAR[byte];
  return text;
}

/** How ids turn back into bytes. */
export interface ByteDecoder {
  /** UTF-8 bytes of one ordinary token, which may end within a character. */
  bytes(token: string): Uint8Array;
  /** Whether one space at the very start of a decoded text is the tokenizer's own, and is cut off. */
  stripsLeadingSpace: boolean;
}

/** Understands the decoders of byte-level and of SentencePiece-style vocabularies. */
export function buildDecoder(stage: Stage | null, file: string): ByteDecoder {
  const stages = stage === null ? [] : flatten(stage, 'decoders');
  if (stages.some((one) => one.type === 'ByteLevel')) {
    return { bytes: byteLevelBytes, stripsLeadingSpace: false };
  }
  const replaces: [string, string][] = [];
  let fallback = false;
  let strips = false;
  for (const one of stages) {
    if (one.type === 'Replace') {
      const from = (one.pattern as { String?: unknown } | null | undefined)?.String;
      if (typeof from !== 'string')
        throw unsupported('decoder', 'Replace by a regular expression', 'a String pattern', file);
      replaces.push([from, String(one.content ?? '')]);
    } else if (one.type === 'ByteFallback') {
      fallback = true;
    } else if (one.type === 'Strip') {
      strips = one.content === ' ' && one.start === 1;
    } else if (one.type === 'Metaspace') {
      replaces.push([String(one.replacement ?? '▁'), ' ']);
      strips = one.prepend_scheme !== 'never' && one.add_prefix_space !== false;
    } else if (one.type !== 'Fuse') {
      throw unsupported(
        'decoder',
        one.type,
        'ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace, Sequence',
        file,
      );
    }
  }
  return {
    stripsLeadingSpace: strips,
    bytes: (token) => {
      if (fallback && /^<0x[0-9A-Fa-f]{2}>$/.test(token))
        return Uint8Array.of(Number.parseInt(token.slice(3, 5), 16));
      const text = replaces.reduce((before, [from, to]) => {
        const after = before.replaceAll(from, to);
        checkGrowth(token, after.length, 'decoder', file);
        return after;
      }, token);
      return UTF8.encode(text);
    },
  };
}

function byteLevelBytes(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i += 1) {
    const byte = CHAR_TO_BYTE.get(token[i] as string);
    if (byte === undefined) return UTF8.encode(token);
    bytes[i] = byte;
  }
  return bytes;
}

/** A sequence's stages, nested ones too; none for null. `children`: the field that holds them. */
export function flattenStage(stage: Stage | null, children: string): Stage[] {
  return stage === null ? [] : flatten(stage, children);
}

function flatten(stage: Stage, children: string): Stage[] {
  if (stage.type !== 'Sequence') return [stage];
  return ((stage[children] as Stage[] | undefined) ?? []).flatMap((child) => flatten(child, children));
}

function checkStages(
  stage: Stage,
  children: string,
  known: ReadonlySet<string>,
  what: string,
  file: string,
): void {
  for (const one of flatten(stage, children)) {
    if (!known.has(one.type)) throw unsupported(what, one.type, [...known].join(', '), file);
  }
}

/** No tokenizer in use makes a text longer than that; stages that double it thirty times over would fill any memory. */
function checkGrowth(text: string, length: number, what: string, file: string): void {
  if (length <= 64 * text.length + 4096) return;
  throw new MlitError(
    'TOKENIZER_UNSUPPORTED',
    `${file}: the ${what} makes ${length} characters of ${text.length}; expected at most 64 times as many`,
    { fields: { file, field: what, value: length } },
  );
}

/** What the package throws about a stage's fields (a pattern that is no regular expression, say) names no file. */
function guarded<T>(what: string, type: string, file: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    if (isMlitError(cause)) throw cause;
    throw new MlitError(
      'TOKENIZER_UNSUPPORTED',
      `${file}: the ${what} ${shown(type)} cannot be used: ${(cause as Error).message.slice(0, 200)}`,
      { fields: { file, field: what }, cause },
    );
  }
}

function unsupported(what: string, got: string, expected: string, file: string): MlitError {
  return new MlitError(
    'TOKENIZER_UNSUPPORTED',
    `${file}: ${what} ${shown(got)} is not supported; expected one of ${expected}`,
    { fields: { file, value: shown(got), expected } },
  );
}
