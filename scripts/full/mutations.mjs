// A sample of one-token mistakes in the kernels, another each day: the tests have to see each, or scripts/cuda/mutants.json has to say why
// none can (docs/cuda.md).
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../setup/common.mjs';

const today = new Date().toISOString().slice(0, 10);
const options = ['--limit', '250', '--seed', today, '--minutes', '240'];
const { status } = spawnSync(process.execPath, [join(root, 'scripts', 'cuda', 'mutate.mjs'), ...options], {
  cwd: root,
  stdio: 'inherit',
});
process.exit(status ?? 1);
