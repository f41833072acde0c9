// The least that a training step has to move, by what docs/numerics.md says the backward pass keeps: what counted bytes are held against.
// The last layer's second half, which runs on targets alone, is taken as whole.
import type { NativeAdapterSpec, NativeModelConfig } from '../../lib/native/types';

const REAL = 2; // bfloat16
const FLOAT = 4;

export interface Implied {
  /** By kept buffers, their gradients and weights alone. */
  kept: number;
  /** More where products are a library's: what they read and write has to be in memory. */
  products: number;
}

export function impliedBytes(
  config: NativeModelConfig,
  adapter: NativeAdapterSpec,
  tokens: number,
  targets: number,
): Implied {
  const { hidden, feedForward, heads, kvHeads, headDim, layers, vocabulary, architecture } = config;
  const query = heads * headDim;
  const keyValue = kvHeads * headDim;
  const gemma = architecture === 'gemma3';
  const headNorms = gemma || architecture === 'qwen3';

  const residuals = 2 * FLOAT * hidden;
  const reals =
    REAL * (query + 2 * keyValue + query + 2 * feedForward) +
    (headNorms ? REAL * (query + keyValue) : 0) +
    (gemma ? 2 * REAL * hidden : 0);
  const statistics = FLOAT * (2 + heads + (headNorms ? heads + kvHeads : 0) + (gemma ? 2 : 0));
  const ofToken = 3 * (residuals + reals + statistics) + 2 * (residuals + reals);

  const matrices = hidden * (query + 2 * keyValue) + query * hidden + 3 * hidden * feedForward;
  const factors = adapter.rank * (7 * hidden + 2 * query + 2 * keyValue + 3 * feedForward);
  // Read once in either direction; gradients are added to, and the optimiser reads four vectors and writes three.
  const weights = layers * (2 * REAL * matrices + FLOAT * factors * (2 + 2 + 7));
  const head = 2 * REAL * vocabulary * hidden;
  const logits = targets * vocabulary * (2 * FLOAT + 2 * REAL);

  // Normalised rows of two norms and act(gate) * up: formed and read forward and again backward, and a gradient of each.
  const operands = REAL * (2 * hidden + feedForward) * 2 * 3;
  return { kept: tokens * layers * ofToken + weights + head + logits, products: tokens * layers * operands };
}
