// The plug-in for both architectures (`.ci/run` has minutes for one), and the page of what the compiler made of it.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../setup/common.mjs';

for (const script of ['cuda-check', 'cuda-kernels']) {
  const { status } = spawnSync(process.execPath, [join(root, 'scripts', `${script}.mjs`)], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status !== 0) process.exitCode = 1;
}
