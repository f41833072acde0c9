// Programs for mutants: the one unit of the emulator's tests that a mutant is in is compiled again, linked in front of the others' objects,
// and the tests that concern it are run until one fails. Made for thousands of mutants, so nothing else is ever built twice.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { hasCommand, root, runLogged, SetupError, stampDir } from '../setup/common.mjs';

export const kernels = 'native/backend/cuda/kernels';
/** A copy of the kernels, in which one file at a time is another. */
const overlay = join(stampDir, 'mutants');

/** The .cu files that a file is compiled in, by the texts of all files. */
export function unitsOf(name, sources) {
  const includes = (user, seen = new Set()) => {
    if (user === name) return true;
    if (seen.has(user) || !sources.has(user)) return false;
    seen.add(user);
    const used = sources.get(user).matchAll(/#include "backend\/cuda\/kernels\/([\w.]+)"/g);
    return [...used].some(([, each]) => includes(each, seen));
  };
  return [...sources.keys()].filter((file) => file.endsWith('.cu') && includes(file));
}

export class MutantPrograms {
  #build;
  #host;
  #kernels;
  #libraries;
  #unchanged = new Map();

  constructor(build) {
    this.#build = build;
  }

  /** Builds the tests as they are: every object that no mutant is in. */
  async prepare() {
    const launcher = hasCommand('ccache') ? ['-DCMAKE_CXX_COMPILER_LAUNCHER=ccache'] : [];
    const options = ['-DMLIT_BUILD_EMULATION_TESTS=ON', ...launcher];
    await runLogged('cmake', ['-S', root, '-B', this.#build, ...options], { log: 'mutations-configure' });
    await runLogged(
      'cmake',
      ['--build', this.#build, '--target', 'mlit_emulation_tests', '--parallel', '2'],
      {
        log: 'mutations-build',
      },
    );
    const commands = JSON.parse(readFileSync(join(this.#build, 'compile_commands.json'), 'utf8'));
    const objectOf = ({ command, directory }) => join(directory, / -o (\S+)/.exec(command)[1]);
    const ofTarget = (target) => commands.filter(({ command }) => command.includes(`/${target}.dir/`));
    this.#host = ['mlit_emulation', 'mlit_fixtures'].flatMap(ofTarget).map(objectOf);
    this.#kernels = ofTarget('mlit_emulated_kernels').map((entry) => ({ ...entry, object: objectOf(entry) }));
    const cache = readFileSync(join(this.#build, 'CMakeCache.txt'), 'utf8');
    const context = /^MLIT_BOOST_CONTEXT:\w+=(.*)$/m.exec(cache)[1];
    this.#libraries = [join(this.#build, 'libmlit_core.a'), '-lgtest_main', '-lgtest', context, '-pthread'];
    this.release();
    mkdirSync(join(overlay, kernels), { recursive: true });
    for (const name of readdirSync(join(root, kernels)))
      copyFileSync(join(root, kernels, name), join(overlay, kernels, name));
  }

  release() {
    rmSync(overlay, { recursive: true, force: true });
  }

  #compile(unit, object) {
    const entry = this.#kernels.find(({ file }) => file.endsWith(`/${kernels}/${unit}`));
    if (entry === undefined) throw new SetupError(`mutations: ${unit} is no part of mlit_emulation_tests`);
    // Warnings are no matter, and debug information takes the linker longest.
    const command = entry.command
      .replace(/^\S*ccache /, '')
      .replace(/ -o \S+/, ` -o ${object}`)
      .replace(/ -c \S+$/, ` -ffile-prefix-map=${overlay}=. -c ${join(overlay, kernels, unit)}`)
      .replace(/ -g /, ' -g0 ')
      .replace(/ -I/, ` -I${join(overlay, 'native')} -I`)
      .replace(/ -Werror /, ' -w ');
    return spawnSync('sh', ['-c', command], { cwd: entry.directory, stdio: 'ignore' }).status === 0;
  }

  /**
   * The program with `text` in the place of `file` as these units see it, or undefined where the compiler refuses it. `same()` tells whether
   * the compiler makes of it what it makes of the original.
   * @returns {{ program: string, same: () => boolean } | undefined}
   */
  make(file, text, original, units) {
    const objects = units.map((unit) => join(overlay, `${unit}.o`));
    const place = join(overlay, kernels, file);
    writeFileSync(place, text);
    const compiled = units.every((unit, at) => this.#compile(unit, objects[at]));
    writeFileSync(place, original);
    if (!compiled) return undefined;
    const program = join(overlay, 'tests');
    this.#link(units, objects, program);
    return {
      program,
      same: () => units.every((unit, at) => this.#unchangedObject(unit).equals(readFileSync(objects[at]))),
    };
  }

  #unchangedObject(unit) {
    if (!this.#unchanged.has(unit)) {
      const object = join(overlay, 'unchanged.o');
      if (!this.#compile(unit, object))
        throw new SetupError(`mutations: ${unit} does not compile without a mutant`);
      this.#unchanged.set(unit, readFileSync(object));
    }
    return this.#unchanged.get(unit);
  }

  // Of functions that stand in several objects the linker takes the first: the mutant's, but for the emulator's own, as in the build itself.
  #link(units, objects, program) {
    const others = this.#kernels.filter(
      ({ file }) => !units.some((unit) => file.endsWith(`/${kernels}/${unit}`)),
    );
    const linker = existsSync('/usr/bin/ld.gold') ? ['-fuse-ld=gold'] : [];
    const list = join(overlay, 'objects');
    writeFileSync(list, [...this.#host, ...objects, ...others.map(({ object }) => object)].join('\n'));
    const { status, stderr } = spawnSync(
      'g++',
      [...linker, '-Wl,--strip-debug', '-o', program, `@${list}`, ...this.#libraries],
      { encoding: 'utf8' },
    );
    if (status !== 0)
      throw new SetupError(`mutations: a mutant could not be linked:\n${stderr.slice(0, 2000)}`);
  }

  /** The program of the build, without a mutant. */
  get unmutated() {
    return join(this.#build, 'mlit_emulation_tests');
  }
}

const QUICK = ['--gtest_brief=1', '--gtest_fail_fast', '--gtest_break_on_failure'];
const seedsOf = (seeds) =>
  seeds === undefined ? process.env : { ...process.env, MLIT_EMULATION_SEEDS: String(seeds) };

/** Processor time that tests take, in seconds; undefined where one of them fails. */
export function measureTests(program, filter, seeds) {
  const script = '"$0" "$@" > /dev/null 2>&1; status=$?; times; exit $status';
  const { status, stdout } = spawnSync('sh', ['-c', script, program, `--gtest_filter=${filter}`, ...QUICK], {
    cwd: root,
    encoding: 'utf8',
    env: seedsOf(seeds),
  });
  if (status !== 0) return undefined;
  // The second line is that of the shell's children: 0m1.50s 0m0.25s.
  const parts = [...stdout.split('\n')[1].matchAll(/(\d+)m([\d.]+)s/g)];
  return parts.reduce((sum, [, minutes, seconds]) => sum + 60 * minutes + Number(seconds), 0);
}

/**
 * Runs tests until the first failure: 'passed', 'failed', or 'hung' where they took more processor time than so many seconds (other work on
 * the machine is no failure, however long it makes them wait), or sat idle for an hour.
 */
export function runTests(program, filter, seeds, cpuSeconds) {
  const seconds = Math.ceil(cpuSeconds);
  const script = `ulimit -c 0; ulimit -t ${seconds}; exec "$0" "$@"`;
  const { status, signal } = spawnSync('sh', ['-c', script, program, `--gtest_filter=${filter}`, ...QUICK], {
    cwd: root,
    stdio: 'ignore',
    timeout: 3_600_000,
    killSignal: 'SIGKILL',
    env: seedsOf(seeds),
  });
  if (status === 0) return 'passed';
  return signal === 'SIGXCPU' || signal === 'SIGKILL' ? 'hung' : 'failed';
}
