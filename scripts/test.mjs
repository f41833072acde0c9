// Every test by one command: the native ones under sanitizers, then vitest; the last line is the sum of both.
// `--quick` leaves out test/real. Other arguments go to vitest (a file's name, -t PATTERN).
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { buildFraction } from './setup/build.mjs';
import { hasCommand, progressLine, root, runLogged, say, stampDir } from './setup/common.mjs';

const buildDir = join(root, 'build-tests');
const none = { passed: 0, failed: 0, skipped: 0 };

function readReport(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined;
}

async function buildNativeTests() {
  const launcher = hasCommand('ccache') ? ['-DCMAKE_CXX_COMPILER_LAUNCHER=ccache'] : [];
  const configure = [
    '-S',
    root,
    '-B',
    buildDir,
    '-DMLIT_BUILD_TESTS=ON',
    '-DMLIT_SANITIZE=address,undefined',
  ];
  await runLogged('cmake', [...configure, ...launcher], { log: 'test-configure' });
  const progress = progressLine('Building the native tests under sanitizers');
  try {
    await runLogged('cmake', ['--build', buildDir, '--parallel', String(availableParallelism())], {
      log: 'test-build',
      onLine: (line) => {
        const fraction = buildFraction(line);
        if (fraction !== undefined) progress.update(fraction);
      },
    });
  } finally {
    progress.end();
  }
}

function countGoogleTests(report) {
  const tests = report.testsuites.flatMap((suite) => suite.testsuite);
  const failed = tests.filter((test) => test.failures?.length > 0).length;
  const skipped = tests.filter((test) => test.result === 'SKIPPED' || test.status === 'NOTRUN').length;
  return { passed: tests.length - failed - skipped, failed, skipped };
}

async function runNativeTests() {
  try {
    await buildNativeTests();
  } catch (error) {
    say(error.message);
    return { ...none, failed: 1 };
  }
  const reportPath = join(stampDir, 'native-tests.json');
  rmSync(reportPath, { force: true });
  const args = ['--gtest_brief=1', `--gtest_output=json:${reportPath}`];
  const env = { ...process.env, UBSAN_OPTIONS: 'print_stacktrace=1' };
  const { status, signal } = spawnSync(join(buildDir, 'mlit_tests'), args, {
    cwd: root,
    env,
    stdio: 'inherit',
  });
  const report = readReport(reportPath);
  const counts = report ? countGoogleTests(report) : none;
  if (status !== 0 && counts.failed === 0) {
    say(`The native tests ended early (${signal ?? `exit status ${status}`}).`);
    return { ...counts, failed: 1 };
  }
  return counts;
}

function countVitest(report) {
  // A file that could not even be loaded has no failed test in it, and is a failure all the same.
  const unloaded = report.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  ).length;
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + unloaded,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

function runVitest(args) {
  const reportPath = join(stampDir, 'vitest.json');
  rmSync(reportPath, { force: true });
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportPath}`];
  const { status } = spawnSync(process.execPath, [vitest, 'run', ...reporters, ...args], {
    cwd: root,
    stdio: 'inherit',
  });
  const report = readReport(reportPath);
  const counts = report ? countVitest(report) : none;
  return status !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}

const args = process.argv.slice(2);
const vitestArgs = args.filter((arg) => arg !== '--quick');
if (args.includes('--quick')) vitestArgs.push('--exclude', 'test/real/**');

mkdirSync(stampDir, { recursive: true });
const results = [await runNativeTests(), runVitest(vitestArgs)];
const total = (key) => results.reduce((sum, counts) => sum + counts[key], 0);
const skipped = total('skipped') > 0 ? `, ${total('skipped')} skipped` : '';
process.exitCode = total('failed') > 0 || total('passed') === 0 ? 1 : 0;
process.stdout.write(`${total('passed')} passed, ${total('failed')} failed${skipped}\n`);
