// `npm run test:gpu [-- OPTIONS]`: the CUDA backend's tests on the card that is here, and a report to attach to an issue. Options are those
// of the native program (mlit_gpu_tests --help).
import { spawnSync } from 'node:child_process';
import { gpuProgram, reportPath } from './cuda/gpu.mjs';
import { root, SetupError, say } from './setup/common.mjs';

const words = process.argv.slice(2);
try {
  const program = await gpuProgram('mlit_gpu_tests');
  const named = words.some((word) => word.startsWith('--report=') || word.startsWith('--gtest_'));
  const report = named ? [] : [`--report=${reportPath(undefined, 'tests.json')}`];
  const { status } = spawnSync(program, [...report, ...words], { cwd: root, stdio: 'inherit' });
  process.exitCode = status ?? 1;
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  say(error.message);
  process.exitCode = 1;
}
