// What ptxas made of each kernel: registers, stack, static shared memory, threads of a block, and which instructions of the tensor cores
// and of asynchronous copies are there. Read from the plug-in by cuobjdump; no card is needed.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, SetupError } from '../setup/common.mjs';

function output(command, args, input) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: 'utf8',
    input,
    maxBuffer: 2 ** 30,
  });
  if (status !== 0) throw new SetupError(`${command} ${args.join(' ')}: ${error?.message ?? stderr}`);
  return stdout;
}

/** A demangled name up to its parameter list, which begins at the first bracket outside of template arguments. */
function withoutParameters(name) {
  let depth = 0;
  for (const [at, character] of [...name].entries()) {
    if (character === '<') depth++;
    else if (character === '>') depth--;
    else if (character === '(' && depth === 0) return name.slice(0, at);
  }
  return name;
}

/** Names as a reader wants them: demangled, without namespaces and parameter lists. */
function readable(names) {
  const lines = output('c++filt', [], names.join('\n')).trimEnd().split('\n');
  return lines.map((line) =>
    withoutParameters(
      line
        .replaceAll(/mlit::(?:cuda::)?|\(anonymous namespace\)::/g, '')
        .replaceAll('__nv_bfloat16', 'bf16')
        .replace(/^void /, ''),
    ),
  );
}

/** @returns kernels by architecture: `{ arch, kernel, registers, stack, shared }`, local memory counted with the stack */
export function kernelResources(bin, file) {
  const found = [];
  let arch;
  let symbol;
  for (const line of output(join(bin, 'cuobjdump'), ['--dump-resource-usage', file]).split('\n')) {
    const isArch = /^arch = (\w+)/.exec(line);
    const isFunction = /^ Function (\S+):/.exec(line);
    const uses = /REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)/.exec(line);
    if (isArch) arch = isArch[1];
    else if (isFunction) symbol = isFunction[1];
    else if (uses && symbol) {
      const [registers, stack, shared, local] = uses.slice(1).map(Number);
      found.push({ arch, symbol, registers, stack: stack + local, shared });
      symbol = undefined;
    }
  }
  const names = readable(found.map((kernel) => kernel.symbol));
  return found.map((kernel, at) => ({ ...kernel, kernel: names[at] }));
}

const counted = { mma: /\b[HI]MMA\./, ldmatrix: /\bLDSM\./, 'cp.async': /\bLDGSTS\./ };

/** Instructions of each kind by symbol, in one architecture's code. */
export function kernelInstructions(bin, file, arch) {
  const bySymbol = new Map();
  let counts;
  for (const line of output(join(bin, 'cuobjdump'), ['-sass', '-arch', arch, file]).split('\n')) {
    const isFunction = /^\s+Function : (\S+)/.exec(line);
    if (isFunction) {
      counts = Object.fromEntries(Object.keys(counted).map((kind) => [kind, 0]));
      bySymbol.set(isFunction[1], counts);
      continue;
    }
    if (!counts) continue;
    for (const [kind, pattern] of Object.entries(counted)) if (pattern.test(line)) counts[kind]++;
  }
  return bySymbol;
}

/** Threads of a block by symbol: what a kernel's launch bounds say, which is what it is launched with. */
export function kernelThreads(bin, file, arch) {
  const bySymbol = new Map();
  let symbol;
  let awaited = false;
  for (const line of output(join(bin, 'cuobjdump'), ['-elf', '-arch', arch, file]).split('\n')) {
    const section = /^\.nv\.info\.(\S+)/.exec(line);
    if (section) symbol = section[1];
    if (line.includes('EIATTR_MAX_THREADS')) awaited = true;
    const value = awaited && /Value:\s+(0x\w+) (0x\w+) (0x\w+)/.exec(line);
    if (!value) continue;
    bySymbol.set(symbol, Number(value[1]) * Number(value[2]) * Number(value[3]));
    awaited = false;
  }
  return bySymbol;
}

const dynamic = JSON.parse(readFileSync(join(root, 'scripts', 'cuda', 'dynamic-shared.json'), 'utf8'));

/**
 * Bytes that a kernel's launcher asks for beyond what is static: by name, and where that is not enough by how a template argument begins.
 * The emulator's tests hold the list to what launchers ask for (`DynamicShared.*`).
 */
export function dynamicShared(kernel) {
  const [, name, args = ''] = /^(\w+)Kernel(?:<(.*)>)?$/.exec(kernel) ?? [];
  const listed = dynamic[name] ?? 0;
  if (typeof listed === 'number') return listed;
  const found = Object.keys(listed).find((argument) => `, ${args},`.includes(`, ${argument},`));
  if (found === undefined) throw new SetupError(`scripts/cuda/dynamic-shared.json knows no ${kernel}`);
  return listed[found];
}

/** Sentences about kernels that keep values in memory for want of registers; none where all is well. */
export function spills(resources) {
  return resources
    .filter(({ stack }) => stack > 0)
    .map(({ arch, kernel, stack }) => `${kernel} spills ${stack} bytes a thread on ${arch}`);
}
