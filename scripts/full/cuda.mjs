// The plug-in for both architectures (`.ci/run` has minutes for one), and the page of what the compiler made of it: the committed one has to
// be what its command writes, where it was the same compiler.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, say } from '../setup/common.mjs';

const page = () => readFileSync(join(root, 'docs', 'cuda-kernels.md'), 'utf8');
const compiler = (text) => /as nvcc (\S+) compiled it/.exec(text)?.[1];

const committed = page();
for (const script of ['cuda-check', 'cuda-kernels']) {
  const { status } = spawnSync(process.execPath, [join(root, 'scripts', `${script}.mjs`)], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status !== 0) process.exitCode = 1;
}
if (compiler(page()) === compiler(committed) && page() !== committed) {
  say('docs/cuda-kernels.md is not what `npm run cuda:kernels` writes now: commit what it wrote.');
  process.exitCode = 1;
}
