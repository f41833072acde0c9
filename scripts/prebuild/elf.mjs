// Where a built library runs is written in it: the libraries that it needs, and the newest version of each symbol's. Both are
// held to what the package promises (README, the loader's error, doctor).
import { spawnSync } from 'node:child_process';
import { SetupError } from '../setup/common.mjs';

// What every glibc system has, with Node itself needing the same.
const allowed = [
  'libstdc++.so.6',
  'libgcc_s.so.1',
  'libm.so.6',
  'libc.so.6',
  'ld-linux-x86-64.so.2',
  'ld-linux-aarch64.so.1',
];

/** The oldest system: glibc 2.34, libstdc++ of GCC 11. Keys as in symbol versions. */
export const floor = { GLIBC: '2.34', GLIBCXX: '3.4.29', CXXABI: '1.3.13', GCC: '7.0.0' };

function readelf(...args) {
  const { status, stdout, stderr, error } = spawnSync('readelf', args, {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    env: { ...process.env, LC_ALL: 'C' },
  });
  if (status !== 0) throw new SetupError(`readelf ${args.join(' ')}: ${error?.message ?? stderr}`);
  return stdout;
}

function newer(a, b) {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number));
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return false;
}

/** Sentences about what would not run on the floor; none where all is well. */
export function checkLibrary(file, limits = floor) {
  const findings = [];
  for (const [, needed] of readelf('-dW', file).matchAll(/\(NEEDED\).*\[(.+)\]/g)) {
    if (!allowed.includes(needed)) findings.push(`needs ${needed}, which is not on every system`);
  }
  for (const [, symbol, name, version] of readelf('--dyn-syms', '-W', file).matchAll(
    / UND (\S+)@([A-Z]+)_([\d.]+)/g,
  )) {
    const limit = limits[name];
    if (limit === undefined || newer(version, limit)) {
      findings.push(`needs ${symbol} of ${name}_${version}; the floor is ${limit ?? 'none of that name'}`);
    }
  }
  return findings;
}
