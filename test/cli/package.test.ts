// The package as another project meets it: by import and by require, without its addon until that is used, and out of the
// way when the work is done.
import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { fixture, root, scratch } from '../support/fixtures';

const folder = scratch();
mkdirSync(join(folder, 'node_modules'));
symlinkSync(root, join(folder, 'node_modules', 'mlit-native'));

const body = `
const loaded = () => require('node:fs').readFileSync('/proc/self/maps', 'utf8').includes('mlit.node');
(async () => {
  const before = loaded();
  const model = await mlit.Model.load({ model: process.argv[2], threads: 1 });
  console.log(JSON.stringify({ before, after: loaded(), names: Object.keys(mlit).sort(), version: mlit.version, kind: model.config.architecture }));
})();
`;

it.each([
  ['require', 'main.cjs', "const mlit = require('mlit-native');"],
  [
    'import',
    'main.mjs',
    "import * as mlit from 'mlit-native'; import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
  ],
])('%s gives the API from a project of its own, and the process ends by itself', (_how, file, head) => {
  writeFileSync(join(folder, file), head + body);
  const args = [file, fixture('smol-tiny', 'model')];
  const ended = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8', timeout: 30_000 });
  expect(ended.stderr).toBe('');
  expect(ended.status).toBe(0);
  const said = JSON.parse(ended.stdout);
  expect(said).toMatchObject({ before: false, after: true, kind: 'llama' });
  for (const name of ['Model', 'Adapter', 'TrainingSession', 'Trainer', 'Sampler', 'score', 'MlitError'])
    expect(said.names).toContain(name);
});
