// Which instructions a kernel must have, and how much of a processor its blocks take. Without tensor cores a product is some twenty times slower,
// without asynchronous copies it waits for each tile, and both in silence: so the list is declared, and a build that loses one fails.

const product = ['mma', 'ldmatrix'];
const piped = [...product, 'cp.async'];

/** Every rule has to meet a kernel, so that a new name does not take one out of the list unseen. */
export const rules = [
  { kernels: /^attention(?:Forward|KeyGradient|QueryGradient|Cached|Prompt)Kernel<\d+, true>$/, have: piped },
  {
    kernels: /^attention(?:Forward|KeyGradient|QueryGradient|Cached|Prompt)Kernel<\d+, false>$/,
    have: product,
  },
  { kernels: /^(?:intoRank|outOfRank)Kernel<\w+, \(Load\)0>$/, have: piped },
  { kernels: /^(?:intoRank|outOfRank)Kernel<\w+, \(Load\)1>$/, have: product },
  { kernels: /^overRowsKernel<(?!float, float)\w+, \w+, \(Load\)0, /, have: piped },
  { kernels: /^overRowsKernel<\w+, \w+, \(Load\)1, /, have: product },
  { kernels: /^fewRowsKernel</, have: ['mma'] }, // from memory to registers, through no shared memory
  { kernels: /^overRowsKernel<float, float, \(Load\)0, /, have: product }, // nothing to copy that is not converted
];

/**
 * Sentences about kernels that have lost what the rules say; none where all is well.
 * @param kernels `{ kernel, counts }`, counts by kind of instruction
 */
export function lost(kernels, arch, declared = rules) {
  const findings = [];
  for (const { kernels: pattern, have } of declared) {
    const met = kernels.filter(({ kernel }) => pattern.test(kernel));
    if (met.length === 0)
      findings.push(`no kernel of ${arch} is ${pattern}: correct scripts/cuda/expected.mjs`);
    for (const { kernel, counts } of met)
      for (const kind of have)
        if (!(counts?.[kind] > 0)) findings.push(`${kernel} has no ${kind} on ${arch}`);
  }
  const asked = (kernel) => declared.some(({ kernels: pattern }) => pattern.test(kernel));
  for (const { kernel, counts } of kernels)
    if (counts?.mma > 0 && !asked(kernel))
      findings.push(`${kernel} has mma on ${arch} and no rule in scripts/cuda/expected.mjs`);
  return findings;
}

/**
 * Of a processor (SM), by compute capability: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability". A block's
 * shared memory takes 1 KiB more than it asks for.
 */
export const processors = {
  sm_80: { warps: 64, blocks: 32, sharedBytes: 164 * 1024 },
  sm_86: { warps: 48, blocks: 16, sharedBytes: 100 * 1024 },
  sm_89: { warps: 48, blocks: 24, sharedBytes: 100 * 1024 },
  sm_90a: { warps: 64, blocks: 32, sharedBytes: 228 * 1024 },
  sm_100: { warps: 64, blocks: 32, sharedBytes: 228 * 1024 },
  sm_120: { warps: 48, blocks: 24, sharedBytes: 100 * 1024 },
};
const registerFile = 65536;
const registerUnit = 256; // of a warp's registers, in which they are given out; each of four schedulers has its quarter
const sharedUnit = 128;

/** Blocks that a processor holds at once, and the warps that makes of those it could hold. */
export function occupancy(arch, { threads, registers, sharedBytes }) {
  const { warps: most, blocks: mostBlocks, sharedBytes: room } = processors[arch];
  const warps = Math.ceil(threads / 32);
  const ofWarp = Math.ceil((Math.max(registers, 1) * 32) / registerUnit) * registerUnit;
  const warpsByRegisters = 4 * Math.floor(registerFile / 4 / ofWarp);
  const shared = Math.ceil(sharedBytes / sharedUnit) * sharedUnit + 1024;
  const blocks = Math.min(
    mostBlocks,
    Math.floor(most / warps),
    Math.floor(warpsByRegisters / warps),
    Math.floor(room / shared),
  );
  return { blocks, warps: blocks * warps, share: (blocks * warps) / most };
}
