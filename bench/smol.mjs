// LoRA training at the shape of SmolLM2-135M, with random weights: narrow matrices, thirty layers and a small vocabulary, where another part of a
// step weighs most than in Gemma. The records are Gemma's, their ids folded into the vocabulary: lengths stay real, losses mean nothing.
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ensurePeers } from '../scripts/peers/ensure-venv.mjs';
import { root, SetupError } from '../scripts/setup/common.mjs';
import { contest, peerPath } from './process.mjs';
import { benchTrain } from './train.mjs';
import { prepareWork } from './work.mjs';

/** Sizes as the library's `model.config` has them. */
const CONFIG = {
  architecture: 'llama',
  hidden: 576,
  feedForward: 1536,
  heads: 9,
  kvHeads: 3,
  headDim: 64,
  layers: 30,
  vocabulary: 49_152,
  window: 0,
};

async function ensureModel(threads) {
  const out = join(root, 'runs', 'bench', 'models', 'smollm2-135m-random');
  if (existsSync(out)) return out;
  const tokenizer = join(root, 'test', 'fixtures', 'smol-tiny', 'model');
  const part = `${out}.part`;
  rmSync(part, { recursive: true, force: true });
  const args = [peerPath('random_model.py'), '--tokenizer', tokenizer, '--out', part];
  const { failed } = await contest(await ensurePeers(), args, { threads });
  if (failed) throw new SetupError(`The random model could not be made: ${failed}`);
  renameSync(part, out);
  return out;
}

async function prepare(options) {
  const work = await prepareWork({ ...options, name: 'smol', forPeers: false });
  const model = await ensureModel(options.threads);
  const { records, ...rest } = JSON.parse(readFileSync(work.path, 'utf8'));
  const folded = records.map((record) => ({
    ...record,
    ids: record.ids.map((id) => id % CONFIG.vocabulary),
  }));
  writeFileSync(work.path, JSON.stringify({ ...rest, model, peerModel: model, records: folded }));
  return { ...work, config: CONFIG };
}

/** The result of {@link benchTrain} for that model. */
export const benchSmol = (options) => benchTrain({ ...options, lineup: 'shape', prepare });
