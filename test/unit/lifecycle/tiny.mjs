// Plain JavaScript for child processes and workers: the addon as it is, a tiny model and steps on it.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');

export const modelPath = join(root, 'test', 'fixtures', 'llama-tiny', 'model');
export const loadOptions = { threads: 1, isa: 'auto', format: 'f32' };
export const spec = { rank: 4, alpha: 8, rslora: false, targetModules: ['q_proj', 'v_proj', 'down_proj'] };

export function openAddon() {
  return require(require('node-gyp-build').resolve(root));
}

/** `documents` documents of `length` tokens, all of adapter 0. */
export function batch(documents = 1, length = 12) {
  const size = documents * length;
  return {
    tokens: Int32Array.from({ length: size }, (_, i) => 3 + ((i * 7) % 360)),
    positions: Int32Array.from({ length: size }, (_, i) => i % length),
    cuSeqlens: Int32Array.from({ length: documents + 1 }, (_, i) => i * length),
    targets: Int32Array.from({ length: size }, (_, i) =>
      i % length === length - 1 ? -1 : 3 + ((i * 5) % 360),
    ),
    weights: Float32Array.from({ length: size }, (_, i) => (i % length === length - 1 ? 0 : 1)),
    adapters: new Int32Array(documents),
  };
}

export async function openSession(addon, maxTokens = 4096) {
  const model = await addon.loadModel(modelPath, loadOptions);
  const adapter = await model.createAdapter(spec, 1n);
  const options = { maxTokens, logitsBytes: 1 << 22, recompute: 'none', full: false, training: true };
  return { model, adapter, session: await model.createTrainSession([adapter], options) };
}

export const adamW = {
  learningRate: 1e-3,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  maxGradNorm: 1,
};

/** One step; the loss before it. */
export async function trainStep(session) {
  const sums = await session.forwardBackward(batch(2), false);
  await session.optimStep(0, { ...adamW, gradScale: 1 / sums.weight[0] });
  return sums.loss[0] / sums.weight[0];
}

/** Keeps the compute thread in the middle of a step, with more waiting, from its first step's end until the process ends. */
export async function keepBusy(session) {
  const big = batch(16, 256);
  const step = () => session.forwardBackward(big, false);
  const forever = async () => {
    for (;;) await Promise.all([step(), step(), step()]);
  };
  await step();
  forever().catch(() => {});
}
