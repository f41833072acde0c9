// The native tests that have threads in them, under ThreadSanitizer: a race that happens once in a million steps is seen at once.
// All of the core is built for it: where the thread pool alone is not, each of its runs is reported as a race.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { hasCommand, root, runLogged, say } from '../setup/common.mjs';

const patterns = [
  'ThreadPool*',
  '*Cancel*',
  '*Threads*',
  'CpuLinear*',
  '*Model*',
  '*Session*',
  '*Sampl*',
  'Families/PrefixTest*',
  '*Ranks*',
];
const onOneThread = '*_1';

const folder = join(root, 'build-tsan');
const launcher = hasCommand('ccache') ? ['-DCMAKE_CXX_COMPILER_LAUNCHER=ccache'] : [];
const options = ['-DMLIT_BUILD_TESTS=ON', '-DMLIT_SANITIZE=thread', ...launcher];
await runLogged('cmake', ['-S', root, '-B', folder, ...options], { log: 'tsan-configure' });
await runLogged('cmake', ['--build', folder, '--target', 'mlit_tests', '--parallel', '2'], {
  log: 'tsan-build',
});
const tests = join(folder, 'mlit_tests');
for (const pattern of patterns) {
  const { stdout } = spawnSync(tests, ['--gtest_list_tests', `--gtest_filter=${pattern}:-${onOneThread}`], {
    encoding: 'utf8',
  });
  if (stdout.includes('\n  ')) continue;
  say(`tsan: no test is called ${pattern} any more`);
  process.exit(1);
}
const { status } = spawnSync(
  tests,
  ['--gtest_brief=1', `--gtest_filter=${patterns.join(':')}:-${onOneThread}`],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, TSAN_OPTIONS: 'halt_on_error=1' },
  },
);
process.exit(status ?? 1);
