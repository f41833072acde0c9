// The package as a stranger meets it: packed, installed into an empty project where there is Node and nothing else (no
// compiler, no headers, no shell's PATH), imported both ways, checked by its own doctor, trained with.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, loadavg } from 'node:os';
import { delimiter, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { checkLibrary, floor } from '../../scripts/prebuild/elf.mjs';
import { fixture, root, scratch } from '../support/fixtures';

const folder = scratch();
const bin = join(folder, 'bin');
const prebuilt = join('prebuilds', `linux-${process.arch}`, 'mlit-native.glibc.node');

interface Packed {
  filename: string;
  size: number;
  unpackedSize: number;
  files: { path: string }[];
}

/** npm's own program, for a PATH that has none. */
function npmProgram(): string {
  const npm = (process.env.PATH ?? '').split(delimiter).map((each) => join(each, 'npm'));
  const found = [process.env.npm_execpath, ...npm].find((path) => path !== undefined && existsSync(path));
  if (found === undefined) throw new Error('no npm on the PATH');
  return found;
}

/** A program's run with nothing but Node on its PATH; seconds that it took. */
function run(args: string[], options: { cwd?: string; env?: NodeJS.ProcessEnv; timeout?: number } = {}) {
  const start = performance.now();
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: options.cwd ?? folder,
    env: options.env ?? { HOME: process.env.HOME, PATH: bin },
    encoding: 'utf8',
    timeout: options.timeout ?? 60_000,
  });
  return { status, stdout, stderr, seconds: (performance.now() - start) / 1000 };
}

function runWell(...parameters: Parameters<typeof run>) {
  const ended = run(...parameters);
  expect(ended.status, `${ended.stdout}\n${ended.stderr}`).toBe(0);
  return ended;
}

let packed: Packed;
let tarball: string;
beforeAll(() => {
  mkdirSync(bin);
  symlinkSync(process.execPath, join(bin, 'node'));
  const whole = { cwd: root, env: process.env, timeout: 280_000 };
  runWell([join(root, 'scripts', 'prebuild.mjs')], whole);
  // --ignore-scripts: the prebuild that `npm pack` would begin with has just been made.
  const pack = runWell(
    [npmProgram(), 'pack', '--json', '--ignore-scripts', '--pack-destination', folder],
    whole,
  );
  packed = (JSON.parse(pack.stdout) as [Packed])[0];
  tarball = join(folder, packed.filename);
}, 300_000);

describe('the tarball', () => {
  it('holds what is used, and nothing else', () => {
    const experiments = readdirSync(join(root, 'examples', 'experiments'));
    const expected = [
      ...['CHANGELOG.md', 'LICENSE', 'NOTICE', 'README.md', 'THIRD_PARTY_NOTICES.md', 'package.json'],
      ...['bin/mlit.mjs', 'dist/cli.js'],
      ...['cjs', 'd.cts', 'd.ts', 'js'].map((ending) => `dist/index.${ending}`),
      ...['annotate', 'report'].map((page) => `dist/page/${page}.js`),
      ...experiments.map((name) => `examples/experiments/${name}`),
    ];
    const paths = packed.files.map(({ path }) => path).filter((path) => !path.startsWith('prebuilds/'));
    expect(paths.sort()).toEqual(expected.sort());
    // More where another architecture's was made too, or a plug-in; never anything else.
    const addons = packed.files.map(({ path }) => path).filter((path) => path.startsWith('prebuilds/'));
    expect(addons).toContain(prebuilt);
    for (const path of addons)
      expect(path).toMatch(/^prebuilds\/linux-(x64|arm64)\/(mlit-native\.glibc\.node|mlit_cuda\.so)$/);
    const plugin = join('prebuilds', `linux-${process.arch}`, 'mlit_cuda.so');
    expect(addons.includes(plugin)).toBe(existsSync(join(root, 'build', 'Release', 'mlit_cuda.so')));
  });

  it('is small', () => {
    console.log(`tarball ${packed.size} bytes, unpacked ${packed.unpackedSize}`);
    expect(packed.size).toBeLessThan(3e6);
  });

  it('runs no script when it is installed', () => {
    const { scripts, gypfile } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    expect(gypfile).toBe(false);
    for (const name of ['preinstall', 'install', 'postinstall', 'prepare'])
      expect(scripts).not.toHaveProperty(name);
  });
});

describe('the addon', () => {
  const file = join(root, prebuilt);

  it('needs nothing newer than the floor and no library that is not everywhere', () => {
    expect(checkLibrary(file)).toEqual([]);
  });

  it('would be found out if it did', () => {
    const lower = checkLibrary(file, { ...floor, GLIBC: '2.2.5', GLIBCXX: '3.4.20' });
    expect(lower.join('\n')).toMatch(/needs \S+ of GLIBC_2\.3\d; the floor is 2\.2\.5/);
    expect(lower.join('\n')).toMatch(/needs \S+ of GLIBCXX_3\.4\.2\d; the floor is 3\.4\.20/);
    const duckdb = createRequire(import.meta.url).resolve('@duckdb/node-bindings-linux-x64/duckdb.node');
    expect(checkLibrary(duckdb).join('\n')).toContain('needs libduckdb.so, which is not on every system');
  });
});

describe('its types', () => {
  it('hold for import and require alike (@arethetypeswrong/cli)', { timeout: 120_000 }, () => {
    const cli = join(root, 'node_modules', '@arethetypeswrong', 'cli', 'dist', 'index.js');
    runWell([cli, tarball, '--profile', 'node16', '--format', 'ascii', '--no-definitely-typed']);
  });

  it('are where package.json says (publint)', { timeout: 60_000 }, () => {
    const cli = join(root, 'node_modules', 'publint', 'src', 'cli.js');
    expect(runWell([cli, 'run', tarball, '--strict']).stdout).toContain('All good');
  });
});

/** Whether the registry could not be asked: then nothing is known of the package. */
const unreachable = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED/;

/** The whole road in an empty project; seconds for each part of it, or the reason why npm could not go it. */
function install(project: string): Record<string, number> | string {
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{ "name": "stranger", "private": true }');
  const flags = ['--prefer-offline', '--no-audit', '--no-fund', '--no-update-notifier'];
  const installed = run([npmProgram(), 'install', tarball, ...flags], { cwd: project, timeout: 180_000 });
  if (installed.status !== 0 && unreachable.test(installed.stderr)) return installed.stderr;
  expect(installed.status, installed.stderr).toBe(0);
  const home = join(project, 'node_modules', 'mlit-native');
  expect(existsSync(join(home, prebuilt))).toBe(true);
  expect(existsSync(join(home, 'build'))).toBe(false);

  const inProject = (...args: string[]) => runWell(args, { cwd: project });
  const importing = "import('mlit-native').then((m) => console.log(m.version))";
  const imported = inProject('--input-type=module', '-e', importing);
  const required = inProject('-e', "console.log(require('mlit-native').version)");
  expect([imported.stdout, required.stdout]).toEqual(['0.1.0\n', '0.1.0\n']);

  const mlit = join('node_modules', '.bin', 'mlit');
  const doctor = inProject(mlit, 'doctor', '--json');
  expect(JSON.parse(doctor.stdout)).toMatchObject({
    passed: true,
    system: { floor: { glibc: floor.GLIBC } },
  });

  const lines = ['yes', 'no'].map((response, i) => JSON.stringify({ instruction: `${i}?`, response }));
  writeFileSync(join(project, 'data.jsonl'), `${lines.join('\n')}\n`);
  const data = ['--data', 'data.jsonl', '--template', 'chatml', '--steps', '3', '--out', 'run'];
  const trained = inProject(mlit, 'train', '--model', fixture('smol-tiny', 'model'), ...data);
  for (const name of ['adapter_model.safetensors', 'adapter_config.json'])
    expect(existsSync(join(project, 'run', 'adapter', name))).toBe(true);

  const parts = { installed, imported, required, doctor, trained };
  return Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, part.seconds]));
}

/** Processor seconds of this process's ended children. */
function childSeconds(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[13]) + Number(fields[14])) / 100; // cutime and cstime, in ticks
}

describe('installed into an empty project', () => {
  it('imports, passes doctor and trains within 20 seconds', { timeout: 300_000 }, ({ skip }) => {
    const before = childSeconds();
    const parts = install(join(folder, 'project'));
    if (typeof parts === 'string') return skip(`npm reached no registry: ${parts.slice(0, 200)}`);
    const spent = childSeconds() - before;
    const seconds = Object.values(parts).reduce((sum, part) => sum + part, 0);
    const each = Object.entries(parts).map(([name, part]) => `${name} ${part.toFixed(1)} s`);
    console.log(`${each.join(', ')}; in all ${seconds.toFixed(1)} s, of processors ${spent.toFixed(1)} s`);
    // Where others keep the processors, the clock on the wall tells of them.
    const crowded = loadavg()[0]! > 2 * availableParallelism();
    expect(crowded ? spent : seconds).toBeLessThan(20);
  });
});
