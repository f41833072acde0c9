// `npm run cuda:kernels`: docs/cuda-kernels.md from what the compiler made of the plug-in for sm_80 and sm_90a (built by
// `npm run cuda:check`). Ends with 1 where a kernel spills or has lost instructions that cuda/expected.mjs asks of it.
import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { lost, occupancy } from './cuda/expected.mjs';
import {
  dynamicShared,
  kernelInstructions,
  kernelResources,
  kernelThreads,
  spills,
} from './cuda/resources.mjs';
import { ensureCudaToolkit } from './cuda/toolkit.mjs';
import { root, SetupError, say } from './setup/common.mjs';

const archs = ['sm_80', 'sm_90a'];

function page(kernels, release) {
  const header = [
    'kernel',
    'threads',
    ...archs.map((arch) => `registers ${arch}`),
    'shared: static',
    'dynamic',
    ...archs.map((arch) => `blocks, warps of a processor ${arch}`),
    'mma',
    'ldmatrix',
    'cp.async',
  ];
  const row = (cells) => `| ${cells.join(' | ')} |`;
  const rows = kernels.map(({ kernel, threads, registers, shared, counts }) => {
    const dynamic = dynamicShared(kernel);
    const held = archs.map((arch, at) => {
      const { blocks, warps, share } = occupancy(arch, {
        threads,
        registers: registers[at],
        sharedBytes: shared + dynamic,
      });
      return `${blocks}, ${warps} (${Math.round(share * 100)} %)`;
    });
    return row([
      `\`${kernel}\``,
      threads,
      ...registers,
      shared,
      dynamic,
      ...held,
      counts.mma,
      counts.ldmatrix,
      counts['cp.async'],
    ]);
  });
  return `# What the compiler says of the kernels

Written by \`npm run cuda:kernels\` from the plug-in as nvcc ${release.join('.')} compiled it; do not edit. Threads are a block's (its launch bounds);
registers a thread's; shared memory is in bytes, the dynamic part as the launchers ask for it; the last three columns count instructions in the
code for sm_80. None of this was run on a card.

**Held by \`npm run cuda:check\`**, in CI for sm_80 and in \`npm run ci:full -- cuda\` for both: no kernel uses a stack or spills, and none has lost
the tensor-core instructions or asynchronous copies that [expected.mjs](../scripts/cuda/expected.mjs) asks of it.

**Blocks of a processor** follow from NVIDIA's limits: registers are given to a warp in units of 256, each of a processor's four schedulers has a quarter
of 65,536, a block takes 1 KiB of shared memory beside its own, and there are so many warps and blocks a processor (CUDA C++ Programming Guide,
"Technical Specifications per Compute Capability"). How full a processor is says how well it can hide a wait, and nothing of speed by itself.

${row(header)}
${row(header.map((_, at) => (at === 0 ? '---' : '---:')))}
${rows.join('\n')}
`;
}

try {
  const { nvcc, release } = await ensureCudaToolkit();
  const file = join(root, 'build-cuda', 'mlit_cuda.so');
  if (!existsSync(file)) throw new SetupError(`${file} is not there: run \`npm run cuda:check\` first.`);
  const resources = kernelResources(dirname(nvcc), file);
  const instructions = kernelInstructions(dirname(nvcc), file, 'sm_80');
  const threads = kernelThreads(dirname(nvcc), file, 'sm_80');
  const kernels = resources
    .filter(({ arch, kernel }) => arch === 'sm_80' && !kernel.startsWith('anyKernel'))
    .map(({ kernel, symbol, shared }) => ({
      kernel,
      shared,
      registers: archs.map(
        (arch) => resources.find((each) => each.arch === arch && each.kernel === kernel)?.registers,
      ),
      threads: threads.get(symbol),
      counts: instructions.get(symbol),
    }))
    .sort((a, b) => (a.kernel < b.kernel ? -1 : 1));
  writeFileSync(join(root, 'docs', 'cuda-kernels.md'), page(kernels, release));
  const findings = spills(resources);
  findings.push(...lost(kernels, 'sm_80'));
  if (findings.length > 0) throw new SetupError(findings.join('\n'));
  say(`docs/cuda-kernels.md: ${kernels.length} kernels`);
} catch (error) {
  say(error instanceof SetupError ? error.message : `cuda-kernels: ${error?.message ?? error}`);
  process.exitCode = 1;
}
