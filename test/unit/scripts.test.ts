// The repository's own tools: the set-up's messages on a bare machine, and that the house checks find what they
// are for.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkFloors } from '../../scripts/lint/floors.mjs';
import { checkTraces } from '../../scripts/lint/traces.mjs';
import { buildFraction } from '../../scripts/setup/build.mjs';
import { hashOf, root } from '../../scripts/setup/common.mjs';
import { verdictOf } from '../../scripts/soak/verdict.mjs';

let folder: string;
beforeEach(() => {
  // Inside the repository, since the checks take paths from its top; its name is one that git ignores.
  mkdirSync(join(root, '.setup'), { recursive: true });
  folder = mkdtempSync(join(root, '.setup', 'scripts-test-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Writes a file below a folder of this test, and tells its path from the repository's top. */
function file(path: string, text: string): string {
  const full = join(folder, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, text);
  return full.slice(root.length + 1);
}

describe('setup', () => {
  const setup = join(root, 'scripts', 'setup.mjs');
  const run = (args: string[], path: string) =>
    spawnSync(process.execPath, [setup, ...args], { encoding: 'utf8', env: { PATH: path, HOME: tmpdir() } });

  it('lists what is missing and how to get it where nothing may be installed', () => {
    const { status, stderr } = run(['--for', 'lint'], folder);
    expect(status).toBe(1);
    for (const what of ['g++', 'CMake', 'Google Highway', 'nlohmann-json', 'clang-format']) {
      expect(stderr).toContain(what);
    }
    expect(stderr).toMatch(/apt-get install .*libhwy-dev/);
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  it('does not list what is there', () => {
    for (const name of ['cmake', 'make']) symlinkSync('/bin/true', join(folder, name));
    const { stderr } = run([], folder);
    expect(stderr).toContain('a C++20 compiler');
    expect(stderr).not.toContain('CMake 3.22');
    expect(stderr).not.toContain('GoogleTest');
  });

  it('refuses a tier that does not exist', () => {
    const { status, stderr } = run(['--for', 'everything'], folder);
    expect(status).toBe(2);
    expect(stderr).toContain("got 'everything'");
  });

  it('reads the progress of make and of ninja', () => {
    expect(buildFraction('[ 12%] Building CXX object x.o')).toBeCloseTo(0.12);
    expect(buildFraction('[3/40] Building CXX object x.o')).toBeCloseTo(0.075);
    expect(buildFraction('x.cpp:1: warning: [12%]')).toBeUndefined();
  });

  it('sees a change in content, in name, and not in what is left out', () => {
    const top = dirname(file('src/a.cpp', 'one'));
    const hash = () => hashOf([top], { skip: (path: string) => path.endsWith('/test') });
    const before = hash();
    file('src/test/b.cpp', 'two');
    expect(hash()).toBe(before);
    file('src/a.cpp', 'another');
    expect(hash()).not.toBe(before);
  });
});

describe('the launcher', () => {
  it('says what to do in a copy that is not built', () => {
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    const launcher = fileURLToPath(new URL('../../bin/mlit.mjs', import.meta.url));
    symlinkSync(launcher, join(bin, 'mlit.mjs'));
    const args = ['--preserve-symlinks-main', join(bin, 'mlit.mjs'), 'doctor'];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', cwd: tmpdir() });
    expect(status).toBe(1);
    expect(stderr).toContain('npm run setup');
  });
});

describe('the check of floors', () => {
  const findings = (path: string, text: string) => {
    const full = file(path, text);
    // The check takes paths from the top of the repository; here the top is the test's folder.
    return checkFloors(path.startsWith('lib') ? [full] : [], path.startsWith('native') ? [full] : [], {
      base: folder,
    });
  };

  it.each([
    ['lib/model/a.ts', "import { x } from '../train/b';"],
    ['lib/native/a.ts', "export * from '../model/b';"],
    ['lib/train/a.ts', "const x = await import('../cli/main');"],
    ['lib/train/a.ts', "import type { Sampler } from '../sample/sampler';"],
    ['lib/data/a.ts', "import { x } from '../index';"],
    ['native/core/a.h', '#include "model/config.h"'],
    ['native/train/a.cpp', '#include "sample/engine.h"'],
  ])('finds an import that is not downwards: %s %s', (path, text) => {
    expect(findings(path, text)).toHaveLength(1);
  });

  it.each([
    ['lib/train/a.ts', "import { x } from '../model/b';\nimport { y } from './c';\nimport { z } from 'zod';"],
    ['lib/index.ts', "export * from './cli/main';"],
    [
      'native/train/a.cpp',
      '#include "model/config.h"\n#include "train/b.h"\n#include "c.h"\n#include <vector>',
    ],
  ])('lets the others be: %s', (path, text) => {
    expect(findings(path, text)).toEqual([]);
  });
});

describe('the check of traces', () => {
  // Put together here, so that this file holds none of them.
  const slash = '/';
  it.each([
    ['a path', `const model = '${slash}root/models/a.gguf';`],
    ['a path', `see ${slash}home/someone/notes`],
    ['an address', `"resolved": "${'https'}://example.org/a.tgz"`],
    ['work left open', `// ${'TO'}DO: the rest`],
    ['a test switched off', `${'it'}.skip('works', () => {});`],
  ])('finds %s: %s', (_, text) => {
    expect(checkTraces([file('a.ts', `fine\n${text}\n`)])).toHaveLength(1);
  });

  it('finds a file that is too large', () => {
    expect(checkTraces([file('weights.bin', 'x'.repeat(3 << 20))])[0]).toContain('weights.bin');
  });

  it('lets ordinary text be', () => {
    const [inside, below] = [['', 'work', ''].join('/'), ['', 'root', ''].join('/')];
    const text = `a${inside}b ~/.cache/mlit $DIR${inside}x https://example.org${below} it.skipIf(x)("y")`;
    expect(checkTraces([file('a.ts', text)])).toEqual([]);
  });
});

describe('the verdict of a soak', () => {
  const samples = (count: number, anonMiB: (turns: number) => number) =>
    Array.from({ length: count }, (_, i) => {
      const turns = 8 * (i + 1);
      return {
        turns,
        anonMiB: anonMiB(turns),
        heapMiB: 16,
        externalMiB: 7,
        files: 20,
        threads: 12,
        handles: 0,
      };
    });

  it('sees 100 KiB a turn, and neither warming up nor what swings', () => {
    const swing = (turns: number) => 12 * Math.sin(turns / 15);
    expect(verdictOf(samples(40, (turns) => 60 + swing(turns) + turns / 10)).flat).toBe(false);
    expect(verdictOf(samples(40, (turns) => 60 + swing(turns))).flat).toBe(true);
    expect(verdictOf(samples(40, (turns) => Math.min(90, 30 + turns))).flat).toBe(true);
  });

  it('is not given for a handful of samples', () => {
    expect(verdictOf(samples(8, () => 60))).toMatchObject({
      flat: false,
      lines: [expect.stringMatching(/too few/)],
    });
  });
});
