// The native tests that have threads in them, under ThreadSanitizer: a race that happens once in a million steps is seen at once.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { hasCommand, root, runLogged } from '../setup/common.mjs';

const folder = join(root, 'build-tsan');
const launcher = hasCommand('ccache') ? ['-DCMAKE_CXX_COMPILER_LAUNCHER=ccache'] : [];
const options = ['-DMLIT_BUILD_TESTS=ON', '-DMLIT_SANITIZE=thread', ...launcher];
await runLogged('cmake', ['-S', root, '-B', folder, ...options], { log: 'tsan-configure' });
await runLogged('cmake', ['--build', folder, '--target', 'mlit_tests', '--parallel', '2'], {
  log: 'tsan-build',
});
const { status } = spawnSync(
  join(folder, 'mlit_tests'),
  [
    '--gtest_brief=1',
    '--gtest_filter=ThreadPool*:Threads*:*Session*cpu*:*Model*:*Sampl*:Condition*:CpuLinear*',
  ],
  { cwd: root, stdio: 'inherit', env: { ...process.env, TSAN_OPTIONS: 'halt_on_error=1' } },
);
process.exit(status ?? 1);
