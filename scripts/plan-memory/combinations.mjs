// Families × options as they meet in a plan, each in at least one combination: what a term of the plan depends on, and what takes
// memory without being one.
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const big = { hidden: 512, layers: 10, feedForward: 1536, heads: 8, kvHeads: 2 };
const wide = { hidden: 320, layers: 6, feedForward: 960, heads: 5, vocabulary: 49152 };
const gemma = process.env.MLIT_CACHE ?? join(homedir(), '.cache', 'mlit');
const real = join(gemma, 'models', 'gemma-3-270m-q4_k_m.gguf');

/** By name; `model`, `data`, `options` as measure() takes them. */
export const combinations = {
  'llama, LoRA': { model: { family: 'llama' } },
  'llama, own head, rank 64': { model: { family: 'llama', tied: false }, options: { rank: 64 } },
  'llama, LoRA on the head too': {
    model: { family: 'llama' },
    options: { target: ['all-linear', 'lm_head'], rank: 32 },
  },
  'llama, full': { model: { family: 'llama' }, options: { method: 'full' } },
  'llama, recompute activations': {
    model: { family: 'llama', sizes: big },
    options: { recompute: 'activations' },
  },
  'llama, recompute layer': { model: { family: 'llama', sizes: big }, options: { recompute: 'layer' } },
  'llama, bf16 file': { model: { family: 'llama', sizes: big, dtype: 'bf16' } },
  'llama, bf16 file as f32': {
    model: { family: 'llama', sizes: big, dtype: 'bf16' },
    options: { baseDtype: 'f32' },
  },
  'llama, GGUF f16': { model: { family: 'llama', gguf: 'f16' } },
  'llama, int8': { model: { family: 'llama', sizes: big }, options: { compute: 'int8' } },
  'llama, int8, a vocabulary of 49,152': {
    model: { family: 'llama', sizes: wide, dtype: 'bf16' },
    options: { compute: 'int8', recompute: 'layer' },
  },
  'llama, dropout, a vocabulary of 49,152': {
    model: { family: 'llama', sizes: wide },
    options: { dropout: 0.1 },
  },
  'llama, full, resumed': {
    model: { family: 'llama' },
    options: { method: 'full', steps: 5 },
    before: 'stopped',
  },
  'llama, going on from an adapter of rank 64': {
    model: { family: 'llama' },
    options: { rank: 64 },
    before: 'finished',
  },
  'mistral, q and v alone': {
    model: { family: 'mistral' },
    options: { target: ['q_proj', 'v_proj'], rank: 8 },
  },
  'mistral, own head, full, recompute layer': {
    model: { family: 'mistral', tied: false },
    options: { method: 'full', recompute: 'layer' },
  },
  'qwen2, LoRA, dev set by loss': {
    model: { family: 'qwen2' },
    options: { dev: 4, evalEvery: 1 },
    data: { records: 12 },
  },
  'qwen2, full, recompute activations': {
    model: { family: 'qwen2' },
    options: { method: 'full', recompute: 'activations' },
  },
  'qwen3, LoRA, dev set by ROUGE-L': {
    model: { family: 'qwen3' },
    options: { dev: 4, evalEvery: 2, select: 'rouge-l', maxResponse: 64 },
    data: { records: 12, promptWords: 60 },
  },
  'qwen3, short records of all lengths': {
    model: { family: 'qwen3' },
    options: { microTokens: 'auto', batchExamples: 40 },
    data: { records: 80, promptWords: 12, responseWords: 4 },
  },
  'gemma3, LoRA': { model: { family: 'gemma3' } },
  'gemma3, bf16 file, micro-batches of 2,048': {
    model: { family: 'gemma3', dtype: 'bf16' },
    options: { microTokens: 2048, batchExamples: 8, recompute: 'layer' },
  },
  'gemma3, full': { model: { family: 'gemma3' }, options: { method: 'full' } },
  'llama, sampling': { kind: 'sample', model: { family: 'llama', sizes: big }, rows: 24, promptTokens: 480 },
  'qwen3 GGUF, sampling with three adapters': {
    kind: 'sample',
    model: { family: 'qwen3', sizes: big, gguf: 'f16' },
    rows: 12,
    promptTokens: 992,
    adapters: [16, 16, 8],
  },
  'gemma3, scoring': {
    kind: 'score',
    model: { family: 'gemma3', sizes: big },
    microTokens: 2048,
    length: 512,
  },
  ...(existsSync(real) && {
    'Gemma 3 270M, Q4_K_M, LoRA': {
      model: { path: real },
      options: { template: 'gemma', microTokens: 512, batchExamples: 2, recompute: 'activations' },
    },
  }),
};
