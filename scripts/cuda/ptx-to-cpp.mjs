// `node scripts/cuda/ptx-to-cpp.mjs IN.ptx OUT.cpp`: what nvcc wrote for a .cu file as C++ for the emulator (docs/cuda.md). CMake runs it.
import { readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { emitModule } from './ptx/emit.mjs';
import { parseModule } from './ptx/parse.mjs';
import { PtxError } from './ptx/tokens.mjs';

const [from, to] = process.argv.slice(2);
try {
  const source = basename(from).replace(/\.ptx$/, '.cu');
  writeFileSync(to, emitModule(parseModule(readFileSync(from, 'utf8')), source));
} catch (error) {
  if (!(error instanceof PtxError)) throw error;
  process.stderr.write(`${from}: ${error.message}\n`);
  process.exitCode = 1;
}
