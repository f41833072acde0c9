// A tiny model through the addon, and batches for it, shared by the tests of the native layer.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { loadAddon } from '../../lib/native/addon';
import type {
  NativeAdamW,
  NativeAdapterSpec,
  NativeLoadOptions,
  NativePackedBatch,
  NativeSampleOptions,
  NativeSampleRequest,
  NativeTrainOptions,
} from '../../lib/native/types';

export const fixture = (path: string): string =>
  fileURLToPath(new URL(`../fixtures/llama-tiny/${path}`, import.meta.url));

interface Expected {
  packed: {
    documents: { tokens: number[]; weights: number[] }[];
    totalWeight: number;
    adapter: { loss: number; gradNorm: number };
    mixed: { adapterOf: number[]; nllSums: number[] };
  };
  greedy: { base: { prompt: number[]; tokens: number[] }[] };
}

export const expected = JSON.parse(readFileSync(fixture('expected.json'), 'utf8')) as Expected;

export const loadOptions: NativeLoadOptions = { threads: 1, isa: 'auto', format: 'f32' };
export const trainOptions: NativeTrainOptions = {
  maxTokens: 4096,
  logitsBytes: 1 << 22,
  recompute: 'none',
  full: false,
  training: true,
};
export const sampleOptions: NativeSampleOptions = {
  maxRows: 4,
  cacheTokens: 0,
  prefillTokens: 64,
  usableTokens: 0,
};
export const spec: NativeAdapterSpec = {
  rank: 4,
  alpha: 8,
  rslora: false,
  dropout: 0,
  targetModules: ['q_proj', 'down_proj'],
};
export const adamW: NativeAdamW = {
  learningRate: 1e-3,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  maxGradNorm: 1,
  gradScale: 1,
};

export const openModel = () => loadAddon().loadModel(fixture('model'), loadOptions);

/** Documents packed as lib/data would: weights[i] belongs to tokens[i], so that row i carries those of i + 1. */
export function pack(
  documents: { tokens: number[]; weights: number[] }[],
  adapterOf: number[],
): NativePackedBatch {
  const cuSeqlens = [0];
  for (const { tokens } of documents) cuSeqlens.push(cuSeqlens.at(-1)! + tokens.length);
  const shifted = (pick: (document: (typeof documents)[number]) => number[], last: number) =>
    documents.flatMap((document) => [...pick(document).slice(1), last]);
  return {
    tokens: Int32Array.from(documents.flatMap(({ tokens }) => tokens)),
    positions: Int32Array.from(documents.flatMap(({ tokens }) => tokens.map((_, i) => i))),
    cuSeqlens: Int32Array.from(cuSeqlens),
    targets: Int32Array.from(shifted(({ tokens }) => tokens, -1)),
    weights: Float32Array.from(shifted(({ weights }) => weights, 0)),
    adapters: Int32Array.from(adapterOf),
  };
}

export const packed = (adapterOf = [0, 0, 0]): NativePackedBatch =>
  pack(expected.packed.documents, adapterOf);

export const request = (id: number, changes: Partial<NativeSampleRequest> = {}): NativeSampleRequest => ({
  id,
  prompt: Int32Array.from(expected.greedy.base[0]!.prompt),
  maxNewTokens: 8,
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  seed: 0n,
  stopIds: new Int32Array(),
  adapter: -1,
  top: 0,
  scoreFrom: 0,
  ...changes,
});
