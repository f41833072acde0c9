// The tests of the CUDA backend's emulator again, with each kernel as nvcc wrote it (docs/cuda.md, "What nvcc really wrote"). Wants
// an nvcc: one that is here, or NVIDIA's wheels. Three seeds unless MLIT_EMULATION_SEEDS says otherwise: other orders of everything
// are what the source path draws, here the code is another.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ensureCudaToolkit } from '../cuda/toolkit.mjs';
import { hasCommand, root, runLogged } from '../setup/common.mjs';

const { nvcc } = await ensureCudaToolkit();
const folder = join(root, 'build');
const launcher = hasCommand('ccache') ? ['-DCMAKE_CXX_COMPILER_LAUNCHER=ccache'] : [];
const options = ['-DMLIT_BUILD_EMULATION_TESTS=ON', `-DMLIT_PTX_NVCC=${nvcc}`, ...launcher];
await runLogged('cmake', ['-S', root, '-B', folder, ...options], { log: 'ptx-configure' });
await runLogged('cmake', ['--build', folder, '--target', 'mlit_ptx_tests', '--parallel', '2'], {
  log: 'ptx-build',
});
const { status } = spawnSync(join(folder, 'mlit_ptx_tests'), ['--gtest_brief=1'], {
  cwd: root,
  stdio: 'inherit',
  env: { MLIT_EMULATION_SEEDS: '3', ...process.env },
});
process.exit(status ?? 1);
