// Every test by one command: the native ones under sanitizers, those of the CUDA backend on its emulator, those of the real model
// on optimised kernels, then vitest; the last line is the sum. `--quick` leaves out what wants the real model. Other arguments go
// to vitest (a file's name, -t PATTERN).
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { buildFraction } from './setup/build.mjs';
import { hasCommand, progressLine, root, runLogged, say, stampDir } from './setup/common.mjs';

const none = { passed: 0, failed: 0, skipped: 0 };

function readReport(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined;
}

/** Configures and builds one target; a line of progress while it lasts. */
async function buildTarget(folder, target, options, label) {
  const launcher = hasCommand('ccache') ? ['-DCMAKE_CXX_COMPILER_LAUNCHER=ccache'] : [];
  await runLogged('cmake', ['-S', root, '-B', folder, ...options, ...launcher], {
    log: `${target}-configure`,
  });
  const progress = progressLine(label);
  const parallel = ['--parallel', String(availableParallelism())];
  try {
    await runLogged('cmake', ['--build', folder, '--target', target, ...parallel], {
      log: `${target}-build`,
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

/** Runs one GoogleTest binary, or a shard of it. */
async function runGoogleTests({ folder, target, shard, shards }) {
  const reportPath = join(stampDir, `${target}-${shard}.json`);
  rmSync(reportPath, { force: true });
  const args = ['--gtest_brief=1', `--gtest_output=json:${reportPath}`];
  const env = {
    ...process.env,
    UBSAN_OPTIONS: 'print_stacktrace=1',
    GTEST_SHARD_INDEX: String(shard),
    GTEST_TOTAL_SHARDS: String(shards),
  };
  const child = spawn(join(folder, target), args, { cwd: root, env, stdio: 'inherit' });
  const [status, signal] = await once(child, 'close');
  const report = readReport(reportPath);
  const counts = report ? countGoogleTests(report) : none;
  if (status !== 0 && counts.failed === 0) {
    say(`${target} ended early (${signal ?? `exit status ${status}`}).`);
    return { ...counts, failed: 1 };
  }
  return counts;
}

/** Builds binaries one after another, then runs them beside each other: each alone leaves processors idle. */
async function nativeTests(...binaries) {
  const runnable = [];
  const results = [];
  for (const binary of binaries) {
    try {
      await buildTarget(binary.folder, binary.target, binary.options, binary.label);
      const { shards = 1 } = binary;
      for (let shard = 0; shard < shards; shard++) runnable.push({ ...binary, shard, shards });
    } catch (error) {
      say(error.message);
      results.push({ ...none, failed: 1 });
    }
  }
  return [...results, ...(await Promise.all(runnable.map(runGoogleTests)))];
}

/** Undefined behaviour stops at the place without a word, which compiles in two thirds of the time; docs/add-an-op.md has a build that tells. */
const sanitized = {
  folder: join(root, 'build-tests'),
  target: 'mlit_tests',
  options: [
    '-DMLIT_BUILD_TESTS=ON',
    '-DMLIT_SANITIZE=address,undefined',
    '-DCMAKE_CXX_FLAGS=-fsanitize-undefined-trap-on-error',
  ],
  label: 'Building the native tests under sanitizers',
  shards: 2,
};

/** No sanitizer: the emulator is one of its own. On the core that the addon is made of. */
const emulated = {
  folder: join(root, 'build'),
  target: 'mlit_emulation_tests',
  options: ['-DMLIT_BUILD_EMULATION_TESTS=ON'],
  label: 'Building the tests of the CUDA backend on the emulator',
};

/** On the objects that the addon is made of. */
const real = {
  folder: join(root, 'build'),
  target: 'mlit_real_tests',
  options: ['-DMLIT_BUILD_REAL_TESTS=ON'],
  label: 'Building the native tests of the real model',
};

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
const results = await nativeTests(sanitized, emulated);
if (!args.includes('--quick')) results.push(...(await nativeTests(real)));
results.push(runVitest(vitestArgs));
const total = (key) => results.reduce((sum, counts) => sum + counts[key], 0);
const skipped = total('skipped') > 0 ? `, ${total('skipped')} skipped` : '';
process.exitCode = total('failed') > 0 || total('passed') === 0 ? 1 : 0;
process.stdout.write(`${total('passed')} passed, ${total('failed')} failed${skipped}\n`);
