// The rate of the library's own matrix products: a big square one is what a training step is compared with, and the
// model's shapes show where less than that is reached.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { capture, root, runLogged } from '../scripts/setup/common.mjs';
import { rate, say, table } from './report.mjs';

const folder = 'build-bench';
const binary = join(root, folder, 'mlit_gemm_bench');

/** Builds the program where it is missing or older than its sources; false, said once, where it can't be built. */
async function ensureBinary() {
  try {
    const launcher = capture('ccache', ['--version']) ? ['-DCMAKE_CXX_COMPILER_LAUNCHER=ccache'] : [];
    const options = ['-DCMAKE_BUILD_TYPE=Release', '-DMLIT_BUILD_BENCH=ON', ...launcher];
    await runLogged('cmake', ['-S', '.', '-B', folder, ...options], { log: 'bench-configure' });
    await runLogged('cmake', ['--build', folder, '--target', 'mlit_gemm_bench', '--parallel', '2'], {
      log: 'bench-build',
    });
    return existsSync(binary);
  } catch (error) {
    say(`Note: the native product's rate will be missing. ${error.message.split('\n')[0]}`);
    return false;
  }
}

/** Cases by name (all, or those with `filter` in it), each with its rate and the raw multiply-add loop's beside it. */
export async function nativeGemm({ threads, filter = '', repeats = 9 }) {
  if (!(await ensureBinary())) return undefined;
  const output = capture(binary, [String(threads), 'auto', String(repeats), filter]);
  return output?.split('\n').map((line) => JSON.parse(line));
}

/** Multiply-adds × 2 a second of the square product: by the clock, and by the threads' own time; {} where not to be had. */
export async function nativeGemmRates(threads) {
  const square = (await nativeGemm({ threads, filter: 'square' }))?.[0];
  return square ? { gemmRate: square.gflops_best * 1e9, gemmCpuRate: square.gflops_cpu * 1e9 } : {};
}

export async function benchGemm({ threads }) {
  const cases = await nativeGemm({ threads });
  if (!cases) return undefined;
  const rows = cases.map((c) => [
    c.case,
    `${c.rows}×${c.in}→${c.out}`,
    rate(c.gflops_best),
    rate(c.gflops_median),
    c.of_peak_cpu.toFixed(2),
  ]);
  console.log(table(['case', 'shape', 'GFLOP/s best', 'median', 'of raw'], rows));
  return { threads, cases };
}
