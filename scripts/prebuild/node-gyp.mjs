#!/usr/bin/env node
// What prebuildify calls for node-gyp: it builds by cmake-js instead, which needs neither --target nor headers of one Node
// (Node-API 9 is the same in all of them), and leaves the addon in build/Release of the folder it is called in.
import { copyFileSync, mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureNative } from '../setup/build.mjs';
import { hasCommand, root, runLogged } from '../setup/common.mjs';
import { crossed } from './crossed.mjs';

async function crossBuild(arch) {
  const out = join(root, `build-${arch}-addon`);
  const cmakeJs = join(root, 'node_modules', 'cmake-js', 'bin', 'cmake-js');
  const args = ['build', '--config', 'Release', '--parallel', String(availableParallelism())];
  if (hasCommand('ccache')) args.push('--CDCMAKE_CXX_COMPILER_LAUNCHER=ccache');
  await runLogged(
    process.execPath,
    [cmakeJs, ...args, '--out', out, ...crossed(arch).map((each) => `--CD${each}`)],
    {
      log: `native-build-${arch}`,
    },
  );
  return join(out, 'Release', 'mlit.node');
}

const { values } = parseArgs({ options: { arch: { type: 'string' } }, strict: false });
let built = join(root, 'build', 'Release', 'mlit.node');
if (values.arch === process.arch) await ensureNative({ rebuild: false });
else built = await crossBuild(values.arch);
mkdirSync(join('build', 'Release'), { recursive: true });
copyFileSync(built, join('build', 'Release', 'mlit.node'));
