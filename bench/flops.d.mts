// Types of flops.mjs, for the tests.
export interface FlopParts {
  body: number;
  attention: number;
  head: number;
  tokens: number;
  supervised: number;
}
export interface FlopSizes {
  architecture: string;
  hidden: number;
  feedForward: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  layers: number;
  vocabulary: number;
  window: number;
}
export function trainingFlops(
  config: FlopSizes,
  work: { rank: number; records: { length: number; supervised: number }[]; isFull?: boolean },
): FlopParts;
export function totalFlops(parts: FlopParts): number;
