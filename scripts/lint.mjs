// Every check that needs no test run; all of them run, and the exit status is 1 if any found something. clang-tidy takes longer than
// the others together, most of which keep one core busy: they run beside it. `npm run lint -- --fix` formats first.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { checkFloors } from './lint/floors.mjs';
import { checkKernelSymbols, clangTidy } from './lint/native.mjs';
import { checkTraces } from './lint/traces.mjs';
import { root, say } from './setup/common.mjs';

const local = (name) => join(root, 'node_modules', '.bin', name);

/** The committed and the new files that match the endings. */
function sources(...patterns) {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '--', ...patterns];
  const { stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  return stdout.split('\n').filter((path) => path !== '' && existsSync(join(root, path)));
}

/** Runs a program; what it says is shown in one piece where it found something. An empty list means that it found nothing. */
function program(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    const said = [];
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => said.push(chunk));
    child.on('error', (error) => resolve([`${command} could not be started: ${error.message}`]));
    child.on('close', (status) => {
      if (status === 0) return resolve([]);
      process.stderr.write(Buffer.concat(said));
      resolve([`${command} found something (above)`]);
    });
  });
}

const native = sources('native/*.h', 'native/*.cpp');
const device = sources('native/*.cu', 'native/*.cuh');
const fix = process.argv.includes('--fix');
const biomeArgs = ['check', '--error-on-warnings', ...(fix ? ['--write'] : []), '.'];
const formatArgs = fix ? ['-i'] : ['--dry-run', '-Werror'];
const quick = [
  ['biome', () => program(local('biome'), biomeArgs)],
  ['tsc', () => program(local('tsc'), ['--noEmit'])],
  ['tsc of the pages’ scripts', () => program(local('tsc'), ['--noEmit', '-p', 'tsconfig.client.json'])],
  ['clang-format', () => program('clang-format', [...formatArgs, ...native, ...device])],
  [
    'reference of the public surface',
    () => program(local('typedoc'), ['--emit', 'none', '--logLevel', 'Warn']),
  ],
  ['imports go down the floors', () => checkFloors(sources('lib/*.ts'), native)],
  ['no trace of one machine', () => checkTraces(sources('.'))],
  ['kernels keep to their namespace', () => checkKernelSymbols()],
];
const tidy = ['clang-tidy', () => clangTidy(native)];

let failed = false;
async function report([name, check]) {
  const start = performance.now();
  let findings;
  try {
    findings = await check();
  } catch (error) {
    findings = [error.message];
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  say(`${findings.length === 0 ? 'ok  ' : 'FAIL'} ${name} (${seconds} s)`);
  for (const finding of findings) say(`     ${finding}`);
  failed ||= findings.length > 0;
}
async function inTurn(checks) {
  for (const check of checks) await report(check);
}
// Files that are being put right are no good to anybody else.
await Promise.all(fix ? [inTurn([...quick, tidy])] : [inTurn([tidy]), inTurn(quick)]);
process.exit(failed ? 1 : 0);
