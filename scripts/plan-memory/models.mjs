// A plan can only be measured on a model that outweighs what Node's own memory moves by, and no such model is committed: these are
// made on the fly, of a family's real architecture and of weights that mean nothing, with a fixture's tokenizer beside them.
import { closeSync, copyFileSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../setup/common.mjs';

/** What a family's config.json has beyond sizes. */
const FAMILIES = {
  llama: { model_type: 'llama', architectures: ['LlamaForCausalLM'], rope_theta: 10000 },
  mistral: {
    model_type: 'mistral',
    architectures: ['MistralForCausalLM'],
    rope_theta: 10000,
    sliding_window: 64,
  },
  qwen2: {
    model_type: 'qwen2',
    architectures: ['Qwen2ForCausalLM'],
    rope_theta: 10000,
    use_sliding_window: false,
  },
  qwen3: {
    model_type: 'qwen3',
    architectures: ['Qwen3ForCausalLM'],
    rope_theta: 10000,
    attention_bias: false,
  },
  gemma3: {
    model_type: 'gemma3_text',
    architectures: ['Gemma3ForCausalLM'],
    rope_theta: 1000000,
    rope_local_base_freq: 10000,
    sliding_window: 64,
    sliding_window_pattern: 6,
    query_pre_attn_scalar: 64,
    hidden_activation: 'gelu_pytorch_tanh',
  },
};

/** Sizes of a model of about 25 million parameters, most of them in its layers. */
const SIZES = {
  hidden: 448,
  layers: 8,
  feedForward: 1344,
  heads: 7,
  kvHeads: 1,
  headDim: 64,
  vocabulary: 8192,
};

function configOf(family, sizes, tied, dtype) {
  return {
    ...FAMILIES[family],
    torch_dtype: dtype === 'bf16' ? 'bfloat16' : 'float32',
    hidden_act: 'silu',
    hidden_size: sizes.hidden,
    intermediate_size: sizes.feedForward,
    num_hidden_layers: sizes.layers,
    num_attention_heads: sizes.heads,
    num_key_value_heads: sizes.kvHeads,
    head_dim: sizes.headDim,
    vocab_size: sizes.vocabulary,
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: tied,
    bos_token_id: 1,
    eos_token_id: 2,
  };
}

/** Names and shapes as transformers has them. */
function tensorsOf(family, s, tied) {
  const query = s.heads * s.headDim;
  const keyValue = s.kvHeads * s.headDim;
  const tensors = [['model.embed_tokens.weight', [s.vocabulary, s.hidden]]];
  if (!tied) tensors.push(['lm_head.weight', [s.vocabulary, s.hidden]]);
  for (let layer = 0; layer < s.layers; layer++) {
    const norms = ['input_layernorm', 'post_attention_layernorm'];
    if (family === 'gemma3') norms.push('pre_feedforward_layernorm', 'post_feedforward_layernorm');
    const all = [
      ['self_attn.q_proj.weight', [query, s.hidden]],
      ['self_attn.k_proj.weight', [keyValue, s.hidden]],
      ['self_attn.v_proj.weight', [keyValue, s.hidden]],
      ['self_attn.o_proj.weight', [s.hidden, query]],
      ['mlp.gate_proj.weight', [s.feedForward, s.hidden]],
      ['mlp.up_proj.weight', [s.feedForward, s.hidden]],
      ['mlp.down_proj.weight', [s.hidden, s.feedForward]],
      ...norms.map((norm) => [`${norm}.weight`, [s.hidden]]),
    ];
    if (family === 'qwen2')
      for (const [name, n] of [
        ['q', query],
        ['k', keyValue],
        ['v', keyValue],
      ])
        all.push([`self_attn.${name}_proj.bias`, [n]]);
    if (family === 'qwen3' || family === 'gemma3')
      for (const name of ['q', 'k']) all.push([`self_attn.${name}_norm.weight`, [s.headDim]]);
    for (const [name, shape] of all) tensors.push([`model.layers.${layer}.${name}`, shape]);
  }
  tensors.push(['model.norm.weight', [s.hidden]]);
  return tensors;
}

/** A block of values around nothing, written over and over: what they are does not matter, that they are finite does. */
function block(dtype) {
  const values = Float32Array.from({ length: 1 << 18 }, () => (Math.random() - 0.5) * 0.05);
  if (dtype === 'f32') return Buffer.from(values.buffer);
  const words = new Uint32Array(values.buffer);
  return Buffer.from(Uint16Array.from(words, (word) => word >>> 16).buffer);
}

/**
 * Writes a Hugging Face folder.
 *
 * @param {string} folder made here
 * @param {{ family: keyof typeof FAMILIES, sizes?: Partial<typeof SIZES>, tied?: boolean, dtype?: 'f32' | 'bf16' }} model
 */
export function writeModel(folder, { family, sizes: own = {}, tied = true, dtype = 'f32' }) {
  const sizes = { ...SIZES, ...own };
  mkdirSync(folder, { recursive: true });
  const tokenizer = join(root, 'test', 'fixtures', 'smol-tiny', 'model');
  for (const file of ['tokenizer.json', 'tokenizer_config.json'])
    copyFileSync(join(tokenizer, file), join(folder, file));
  writeFileSync(join(folder, 'config.json'), JSON.stringify(configOf(family, sizes, tied, dtype)));
  const header = {};
  let end = 0;
  for (const [name, shape] of tensorsOf(family, sizes, tied)) {
    const bytes = shape.reduce((product, size) => product * size, dtype === 'f32' ? 4 : 2);
    header[name] = { dtype: dtype.toUpperCase(), shape, data_offsets: [end, end + bytes] };
    end += bytes;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const file = openSync(join(folder, 'model.safetensors'), 'w');
  writeSync(file, Buffer.concat([length, text]));
  const values = block(dtype);
  for (let left = end; left > 0; left -= values.length)
    writeSync(file, values, 0, Math.min(left, values.length));
  closeSync(file);
}
