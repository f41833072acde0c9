// Ten minutes for each parser: what a minute in every change's tests would hardly find.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../setup/common.mjs';

const { status } = spawnSync(process.execPath, [join(root, 'scripts', 'fuzz.mjs'), '--seconds', '600'], {
  stdio: 'inherit',
});
process.exit(status ?? 1);
