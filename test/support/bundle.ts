// A module of lib/ as one plain JavaScript file, so that a test can run it in processes of their own and kill them.
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'tsup';
import { root, scratch } from './fixtures';

/** URL of the bundle; it is removed when the test file's tests are over. */
export async function bundle(module: string): Promise<string> {
  const outDir = scratch();
  await build({
    entry: [join(root, module)],
    outDir,
    format: ['esm'],
    outExtension: () => ({ js: '.mjs' }),
    platform: 'node',
    target: 'node20',
    splitting: false,
    config: false,
    silent: true,
  });
  return pathToFileURL(join(outDir, basename(module).replace(/\.ts$/, '.mjs'))).href;
}
