// How much arithmetic a training step is, counted the same for everybody: what the mathematics asks for, each product
// once, nothing that is padded, masked away or computed again.

/**
 * Multiply-adds × 2 of forward and backward over some records: the frozen matrices in both directions, the adapters'
 * six products, attention in its window, and the head on supervised tokens only. The last layer's part after its
 * attention is needed for supervised tokens only, and nothing flows below the first layer's adapters.
 * In full tuning every matrix has a third product, and the embedding wants the gradient that LoRA's first layer need not pass on.
 * @param {object} config the model's sizes, as the library's `model.config` has them
 * @param {{ rank: number, records: { length: number, supervised: number }[], isFull?: boolean }} work LoRA on all linear layers, or full tuning
 */
export function trainingFlops(config, { rank, records, isFull = false }) {
  const { hidden, feedForward, heads, kvHeads, headDim, layers, vocabulary } = config;
  const query = heads * headDim;
  const linear = (inputs, outputs) => ({ base: 2 * inputs * outputs, lora: 2 * rank * (inputs + outputs) });
  const cost = ({ base, lora }) => (isFull ? 3 * base : 2 * base + 3 * lora);
  const unasked = isFull ? 0 : 1;
  const qkv = [linear(hidden, query), linear(hidden, kvHeads * headDim), linear(hidden, kvHeads * headDim)];
  const tail = [
    linear(query, hidden),
    linear(hidden, feedForward),
    linear(hidden, feedForward),
    linear(feedForward, hidden),
  ];
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const tokens = sum(records.map((record) => record.length));
  const supervised = sum(records.map((record) => record.supervised));
  const body =
    tokens * (layers * sum(qkv.map(cost)) - unasked * sum(qkv.map((part) => part.base))) +
    (tokens * (layers - 1) + supervised) * sum(tail.map(cost));
  const attention = sum(records.map((record) => sum(attentionPairs(config, record.length)))) * query * 2 * 6;
  return { body, attention, head: supervised * (isFull ? 6 : 4) * vocabulary * hidden, tokens, supervised };
}

/** Keys seen by all queries of one record, layer by layer: causal, and within the window where a layer has one. */
function attentionPairs({ layers, window, architecture }, length) {
  const full = (length * (length + 1)) / 2;
  const rest = Math.max(0, length - window);
  const local = full - (rest * (rest + 1)) / 2;
  // Gemma 3: every sixth layer is global; of the other families all are.
  const isGlobal = (layer) => architecture !== 'gemma3' || (layer + 1) % 6 === 0;
  return Array.from({ length: layers }, (_, layer) => (isGlobal(layer) ? full : local));
}

/** All parts of {@link trainingFlops} together. */
export const totalFlops = ({ body, attention, head }) => body + attention + head;
