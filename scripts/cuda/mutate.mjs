// `npm run cuda:mutate [-- --files norm.cu,tiles.cuh] [--limit 100] [--seed 1] [--minutes 30] [--build DIR] [--fresh] [--list]`: are the
// kernels' tests able to fail? Each mutant of a kernel's source (mutants.mjs) is compiled, linked with the emulator and run against the
// tests of its file. One that passes them all survives: it is explained in mutants.json, or the run fails. Results are kept in
// .setup/mutations.jsonl, so that a run that was ended goes on where it was.
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { hasCommand, hashOf, root, runLogged, SetupError, say, stampDir } from '../setup/common.mjs';
import { applied, mutantsOf, sampled } from './mutants.mjs';

const { values } = parseArgs({
  options: {
    files: { type: 'string' },
    limit: { type: 'string' },
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string', default: '600' },
    build: { type: 'string', default: 'build' },
    fresh: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
  },
});

const kernels = 'native/backend/cuda/kernels';
/** Which tests concern a file: its own, and the table of ops over the whole backend. */
const TESTS = {
  'attention_backward.cu': 'Attention.*:*AttentionTest.MatchesTheReference*',
  'attention_cached.cu': 'AttentionCached.*:*AttentionTest.Cached*',
  'attention_forward.cu': 'Attention.*:*AttentionTest.MatchesTheReference*',
  'attention_tile.h': 'Attention*:*AttentionTest.MatchesTheReference*',
  'elementwise.cu': 'Elementwise.*:*RowsTest*',
  'gradients.cu': 'Gradients.*:*GradientsTest*',
  'into_rank.cu': 'Lora.*:*LinearTest.EqualsTheReference*:*DropoutOp*',
  'lora.cu': 'Lora.*:*LinearTest.EqualsTheReference*:*DropoutOp*',
  'loss.cu': 'Loss.*:*LossTest*',
  'nf4.cu': 'Weights*:Nf4*:*LinearTest.EqualsTheReference*',
  'nf4.cuh': 'Weights*:Nf4*:*LinearTest.EqualsTheReference*',
  'norm.cu': 'Norm.*:*RowsTest*',
  'optimizer.cu': 'Optimizer.*:*OptimizerTest*',
  'out_of_rank.cu': 'Lora.*:*LinearTest.EqualsTheReference*:*DropoutOp*',
  'over_rows.cu': 'Lora.*:*LinearTest.EqualsTheReference*:*DropoutOp*',
  'over_rows.cuh': 'Lora.*:WeightGradient.*:*LinearTest.EqualsTheReference*',
  'rope.cu': 'Rope.*:*RowsTest.Rope*',
  'rows.cu': 'Rows.*:*RowsTest.Gather*',
  'sampling.cu': 'Sampling.*:*SamplingTest*',
  'slices.cuh': 'Lora.*:*LinearTest.EqualsTheReference*',
  'tiles.cuh': 'Lora.*:WeightGradient.*:*LinearTest.EqualsTheReference*',
  'weight_gradient.cu': 'WeightGradient.*:*GradientsTest*',
  'weights.cu': 'Weights*:*LinearTest.EqualsTheReference*',
};
const files = readdirSync(join(root, kernels)).filter(
  (name) => /\.cuh?$/.test(name) || name === 'attention_tile.h',
);

function fail(message) {
  say(`mutations: ${message}`);
  process.exit(2);
}
const without = files.filter((name) => !Object.hasOwn(TESTS, name));
if (without.length > 0) fail(`no tests are named for ${without.join(', ')}: give them in TESTS`);
const wanted = values.files?.split(',') ?? files;
for (const name of wanted) if (!files.includes(name)) fail(`--files: ${name} is none of ${files.join(', ')}`);
const limit = values.limit === undefined ? undefined : Number(values.limit);
if (limit !== undefined && !(limit > 0)) fail(`--limit takes a number above 0; got '${values.limit}'`);

const sources = new Map(files.map((name) => [name, readFileSync(join(root, kernels, name), 'utf8')]));
const mutants = sampled(
  wanted.flatMap((name) => mutantsOf(name, sources.get(name))),
  values.seed,
  limit,
);
if (values.list) {
  for (const { file, line, mutated, key } of mutants)
    process.stdout.write(`${key} ${file}:${line}: ${mutated}\n`);
  process.exit(0);
}

const build = join(root, values.build);
const overlay = join(stampDir, 'mutants');
const resultsPath = join(stampDir, 'mutations.jsonl');
if (values.fresh) rmSync(resultsPath, { force: true });
mkdirSync(stampDir, { recursive: true });

/** The .cu files that a file is compiled in. */
function unitsOf(name) {
  const includes = (user, seen = new Set()) => {
    if (user === name) return true;
    if (seen.has(user) || !existsSync(join(root, kernels, user))) return false;
    seen.add(user);
    const text = sources.get(user) ?? readFileSync(join(root, kernels, user), 'utf8');
    return [...text.matchAll(/#include "backend\/cuda\/kernels\/([\w.]+)"/g)].some(([, used]) =>
      includes(used, seen),
    );
  };
  return files.filter((file) => file.endsWith('.cu') && includes(file));
}

async function prepare() {
  const launcher = hasCommand('ccache') ? ['-DCMAKE_CXX_COMPILER_LAUNCHER=ccache'] : [];
  await runLogged('cmake', ['-S', root, '-B', build, '-DMLIT_BUILD_EMULATION_TESTS=ON', ...launcher], {
    log: 'mutations-configure',
  });
  await runLogged('cmake', ['--build', build, '--target', 'mlit_emulation_tests', '--parallel', '2'], {
    log: 'mutations-build',
  });
  const commands = JSON.parse(readFileSync(join(build, 'compile_commands.json'), 'utf8'));
  const ofTarget = (target) => commands.filter(({ command }) => command.includes(`/${target}.dir/`));
  return {
    host: ofTarget('mlit_emulation').map(objectOf),
    kernels: ofTarget('mlit_emulated_kernels').map((entry) => ({ ...entry, object: objectOf(entry) })),
  };
}
const objectOf = ({ command, directory }) => join(directory, / -o (\S+)/.exec(command)[1]);

/** Compiles a unit from the overlay into `object`; false where the compiler refuses the mutant. */
function compile(entry, source, object) {
  const command = entry.command
    .replace(/^\S*ccache /, '')
    .replace(/ -o \S+/, ` -o ${object}`)
    .replace(/ -c \S+$/, ` -c ${source}`)
    .replace(/ -g /, ' -g0 ')
    .replace(/ -I/, ` -I${join(overlay, 'native')} -I`)
    .replace(/ -Werror /, ' -w ');
  return spawnSync('sh', ['-c', command], { cwd: entry.directory, stdio: 'ignore' }).status === 0;
}

function link(objects, program) {
  const libraries = [join(build, 'libmlit_core.a'), '-lgtest', '-lgtest_main', '-lboost_context', '-pthread'];
  const { status, stderr } = spawnSync('g++', ['-o', program, ...objects, ...libraries], {
    encoding: 'utf8',
  });
  if (status !== 0)
    throw new SetupError(`mutations: a mutant could not be linked:\n${stderr.slice(0, 2000)}`);
}

/** Whether the tests fail, and how long they took. A mutant that hangs is as good as failed. */
function runTests(program, filter, seeds, seconds) {
  const start = performance.now();
  const { status } = spawnSync(
    program,
    [`--gtest_filter=${filter}`, '--gtest_brief=1', '--gtest_fail_fast'],
    {
      cwd: root,
      stdio: 'ignore',
      timeout: seconds * 1000,
      killSignal: 'SIGKILL',
      env: seeds === undefined ? process.env : { ...process.env, MLIT_EMULATION_SEEDS: String(seeds) },
    },
  );
  return { failed: status !== 0, seconds: (performance.now() - start) / 1000 };
}

/** 'killed', 'survived' or 'refused' (does not compile). */
function judge(mutant, objects, seconds) {
  const { file } = mutant;
  const place = join(overlay, kernels, file);
  rmSync(overlay, { recursive: true, force: true });
  mkdirSync(dirname(place), { recursive: true });
  writeFileSync(place, applied(sources.get(file), mutant));
  const replaced = new Map();
  for (const unit of unitsOf(file)) {
    const entry = objects.kernels.find((each) => each.file.endsWith(`/${kernels}/${unit}`));
    const object = join(overlay, `${unit}.o`);
    if (!compile(entry, unit === file ? place : entry.file, object)) return 'refused';
    replaced.set(entry.object, object);
  }
  const program = join(overlay, 'tests');
  link([...objects.host, ...objects.kernels.map(({ object }) => replaced.get(object) ?? object)], program);
  // First with few seeds, then, where that shows nothing, with all of them.
  if (runTests(program, TESTS[file], 2, seconds).failed) return 'killed';
  return runTests(program, TESTS[file], undefined, 10 * seconds).failed ? 'killed' : 'survived';
}

const explained = JSON.parse(readFileSync(join(root, 'scripts/cuda/mutants.json'), 'utf8'));
const reasonOf = ({ file, text, mutated }) =>
  explained.find((entry) => entry.file === file && entry.line === text && entry.mutant === mutated)?.why;

const objects = await prepare();
// A result holds for the sources and tests that it was got with.
const state = hashOf(['native'], { skip: (path) => path.includes('/corpus') }).slice(0, 12);
const known = new Map();
if (existsSync(resultsPath)) {
  for (const line of readFileSync(resultsPath, 'utf8').split('\n').filter(Boolean)) {
    const result = JSON.parse(line);
    if (result.state === state) known.set(result.key, result.outcome);
  }
}
const program = join(build, 'mlit_emulation_tests');
const usual = new Map();
const end = performance.now() + Number(values.minutes) * 60_000;
const counts = { killed: 0, survived: 0, refused: 0 };
const byFile = new Map();
const unexplained = [];
let left = 0;
for (const mutant of mutants) {
  const { file, line, text, mutated, key } = mutant;
  let outcome = known.get(key);
  if (outcome === undefined) {
    if (performance.now() > end) {
      left++;
      continue;
    }
    if (!usual.has(file)) {
      const { failed, seconds } = runTests(program, TESTS[file], 2, 600);
      if (failed) fail(`the tests ${TESTS[file]} fail without a mutant`);
      usual.set(file, 20 + 10 * seconds);
    }
    outcome = judge(mutant, objects, usual.get(file));
    appendFileSync(resultsPath, `${JSON.stringify({ state, key, file, line, text, mutated, outcome })}\n`);
  }
  counts[outcome]++;
  const ofFile = byFile.get(file) ?? { killed: 0, survived: 0, refused: 0 };
  ofFile[outcome]++;
  byFile.set(file, ofFile);
  if (outcome !== 'survived') continue;
  const why = reasonOf(mutant);
  say(`survived ${file}:${line}\n  ${text}\n  ${mutated}\n  ${why ?? 'NOT EXPLAINED'}`);
  if (why === undefined) unexplained.push(mutant);
}
rmSync(overlay, { recursive: true, force: true });
for (const [file, each] of [...byFile].sort()) {
  say(
    `${file.padEnd(24)} ${each.killed} killed, ${each.survived} survived, ${each.refused} refused by the compiler`,
  );
}
say(
  `${counts.killed} mutants killed, ${counts.survived} survived (${unexplained.length} of them not explained), ${counts.refused} refused by the compiler${left > 0 ? `; ${left} left for the next run` : ''}`,
);
if (unexplained.length > 0) {
  say('A survivor wants a test that kills it, or a sentence in scripts/cuda/mutants.json why no test can.');
}
process.exit(unexplained.length > 0 ? 1 : 0);
