// Long enough for its verdict to tell a leak of a hundred kilobytes a turn from noise; the two hours are for a release.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../setup/common.mjs';

const { status } = spawnSync(process.execPath, [join(root, 'scripts', 'soak.mjs'), '--minutes', '10'], {
  stdio: 'inherit',
});
process.exit(status ?? 1);
