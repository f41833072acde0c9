// llama.cpp as node-llama-cpp has it built, installed into .setup/ for checks alone: no part of the package depends on it.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root, runLogged, say } from '../setup/common.mjs';

export const VERSION = '3.22.1';

async function install() {
  const folder = join(root, '.setup', 'node-llama-cpp');
  const own = join(folder, 'node_modules', 'node-llama-cpp', 'package.json');
  if (!existsSync(own) || JSON.parse(readFileSync(own, 'utf8')).version !== VERSION) {
    say(`Installing node-llama-cpp ${VERSION} into .setup`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{"private":true}\n');
    await runLogged(
      'npm',
      [
        'install',
        '--prefix',
        folder,
        '--ignore-scripts',
        '--no-audit',
        '--no-fund',
        `node-llama-cpp@${VERSION}`,
      ],
      { log: 'node-llama-cpp' },
    );
  }
  const entry = createRequire(join(folder, 'package.json')).resolve('node-llama-cpp');
  return import(pathToFileURL(entry).href);
}

/** llama.cpp on the processor. */
export async function startLlama() {
  const { getLlama } = await install();
  return getLlama({ gpu: false, build: 'never', logLevel: 'error' });
}
