// Documents of a step are laid end to end in micro-batches, the longest first and each where it leaves the least room.
// There is no padding, and nothing of one document reaches another: positions restart, and a last token has no target.

import { MlitError } from '../native/errors';
import type { NativePackedBatch } from '../native/types';
import { refuseUnknownOptions } from '../text/options';
import type { RenderedExample } from './render';

/** One micro-batch as the native step takes it: T tokens, D documents laid end to end. */
export type PackedBatch = NativePackedBatch;

/** A micro-batch, and which of the examples given are in it. */
export interface PackedGroup {
  batch: PackedBatch;
  /** [D] index of each document in the list that was packed. */
  members: number[];
}

/** How examples are packed into micro-batches. */
export interface PackOptions {
  /** Tokens of a micro-batch at most. */
  microTokens: number;
  /** Adapter of every example, or one for each. Default 0. */
  adapters?: number | ArrayLike<number>;
  /** Number of each example within its step, by which dropout draws. Default: its index in the list. */
  records?: ArrayLike<number>;
  /** Give every token but a document's first as a target, also those of weight 0 (for scores a token). Default false. */
  allTargets?: boolean;
}

/** What packing needs of an example. */
export type Packable = Pick<RenderedExample, 'id' | 'tokens' | 'weights'>;

/**
 * Packs examples by best-fit decreasing. The same list gives the same batches.
 *
 * @throws MlitError `DATA_INVALID` naming an example that is longer than a micro-batch or has no tokens
 */
export function packExamples(examples: readonly Packable[], options: PackOptions): PackedGroup[] {
  refuseUnknownOptions('packExamples', options, {
    microTokens: true,
    adapters: true,
    allTargets: true,
    records: true,
  });
  const { microTokens } = options;
  if (!Number.isInteger(microTokens) || microTokens < 1) {
    throw new RangeError(`microTokens: expected a whole number from 1, got ${microTokens}`);
  }
  for (const { id, tokens } of examples) {
    if (tokens.length >= 1 && tokens.length <= microTokens) continue;
    throw new MlitError(
      'DATA_INVALID',
      `record "${id}" has ${tokens.length} tokens; expected 1 to ${microTokens}, the tokens of a micro-batch (--micro-tokens)`,
      { fields: { id, tokens: tokens.length, microTokens } },
    );
  }
  return bestFitDecreasing(
    examples.map((example) => example.tokens.length),
    microTokens,
  ).map((members) => ({ batch: layOut(examples, members, options), members }));
}

/** What {@link packExamples} of each list will make at most: tokens of a micro-batch, and targets of one. */
export function largestBatch(
  lists: Iterable<readonly Pick<Packable, 'tokens' | 'weights'>[]>,
  microTokens: number,
): { tokens: number; targets: number } {
  const largest = { tokens: 0, targets: 0 };
  for (const examples of lists) {
    const lengths = examples.map((example) => example.tokens.length);
    for (const members of bestFitDecreasing(lengths, microTokens)) {
      let tokens = 0;
      let targets = 0;
      for (const member of members) {
        const { weights } = examples[member]!;
        tokens += weights.length;
        for (let i = 1; i < weights.length; i++) if (weights[i] !== 0) targets += 1;
      }
      largest.tokens = Math.max(largest.tokens, tokens);
      largest.targets = Math.max(largest.targets, targets);
    }
  }
  return largest;
}

/**
 * Which examples each of several ranks takes, in the order of the list: the longest first, each to the rank with the fewest tokens
 * so far. A function of the lengths alone; a rank may get none.
 */
export function dealExamples(examples: readonly Pick<Packable, 'tokens'>[], ranks: number): number[][] {
  const order = examples.map((_, index) => index);
  const lengthOf = (index: number): number => examples[index]!.tokens.length;
  order.sort((a, b) => lengthOf(b) - lengthOf(a) || a - b);
  const hands = Array.from({ length: ranks }, () => ({ members: [] as number[], tokens: 0 }));
  for (const index of order) {
    const least = hands.reduce((best, hand) => (hand.tokens < best.tokens ? hand : best));
    least.members.push(index);
    least.tokens += lengthOf(index);
  }
  return hands.map(({ members }) => members.sort((a, b) => a - b));
}

/** Groups of indices whose lengths sum to at most `capacity`; ties go to the earlier index and the earlier group. */
function bestFitDecreasing(lengths: readonly number[], capacity: number): number[][] {
  const order = lengths.map((_, index) => index);
  order.sort((a, b) => (lengths[b] as number) - (lengths[a] as number) || a - b);
  const groups: number[][] = [];
  const rooms: number[] = [];
  for (const index of order) {
    const length = lengths[index] as number;
    let best = -1;
    for (let group = 0; group < rooms.length; group += 1) {
      const room = rooms[group] as number;
      if (room >= length && (best === -1 || room < (rooms[best] as number))) best = group;
    }
    if (best === -1) {
      best = groups.push([]) - 1;
      rooms.push(capacity);
    }
    (groups[best] as number[]).push(index);
    rooms[best] = (rooms[best] as number) - length;
  }
  return groups;
}

function layOut(
  examples: readonly Packable[],
  members: readonly number[],
  options: PackOptions,
): PackedBatch {
  const total = members.reduce((sum, member) => sum + (examples[member] as Packable).tokens.length, 0);
  const batch: PackedBatch = {
    tokens: new Int32Array(total),
    positions: new Int32Array(total),
    cuSeqlens: new Int32Array(members.length + 1),
    targets: new Int32Array(total).fill(-1),
    weights: new Float32Array(total),
    adapters: new Int32Array(members.length),
    records: Int32Array.from(members, (member) => options.records?.[member] ?? member),
  };
  let from = 0;
  for (const [document, member] of members.entries()) {
    const { tokens, weights } = examples[member] as Packable;
    batch.tokens.set(tokens, from);
    batch.adapters[document] = adapterOf(member, options);
    for (let i = 0; i < tokens.length; i += 1) {
      batch.positions[from + i] = i;
      if (i + 1 === tokens.length) continue;
      const weight = weights[i + 1] as number;
      if (weight === 0 && options.allTargets !== true) continue;
      batch.targets[from + i] = tokens[i + 1] as number;
      batch.weights[from + i] = weight;
    }
    from += tokens.length;
    batch.cuSeqlens[document + 1] = from;
  }
  return batch;
}

function adapterOf(member: number, options: PackOptions): number {
  const { adapters = 0 } = options;
  return typeof adapters === 'number' ? adapters : (adapters[member] as number);
}
