// A SentencePiece-style GGUF holds tokens and scores but no merges. The merges are what the scores stand for: every way
// to join two tokens into a third, better scores first, as transformers' `generate_merges` derives them.

import { SubstringIndex } from './substring-index';
import type { AddedToken } from './tokenizer-added';
import type { MergeTriples } from './tokenizer-bpe';
import type { Stage } from './tokenizer-pipeline';

/** `tokenizer.ggml.token_type` values. */
export const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

const SPACE = '▁';

/**
 * Merge rules of a scored vocabulary, in rank order.
 * Better scores first; among the rules that make the same token, the longer left part, then the longer right one.
 * A user-defined token is taken whole before anything else by SentencePiece, whatever score the file gives it:
 * here its merges come first, those of longer tokens before those of shorter ones.
 */
export function mergesFromScores(
  tokens: readonly string[],
  scores: ArrayLike<number>,
  types: ArrayLike<number>,
): MergeTriples {
  const index = new SubstringIndex(tokens, (id) => mergeable(types[id] as number));
  const sizes = new Int32Array(tokens.length);
  const ranking = new Float64Array(tokens.length);
  const left: number[] = [];
  const right: number[] = [];
  const merged: number[] = [];
  for (let id = 0; id < tokens.length; id += 1) {
    if (!mergeable(types[id] as number)) continue;
    sizes[id] = codePoints(tokens[id] as string);
    ranking[id] = types[id] === TOKEN_TYPE.userDefined ? 1e9 + (sizes[id] as number) : (scores[id] as number);
    const length = index.lengthOf(id);
    for (let cut = 1; cut < length; cut += 1) {
      const code = index.codeAt(id, cut);
      if (code >= 0xdc00 && code <= 0xdfff) continue;
      const l = index.find(id, 0, cut);
      if (l === -1) continue;
      const r = index.find(id, cut, length);
      if (r === -1) continue;
      left.push(l);
      right.push(r);
      merged.push(id);
    }
  }

  const ranks = Array.from({ length: left.length }, (_, rule) => rule);
  ranks.sort((a, b) => {
    const tokenA = merged[a] as number;
    const tokenB = merged[b] as number;
    const leftA = left[a] as number;
    const leftB = left[b] as number;
    return (
      (ranking[tokenB] as number) - (ranking[tokenA] as number) ||
      (sizes[leftB] as number) - (sizes[leftA] as number) ||
      (sizes[right[b] as number] as number) - (sizes[right[a] as number] as number) ||
      tokenA - tokenB ||
      leftA - leftB
    );
  });
  const triples = new Int32Array(ranks.length * 3);
  ranks.forEach((rule, rank) => {
    triples[rank * 3] = left[rule] as number;
    triples[rank * 3 + 1] = right[rule] as number;
    triples[rank * 3 + 2] = merged[rule] as number;
  });
  return triples;
}

/** Control, unknown, unused and byte tokens never come out of a merge. */
function mergeable(type: number): boolean {
  return type === TOKEN_TYPE.normal || type === TOKEN_TYPE.userDefined;
}

function codePoints(text: string): number {
  let count = 0;
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code < 0xdc00 || code > 0xdfff) count += 1;
  }
  return count;
}

/** GGUF writes runs of spaces as spaces; the vocabulary's own spelling has `▁`. */
export function spmTokenText(token: string, type: number): string {
  return type === TOKEN_TYPE.userDefined ? token.replaceAll(' ', SPACE) : token;
}

/** Control, unknown and user-defined tokens, matched in a text before it is normalised. */
export function addedTokensByType(tokens: readonly string[], types: ArrayLike<number>): AddedToken[] {
  const added: AddedToken[] = [];
  for (let id = 0; id < tokens.length; id += 1) {
    const type = types[id];
    if (type !== TOKEN_TYPE.control && type !== TOKEN_TYPE.unknown && type !== TOKEN_TYPE.userDefined)
      continue;
    added.push({
      id,
      content: tokens[id] as string,
      special: type !== TOKEN_TYPE.userDefined,
      normalized: false,
      lstrip: false,
      rstrip: false,
      singleWord: false,
    });
  }
  return added;
}

/** Spaces become `▁`; with `addSpacePrefix` one is put before every stretch of text. */
export function spmNormalizer(addSpacePrefix: boolean): Stage {
  const replace: Stage = { type: 'Replace', pattern: { String: ' ' }, content: SPACE };
  if (!addSpacePrefix) return replace;
  return { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: SPACE }, replace] };
}

export function spmDecoder(addSpacePrefix: boolean): Stage {
  const decoders: Stage[] = [
    { type: 'Replace', pattern: { String: SPACE }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
  ];
  if (addSpacePrefix) decoders.push({ type: 'Strip', content: ' ', start: 1, stop: 0 });
  return { type: 'Sequence', decoders };
}
