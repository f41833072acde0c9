// The checks of the native side that need a compiler's view: clang-tidy over the files whose mistakes hurt most,
// and the symbols of the kernels.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { hashOf, readStamp, root, runLogged, writeStamp } from '../setup/common.mjs';

// Not ranks/mpi, which is built only where an MPI is.
const tidyRooms = /^native\/(?:(?:core|checkpoint|model|train|sample|addon)\/.*|ranks\/[^/]*)\.cpp$/;

/** clang-tidy over the rooms above, as many files at once as there are cores; nothing where nothing changed. */
export async function clangTidy(nativeFiles) {
  const files = nativeFiles.filter((path) => tidyRooms.test(path));
  const hash = hashOf(['native', 'CMakeLists.txt', '.clang-tidy'], {
    skip: (path) => path === 'native/test',
  });
  if (files.length === 0 || readStamp('clang-tidy') === hash) return [];
  const buildDir = join(root, 'build-lint');
  const includes = ['node-api-headers/include', 'node-addon-api'].map((path) =>
    join(root, 'node_modules', path),
  );
  const args = ['-S', root, '-B', buildDir, `-DCMAKE_JS_INC=${includes.join(';')}`];
  await runLogged('cmake', args, { log: 'lint-configure' });
  const findings = [];
  const queue = [...files];
  const worker = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const { status, output } = await tidyOne(buildDir, file);
      if (status !== 0) findings.push(`${file}:\n${output}`);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  if (findings.length === 0) writeStamp('clang-tidy', hash);
  return findings;
}

function tidyOne(buildDir, file) {
  return new Promise((resolve) => {
    // g++ flags that clang does not know are no finding of ours.
    const args = ['-p', buildDir, '--quiet', '--extra-arg=-Wno-unknown-warning-option', file];
    const child = spawn('clang-tidy', args, { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.on('error', (error) => resolve({ status: 1, output: error.message }));
    child.on('close', (status) => resolve({ status, output }));
  });
}

/**
 * A weak function compiled with AVX-512 flags outside its own namespace could be the copy that the linker keeps
 * for the whole program, and then stop an older CPU with SIGILL. So there may be none.
 */
export function checkKernelSymbols() {
  const buildDir = join(root, 'build', 'CMakeFiles');
  if (!existsSync(buildDir)) return [];
  const findings = [];
  for (const folder of readdirSync(buildDir).filter((name) => name.startsWith('mlit_kernels_'))) {
    const isa = folder.slice('mlit_kernels_'.length).replace(/\.dir$/, '');
    for (const object of readdirSync(join(buildDir, folder), { recursive: true })) {
      if (!object.endsWith('.o')) continue;
      const args = ['-C', '--defined-only', '--no-sort', join(buildDir, folder, object)];
      const { stdout } = spawnSync('nm', args, { encoding: 'utf8', maxBuffer: 1 << 26 });
      for (const line of stdout.split('\n')) {
        const symbol = /^[0-9a-f]+ W (.*)$/.exec(line)?.[1];
        const apart = symbol?.includes(`::${isa}::`) || /::N_(?:AVX2|AVX3|NEON)\w*::/.test(symbol ?? '');
        if (symbol && !apart) findings.push(`${object} (${isa}) exports ${symbol}`);
      }
    }
  }
  return findings;
}
