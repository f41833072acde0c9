// `npm run cuda:kernels`: docs/cuda-kernels.md from what the compiler made of the plug-in for sm_80 and sm_90a (built by
// `npm run cuda:check`). Ends with 1 where a kernel spills or a product has lost its tensor-core instructions.
import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isProduct, kernelInstructions, kernelResources, spills } from './cuda/resources.mjs';
import { ensureCudaToolkit } from './cuda/toolkit.mjs';
import { root, SetupError, say } from './setup/common.mjs';

const archs = ['sm_80', 'sm_90a'];

function page(kernels, release) {
  const header = [
    'kernel',
    ...archs.map((arch) => `registers ${arch}`),
    'static shared',
    'mma',
    'ldmatrix',
    'cp.async',
  ];
  const row = (cells) => `| ${cells.join(' | ')} |`;
  const rows = kernels.map(({ kernel, registers, shared, counts }) =>
    row([`\`${kernel}\``, ...registers, shared, counts.mma, counts.ldmatrix, counts['cp.async']]),
  );
  return `# What the compiler says of the kernels

Written by \`npm run cuda:kernels\` from the plug-in as nvcc ${release.join('.')} compiled it; do not edit. Registers are a thread's; static shared
memory is in bytes (dynamic shared memory is the launcher's); the last three columns count instructions in the code for sm_80. No kernel
uses a stack or spills, on either architecture: \`npm run cuda:check\`, and so CI, fails when one begins to. None of this was run on a card.

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
  const kernels = resources
    .filter(({ arch, kernel }) => arch === 'sm_80' && !kernel.startsWith('anyKernel'))
    .map(({ kernel, symbol, shared }) => ({
      kernel,
      shared,
      registers: archs.map(
        (arch) => resources.find((each) => each.arch === arch && each.kernel === kernel)?.registers,
      ),
      counts: instructions.get(symbol),
    }))
    .sort((a, b) => (a.kernel < b.kernel ? -1 : 1));
  writeFileSync(join(root, 'docs', 'cuda-kernels.md'), page(kernels, release));
  const findings = spills(resources);
  for (const { kernel, counts } of kernels) {
    if (isProduct(kernel) && (counts.mma === 0 || counts.ldmatrix === 0))
      findings.push(`${kernel} has no tensor-core instructions`);
  }
  if (findings.length > 0) throw new SetupError(findings.join('\n'));
  say(`docs/cuda-kernels.md: ${kernels.length} kernels`);
} catch (error) {
  say(error instanceof SetupError ? error.message : `cuda-kernels: ${error?.message ?? error}`);
  process.exitCode = 1;
}
