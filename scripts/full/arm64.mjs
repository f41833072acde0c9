// The other architecture, by cross compiler and emulator: Debian's g++-aarch64-linux-gnu, qemu-user-static, libgtest-dev. It says
// that the NEON kernels compile and compute what the tests want; it says nothing of their speed.
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { crossed } from '../prebuild/crossed.mjs';
import { hasCommand, root, runLogged, say } from '../setup/common.mjs';

const build = join(root, 'build-arm64-tests');
const prefix = join(build, 'googletest');
const cross = crossed('arm64').map((option) => `-D${option}`);
const parallel = ['--parallel', String(availableParallelism())];
const launcher = hasCommand('ccache') ? ['-DCMAKE_CXX_COMPILER_LAUNCHER=ccache'] : [];

async function cmake(...args) {
  await runLogged('cmake', args, { log: 'arm64' });
}

try {
  mkdirSync(prefix, { recursive: true });
  const sources = join(prefix, 'build');
  await cmake(
    '-S',
    '/usr/src/googletest',
    '-B',
    sources,
    ...cross,
    '-DBUILD_GMOCK=OFF',
    `-DCMAKE_INSTALL_PREFIX=${prefix}`,
  );
  await cmake('--build', sources, '--target', 'install', ...parallel);
  const options = ['-DMLIT_BUILD_TESTS=ON', `-DGTest_ROOT=${prefix}`, '-DCMAKE_EXE_LINKER_FLAGS=-static'];
  await cmake('-S', root, '-B', build, ...cross, ...launcher, ...options);
  await cmake('--build', build, '--target', 'mlit_tests', ...parallel);
  const tests = [join(build, 'mlit_tests'), '--gtest_brief=1'];
  await runLogged('qemu-aarch64-static', tests, { log: 'arm64-tests', onLine: say });
  await runLogged(process.execPath, ['scripts/prebuild.mjs', '--arch', 'arm64'], {
    log: 'arm64',
    onLine: say,
  });
} catch (error) {
  say(error.message);
  process.exitCode = 1;
}
