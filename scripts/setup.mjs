// Everything between a bare clone and a working library, in tiers, each step doing nothing where nothing is left
// to do: `node scripts/setup.mjs [--for run|test|lint|bench|cuda] [--rebuild]`.

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { ensureCudaToolkit } from './cuda/toolkit.mjs';
import { ensureBundle, ensureNative, ensurePackages } from './setup/build.mjs';
import { progressLine, root, SetupError, say } from './setup/common.mjs';
import { checkNode, ensureSystem } from './setup/system.mjs';

const tiers = {
  run: ['run'],
  test: ['run', 'test'],
  lint: ['run', 'lint'],
  bench: ['run', 'bench'],
  cuda: ['run'],
};

function readOptions() {
  try {
    const { values } = parseArgs({
      options: { for: { type: 'string', default: 'run' }, rebuild: { type: 'boolean', default: false } },
    });
    if (!Object.hasOwn(tiers, values.for)) {
      throw new Error(`--for takes ${Object.keys(tiers).join(', ')}; got '${values.for}'`);
    }
    return values;
  } catch (error) {
    say(`setup: ${error.message}`);
    process.exit(2);
  }
}

/** The real model, for the tests and benchmarks that want it: without it they are left out, so no error here. */
async function fetchModel() {
  const { pullModel } = await import(pathToFileURL(join(root, 'dist', 'index.js')).href);
  const progress = progressLine('Fetching gemma-3-270m');
  try {
    await pullModel('gemma-3-270m', {
      onProgress: ({ doneBytes, totalBytes }) => totalBytes && progress.update(doneBytes / totalBytes),
    });
  } catch (error) {
    progress.end();
    say(`Note: the real model could not be fetched, so what needs it will be left out. ${error.message}`);
  }
  progress.end();
}

async function main() {
  const options = readOptions();
  const wanted = tiers[options.for];
  checkNode();
  await ensureSystem(wanted);
  await ensurePackages();
  if (options.for === 'lint') return;
  const nvcc = options.for === 'cuda' ? (await ensureCudaToolkit()).nvcc : undefined;
  await ensureNative({ ...options, nvcc });
  await ensureBundle(options);
  if (wanted.includes('test') || wanted.includes('bench')) await fetchModel();
}

try {
  await main();
} catch (error) {
  // Only SetupError is made for the reader; anything else is a fault of these scripts, still told in one line.
  say(error instanceof SetupError ? `\n${error.message}` : `\nsetup failed: ${error?.message ?? error}`);
  process.exit(1);
}
