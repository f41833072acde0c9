// Every check that needs no test run, one after the other; all of them run, and the exit status is 1 if any
// found something. `npm run lint -- --fix` formats first.
import { spawnSync } from 'node:child_process';
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

/** Runs a program with its output in sight; an empty list means that it found nothing. */
function program(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (error) return [`${command} could not be started: ${error.message}`];
  return status === 0 ? [] : [`${command} found something (above)`];
}

const native = sources('native/*.h', 'native/*.cpp');
const device = sources('native/*.cu', 'native/*.cuh');
const fix = process.argv.includes('--fix');
const biomeArgs = ['check', '--error-on-warnings', ...(fix ? ['--write'] : []), '.'];
const formatArgs = fix ? ['-i'] : ['--dry-run', '-Werror'];
const checks = [
  ['biome', () => program(local('biome'), biomeArgs)],
  ['tsc', () => program(local('tsc'), ['--noEmit'])],
  ['clang-format', () => program('clang-format', [...formatArgs, ...native, ...device])],
  [
    'reference of the public surface',
    () => program(local('typedoc'), ['--emit', 'none', '--logLevel', 'Warn']),
  ],
  ['imports go down the floors', () => checkFloors(sources('lib/*.ts'), native)],
  ['no trace of one machine', () => checkTraces(sources('.'))],
  ['kernels keep to their namespace', () => checkKernelSymbols()],
  ['clang-tidy', () => clangTidy(native)],
];

let failed = false;
for (const [name, check] of checks) {
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
process.exit(failed ? 1 : 0);
