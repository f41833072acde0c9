// Where the real model is, for the tests that want it: MLIT_TEST_MODEL, or what `mlit pull gemma-3-270m` put in the cache.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { modelsDir } from '../../lib/model/cache';

const wanted = process.env.MLIT_TEST_MODEL ?? join(modelsDir(), 'gemma-3-270m-q4_k_m.gguf');

/** Path of the real GGUF, or undefined where it is not there; then a line says so. */
export const realModel: string | undefined = existsSync(wanted) ? wanted : undefined;

/** Folder of real data sets (MLIT_DATA_DIR), or undefined. */
export const realData: string | undefined =
  process.env.MLIT_DATA_DIR !== undefined && existsSync(process.env.MLIT_DATA_DIR)
    ? process.env.MLIT_DATA_DIR
    : undefined;

if (realModel === undefined) {
  console.warn(
    `skipped: the real model is not at ${wanted}; run "mlit pull gemma-3-270m", or set MLIT_TEST_MODEL`,
  );
}
