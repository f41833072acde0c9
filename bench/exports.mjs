// The same weights in the files that each peer reads, written by this library's own export once for a model: float32, so that a base that is
// stored in four bits is the same base for everybody.
import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { root } from '../scripts/setup/common.mjs';
import { say } from './report.mjs';

const folder = join(root, 'runs', 'bench', 'models');

/** Where what is made from a model belongs: by its name, and by its size and age, so that a newer file is not taken for an older one. */
export function madeFrom(model, name) {
  const { size, mtimeMs } = statSync(model);
  const key = createHash('sha256').update(`${model} ${size} ${mtimeMs}`).digest('hex').slice(0, 8);
  return join(folder, `${basename(model, '.gguf')}-${key}-${name}`);
}

/** @param {'safetensors' | 'gguf'} format a folder that transformers reads, or a file that llama.cpp reads */
export async function exportFloat32(model, format) {
  const out = madeFrom(model, format === 'gguf' ? 'f32.gguf' : 'f32');
  if (existsSync(out)) return out;
  say(`Writing ${basename(out)} for the peers`);
  const { exportModel } = await import('../dist/index.js');
  await exportModel({ model, out, format, dtype: 'f32' });
  return out;
}
