// The CUDA backend's tests on the emulator with 200 seeds where `npm test` has 20 or fewer: the order of blocks, warps, lanes and streams, and
// every bit that a card leaves open, drawn so often.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { hasCommand, root, runLogged } from '../setup/common.mjs';

const folder = join(root, 'build');
const launcher = hasCommand('ccache') ? ['-DCMAKE_CXX_COMPILER_LAUNCHER=ccache'] : [];
const options = ['-DMLIT_BUILD_EMULATION_TESTS=ON', ...launcher];
await runLogged('cmake', ['-S', root, '-B', folder, ...options], { log: 'emulation-configure' });
await runLogged('cmake', ['--build', folder, '--target', 'mlit_emulation_tests', '--parallel', '2'], {
  log: 'emulation-build',
});
const { status } = spawnSync(join(folder, 'mlit_emulation_tests'), ['--gtest_brief=1'], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, MLIT_EMULATION_SEEDS: '200' },
});
process.exit(status ?? 1);
