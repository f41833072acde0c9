// A training on the emulated card in which each call of the runtime and of cuBLASLt fails in turn; `npm test` has a few of them.
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
const { status } = spawnSync(
  join(folder, 'mlit_emulation_tests'),
  ['--gtest_filter=TrainingFailures.*', '--gtest_brief=1'],
  { cwd: root, stdio: 'inherit', env: { ...process.env, MLIT_EVERY_CALL: '1' } },
);
process.exit(status ?? 1);
