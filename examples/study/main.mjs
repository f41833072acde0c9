// The study of docs/study.md, or a part of it: every experiment file of this folder, over the quickstart's data. It goes on
// where it stopped, and jobs that the store has (the quickstart's too) are not done again.
//
//   npm run study -- [--only NAME ...] [--plan]
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildData } from '../quickstart/data.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');
const names = readdirSync(here)
  .filter((file) => file.endsWith('.yaml'))
  .map((file) => file.replace(/\.yaml$/, ''))
  .sort();

/** Resolves with the exit code. */
function mlit(...args) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, 'bin', 'mlit.mjs'), ...args], { stdio: 'inherit' });
    // A terminal's Ctrl-C reaches the command itself, which stops in order; this process waits for it.
    const wait = () => {};
    const pass = () => child.kill('SIGTERM');
    process.on('SIGINT', wait).on('SIGTERM', pass);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      process.off('SIGINT', wait).off('SIGTERM', pass);
      resolve(code ?? (signal === 'SIGINT' ? 130 : 143));
    });
  });
}

function readFlags() {
  try {
    const { values } = parseArgs({
      options: { only: { type: 'string', multiple: true }, plan: { type: 'boolean', default: false } },
    });
    const wanted = (values.only ?? names).flatMap((list) => list.split(','));
    const unknown = wanted.find((name) => !names.includes(name));
    if (unknown !== undefined) throw new Error(`there is no '${unknown}'; there are ${names.join(', ')}`);
    return { wanted, plan: values.plan };
  } catch (error) {
    process.stderr.write(`study: ${error.message}\n`);
    process.exit(2);
  }
}

const { wanted, plan } = readFlags();
const pulled = await mlit('pull', 'gemma-3-270m');
if (pulled !== 0) process.exit(pulled);
buildData(join(root, 'runs', 'data', 'cldr'));
for (const name of wanted) {
  process.stderr.write(`\n${name}\n`);
  const code = await mlit('experiment', 'run', join(here, `${name}.yaml`), plan ? '--dry-run' : '--yes');
  if (code !== 0) process.exit(code);
}
