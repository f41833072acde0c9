// What has to come from the system: found by what is there (a command, a header), never by a package manager's
// opinion, so that libraries under any prefix count; installed only where that needs no password.
import { spawnSync } from 'node:child_process';
import { capture, hasCommand, runLogged, SetupError, say } from './common.mjs';

// Each need, and the tiers that have it. `header` is looked up by the compiler, with its own search path. Without what is
// `optional` tests are left out, which they say; what is `onlyCi` is large, and installed where CI=true alone: elsewhere tests use
// what is there.
const needs = [
  { tiers: ['run'], command: 'g++', debian: 'g++', what: 'a C++20 compiler (g++ 11 or later)' },
  { tiers: ['run'], command: 'cmake', debian: 'cmake', what: 'CMake 3.22 or later' },
  { tiers: ['run'], command: 'make', alternative: 'ninja', debian: 'make', what: 'make or ninja' },
  { tiers: ['run'], command: 'python3', debian: 'python3 python3-pip', what: 'Python 3 with pip' },
  { tiers: ['run'], header: 'hwy/highway.h', debian: 'libhwy-dev', what: 'the headers of Google Highway' },
  {
    tiers: ['run'],
    header: 'nlohmann/json.hpp',
    debian: 'nlohmann-json3-dev',
    what: 'the headers of nlohmann-json',
  },
  { tiers: ['test', 'lint'], header: 'gtest/gtest.h', debian: 'libgtest-dev', what: 'GoogleTest' },
  {
    tiers: ['test'],
    header: 'boost/context/detail/fcontext.hpp',
    debian: 'libboost-context-dev',
    what: 'Boost.Context',
  },
  {
    tiers: ['test'],
    optional: true,
    command: 'mpicc',
    debian: 'openmpi-bin libopenmpi-dev',
    what: 'an MPI with its headers, for ranks',
  },
  {
    tiers: ['test'],
    onlyCi: true,
    command: 'chromium',
    debian: 'chromium fonts-noto-core',
    what: 'Chromium with fonts, for tests of pages',
  },
  { tiers: ['test'], command: 'clang++', debian: 'clang libclang-rt-14-dev', what: 'clang with libFuzzer' },
  { tiers: ['lint'], command: 'clang-format', debian: 'clang-format', what: 'clang-format' },
  { tiers: ['lint'], command: 'clang-tidy', debian: 'clang-tidy', what: 'clang-tidy' },
];

/** Whether the compiler finds each header; all false without a compiler. */
function headersFound(headers) {
  const asked = headers.map((name, i) => `#if __has_include(<${name}>)\nmlit_found_${i}\n#endif`).join('\n');
  const output = capture('g++', ['-std=c++20', '-E', '-P', '-x', 'c++', '-'], { input: asked });
  return headers.map((_, i) => (output ?? '').split('\n').includes(`mlit_found_${i}`));
}

function missingFor(tiers) {
  const wanted = needs.filter(
    (need) => need.tiers.some((tier) => tiers.includes(tier)) && (!need.onlyCi || process.env.CI === 'true'),
  );
  const headers = wanted.filter((need) => need.header).map((need) => need.header);
  const found = new Set(headersFound(headers).flatMap((yes, i) => (yes ? [headers[i]] : [])));
  return wanted.filter((need) =>
    need.header
      ? !found.has(need.header)
      : !hasCommand(need.command) && !(need.alternative && hasCommand(need.alternative)),
  );
}

const describe = (missing) => missing.map((need) => `  - ${need.what}`).join('\n');

export function checkNode() {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < 20) {
    throw new SetupError(`Node ${process.versions.node} is too old: mlit-native needs Node 20 or later.`);
  }
  if (process.platform !== 'linux') {
    throw new SetupError(`mlit-native builds on Linux only so far; this is ${process.platform}.`);
  }
}

/** Makes sure of compilers and libraries for the tiers, installing Debian packages where that is allowed. */
export async function ensureSystem(tiers) {
  let missing = missingFor(tiers);
  if (missing.length === 0) return;
  const packages = missing.flatMap((need) => need.debian.split(' '));
  const byHand =
    `On Debian or Ubuntu: sudo apt-get install ${packages.join(' ')}\n` +
    'Elsewhere: install them by any means; a header counts wherever the compiler finds it (CPLUS_INCLUDE_PATH).\n' +
    'Then run the same command again.';
  const isRoot = process.getuid() === 0;
  const mayInstall =
    hasCommand('apt-get') &&
    (isRoot || (hasCommand('sudo') && spawnSync('sudo', ['-n', 'true']).status === 0));
  const isNeeded = missing.some((need) => !need.optional);
  if (!mayInstall) {
    if (!isNeeded) return say(`Note: tests will be left out for want of\n${describe(missing)}\n${byHand}`);
    const why = hasCommand('apt-get') ? 'this user may not install packages' : 'there is no apt-get here';
    throw new SetupError(`These are missing, and ${why}:\n${describe(missing)}\n\n${byHand}`);
  }
  say(`Installing Debian packages: ${packages.join(' ')}`);
  const apt = async (...args) => {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const [command, ...rest] = isRoot
      ? ['apt-get', ...args]
      : ['sudo', '-n', '--preserve-env', 'apt-get', ...args];
    await runLogged(command, rest, { log: `apt-${args[0]}`, env, tail: 12 });
  };
  try {
    await apt('update', '-q');
    await apt('install', '-q', '-y', '--no-install-recommends', ...packages);
  } catch (error) {
    if (!isNeeded) return say(`Note: tests will be left out for want of\n${describe(missing)}`);
    throw new SetupError(`${error.message}\n\nThese are still missing:\n${describe(missing)}\n\n${byHand}`);
  }
  missing = missingFor(tiers).filter((need) => !need.optional);
  if (missing.length > 0) {
    throw new SetupError(`Installed, and yet not found:\n${describe(missing)}\n\n${byHand}`);
  }
}
