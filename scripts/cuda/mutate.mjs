// `npm run cuda:mutate [-- --files norm.cu,tiles.cuh] [--limit 100] [--seed 1] [--minutes 30] [--build DIR] [--fresh] [--list]`: are the
// kernels' tests able to fail? Each mutant of a kernel's source (mutants.mjs) is compiled, linked with the emulator and run against the
// tests of its unit. One that passes them all survives: it is explained in mutants.json, or the run fails. Results are kept in
// .setup/mutations.jsonl, so that a run that was ended goes on where it was.
import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { hashOf, root, SetupError, say, stampDir } from '../setup/common.mjs';
import { kernels, MutantPrograms, measureTests, runTests, unitsOf } from './mutant-programs.mjs';
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

const ADAPTERS =
  'Lora.*:*LinearTest.EqualsTheReference*:*LinearTest.RandomShapes*:*LinearTest.TwoAdapters*:*LinearTest.MissingGradient*:*DropoutOp*';
/** Which tests concern a unit: the kernels' own, and those of the op table that come to them. */
const TESTS = {
  'attention_backward.cu': 'Attention.*:*AttentionTest.MatchesTheReference*:*AttentionTest.WorksIn*',
  'attention_cached.cu': 'AttentionCached.*:*AttentionTest.Cached*',
  'attention_forward.cu':
    'Attention.*:*AttentionTest.MatchesTheReference*:*AttentionTest.WorksIn*:Alignment.OfAttention',
  'attention_prompt.cu': 'AttentionCached.*:*AttentionTest.Cached*',
  'elementwise.cu': 'Elementwise.*:*RowsTest.Gated*:*RowsTest.Add*:*RowsTest.RowsDoNot*:Alignment.OfElements',
  'few_rows.cu': 'Weights.*:*LinearTest*',
  'gradients.cu': 'Gradients.*:*GradientsTest*:Alignment.OfGradients',
  'into_rank.cu': ADAPTERS,
  'lora.cu': ADAPTERS,
  'loss.cu': 'Loss.*:*LossTest*:Alignment.OfTheLoss',
  'nf4.cu': 'Weights.*:*LinearTest*',
  'norm.cu': 'Norm.*:*RowsTest.RmsNorm*:*RowsTest.RowsDoNot*:Alignment.OfNorms',
  'optimizer.cu': 'Optimizer.*:*OptimizerTest*:Alignment.OfTheOptimizer',
  'out_of_rank.cu': ADAPTERS,
  'over_rows.cu': ADAPTERS,
  'rope.cu': 'Rope.*:*RowsTest.Rope*:Alignment.OfRope',
  'rows.cu': 'Rows.*:*RowsTest.Gather*:Alignment.OfRows',
  'sampling.cu': 'Sampling.*:*SamplingTest*',
  'weight_gradient.cu': 'WeightGradient.*:*GradientsTest.OfAMatrix*',
  'weights.cu': 'Weights.*:*LinearTest*:*GradientsTest.Refreshed*',
};
/** The host's side of the tests is compiled with them, too. */
const LEFT_OUT = new Set(['few_rows.h', 'sampling.h']);
/** What these say no two units have to agree on: a unit after the other has it, until the tests of one fail. */
const ALONE = new Set(['alignment.h', 'attention_shape.h', 'reals.h', 'row_grid.h']);

function fail(message) {
  say(`mutations: ${message}`);
  process.exit(2);
}
const sources = new Map(
  readdirSync(join(root, kernels)).map((name) => [name, readFileSync(join(root, kernels, name), 'utf8')]),
);
const files = [...sources.keys()].filter(
  (name) => !LEFT_OUT.has(name) && mutantsOf(name, sources.get(name)).length > 0,
);
const without = files.filter((name) => name.endsWith('.cu') && !Object.hasOwn(TESTS, name));
if (without.length > 0) fail(`no tests are named for ${without.join(', ')}: give them in TESTS`);
const wanted = values.files?.split(',') ?? files;
for (const name of wanted) if (!files.includes(name)) fail(`--files: ${name} is none of ${files.join(', ')}`);
const limit = values.limit === undefined ? undefined : Number(values.limit);
if (limit !== undefined && !(limit > 0)) fail(`--limit takes a number above 0; got '${values.limit}'`);

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

const programs = new MutantPrograms(join(root, values.build));
/** Processor time that tests may take: much more than they take as they are. */
const allowed = new Map();
function allowedFor(filter) {
  if (!allowed.has(filter)) {
    const list = spawnSync(programs.unmutated, ['--gtest_list_tests', `--gtest_filter=${filter}`], {
      encoding: 'utf8',
    });
    for (const pattern of filter.split(':')) {
      const name = new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*')}$`, 'm');
      if (!name.test(fullNames(list.stdout))) fail(`no test is called ${pattern}: mend TESTS`);
    }
    const seconds = measureTests(programs.unmutated, filter, 1);
    if (seconds === undefined) fail(`the tests ${filter} fail without a mutant`);
    allowed.set(filter, 5 + 4 * seconds);
  }
  return allowed.get(filter);
}

/** From gtest's list of suites with their tests indented below. */
function fullNames(list) {
  let suite = '';
  const names = [];
  for (const line of list.split('\n')) {
    const [name] = line.split('  #');
    if (!line.startsWith(' ')) suite = name.trim();
    else names.push(suite + name.trim());
  }
  return names.join('\n');
}

/**
 * 'refused' (does not compile), 'killed', 'hung' (killed by the time it took), 'same' (the compiler makes the same of it: no test could
 * tell) or 'survived'.
 */
function judge(mutant) {
  const units = unitsOf(mutant.file, sources);
  const outcomes = new Set();
  for (const together of ALONE.has(mutant.file) ? units.map((unit) => [unit]) : [units]) {
    const outcome = judgeIn(mutant, together);
    if (outcome !== 'survived' && outcome !== 'same') return outcome;
    outcomes.add(outcome);
  }
  return outcomes.has('survived') ? 'survived' : 'same';
}

function judgeIn(mutant, units) {
  const filter = [...new Set(units.flatMap((unit) => TESTS[unit].split(':')))].join(':');
  const seconds = allowedFor(filter);
  const original = sources.get(mutant.file);
  const made = programs.make(mutant.file, applied(original, mutant), original, units);
  if (made === undefined) return 'refused';
  // First with one seed, then, where that shows nothing, with all of them.
  for (const [seeds, more] of [
    [1, 1],
    [undefined, 10],
  ]) {
    const outcome = runTests(made.program, filter, seeds, more * seconds);
    if (outcome !== 'passed') return outcome === 'hung' ? 'hung' : 'killed';
    if (seeds !== undefined && made.same()) return 'same';
  }
  return 'survived';
}

const explained = JSON.parse(readFileSync(join(root, 'scripts/cuda/mutants.json'), 'utf8'));
const reasonOf = ({ file, text, mutated }) =>
  explained.find((entry) => entry.file === file && entry.line === text && entry.mutant === mutated)?.why;

mkdirSync(stampDir, { recursive: true });
const resultsPath = join(stampDir, 'mutations.jsonl');
if (values.fresh) rmSync(resultsPath, { force: true });
await programs.prepare().catch((error) => {
  if (!(error instanceof SetupError)) throw error;
  fail(error.message);
});
// That a test failed is known while the kernels are the same: tests are added, not taken away. That none did, only while everything is.
const ofKernels = hashOf([kernels, 'scripts/cuda/mutants.mjs']).slice(0, 12);
const ofAll = hashOf(['native', 'scripts/cuda/mutate.mjs'], {
  skip: (path) => path.includes('/corpus'),
}).slice(0, 12);
const known = new Map();
if (existsSync(resultsPath)) {
  for (const line of readFileSync(resultsPath, 'utf8').split('\n').filter(Boolean)) {
    const result = JSON.parse(line);
    const holds = result.outcome === 'survived' ? result.all === ofAll : result.kernels === ofKernels;
    if (holds) known.set(result.key, result.outcome);
  }
}

const OUTCOMES = ['killed', 'hung', 'survived', 'same', 'refused'];
const noCounts = () => Object.fromEntries(OUTCOMES.map((outcome) => [outcome, 0]));
const summed = (counts) =>
  `${counts.killed} killed, ${counts.hung} more by hanging, ${counts.survived} survived, ${counts.same} the same to the compiler, ${counts.refused} refused by it`;
const end = performance.now() + Number(values.minutes) * 60_000;
const counts = noCounts();
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
    outcome = judge(mutant);
    const result = { kernels: ofKernels, all: ofAll, key, file, line, text, mutated, outcome };
    appendFileSync(resultsPath, `${JSON.stringify(result)}\n`);
  }
  counts[outcome]++;
  if (!byFile.has(file)) byFile.set(file, noCounts());
  byFile.get(file)[outcome]++;
  if (outcome !== 'survived') continue;
  const why = reasonOf(mutant);
  say(`survived ${file}:${line}\n  ${text}\n  ${mutated}\n  ${why ?? 'NOT EXPLAINED'}`);
  if (why === undefined) unexplained.push(mutant);
}
programs.release();
for (const [file, each] of [...byFile].sort()) say(`${file.padEnd(24)} ${summed(each)}`);
say(
  `${mutants.length - left} mutants: ${summed(counts)}; ${unexplained.length} survivors not explained${left > 0 ? `; ${left} left for the next run` : ''}`,
);
if (unexplained.length > 0) {
  say('A survivor wants a test that kills it, or a sentence in scripts/cuda/mutants.json why no test can.');
}
process.exit(unexplained.length > 0 ? 1 : 0);
