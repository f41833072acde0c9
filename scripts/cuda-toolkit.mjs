// `npm run cuda:toolkit [-- --wheels] [-- --cublas]`: a CUDA compiler for the plug-in, and on request the library that it loads on a
// machine with a card.
import { parseArgs } from 'node:util';
import { ensureCublas, ensureCudaToolkit } from './cuda/toolkit.mjs';
import { SetupError, say } from './setup/common.mjs';

try {
  const { values } = parseArgs({
    options: { wheels: { type: 'boolean', default: false }, cublas: { type: 'boolean', default: false } },
  });
  const { nvcc, release, from } = await ensureCudaToolkit(values);
  say(`nvcc ${release.join('.')} (${from === 'system' ? "the system's" : "from NVIDIA's wheels"}): ${nvcc}`);
  if (values.cublas) say(`cuBLASLt: ${await ensureCublas()}`);
} catch (error) {
  say(error instanceof SetupError ? error.message : `cuda-toolkit: ${error?.message ?? error}`);
  process.exit(1);
}
