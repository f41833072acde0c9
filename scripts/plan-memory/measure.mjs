// What a plan said and what the process then held, for one combination: made, run and thrown away.
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { root } from '../setup/common.mjs';
import { writeModel } from './models.mjs';

/** Share by which plan and peak may differ, in either direction. */
export const TOLERANCE = 0.03;

const WORDS = ['cat', 'house', 'kissa', 'talo', 'tree', 'river', 'stone'];

/** Records far longer than `maxLength`, which are cut to it, so that micro-batches are full; or short ones, of any length. */
function writeData(path, { records = 8, promptWords = 30, responseWords = 300 } = {}) {
  const lines = Array.from({ length: records }, (_, i) => {
    const text = (count, step) =>
      Array.from({ length: count }, (_, j) => WORDS[(i * 7 + j * step + j * j) % WORDS.length]).join(' ');
    return JSON.stringify({
      id: `r${i}`,
      instruction: text(promptWords, 3),
      response: text(responseWords, 5),
    });
  });
  writeFileSync(path, lines.join('\n'));
}

/** What is the same in all training runs here: two steps of a full micro-batch. */
const TRAIN = {
  template: 'chatml',
  threads: 2,
  maxLength: 256,
  microTokens: 1024,
  batchExamples: 4,
  steps: 2,
};

async function makeModel(folder, { gguf, path, ...model }) {
  if (path !== undefined) return path;
  const made = join(folder, 'model');
  writeModel(made, model);
  if (gguf === undefined) return made;
  const { exportModel } = await import(pathToFileURL(join(root, 'dist', 'index.js')).href);
  const out = join(folder, 'model.gguf');
  await exportModel({ model: made, out, format: 'gguf', dtype: gguf });
  return out;
}

async function runChild(given) {
  const child = join(root, 'scripts', 'plan-memory', 'child.mjs');
  const { stdout } = await promisify(execFile)(process.execPath, [child, JSON.stringify(given)]);
  return JSON.parse(stdout);
}

/**
 * Runs a combination in a process of its own. `before`: what another process did first, a run that was `stopped` and is now
 * resumed, or one that `finished` and whose adapter is now gone on from.
 *
 * @returns {Promise<{ nativeBytes: number, nodeBytes: number, peakBytes: number, difference: number, nativeDifference: number }>}
 * difference: of nodeBytes + nativeBytes from peakBytes, as a share of the latter; nativeDifference: of nativeBytes from what the
 * process grew by
 */
export async function measure(folder, { model, data, kind = 'train', options = {}, before, ...more }) {
  mkdirSync(folder, { recursive: true });
  const given = { kind, ...more, options: { threads: 2, ...options, model: await makeModel(folder, model) } };
  if (kind === 'train') {
    const file = join(folder, 'data.jsonl');
    writeData(file, data);
    given.options = { ...TRAIN, ...given.options, data: [file], out: join(folder, 'run') };
  }
  if (before === 'stopped') {
    await runChild({ ...given, stopped: true });
    given.options.resume = true;
  } else if (before === 'finished') {
    await runChild(given);
    given.options = {
      ...given.options,
      initAdapter: join(folder, 'run', 'adapter'),
      out: join(folder, 'on'),
    };
    delete given.options.rank;
  }
  const { nativeBytes, nodeBytes, peakBytes } = await runChild(given);
  return {
    nativeBytes,
    nodeBytes,
    peakBytes,
    difference: (nativeBytes + nodeBytes) / peakBytes - 1,
    nativeDifference: nativeBytes / (peakBytes - nodeBytes) - 1,
  };
}
