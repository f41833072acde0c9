// The door to all benchmarks: `npm run bench -- page|train|ways|together|sample|start|scaling|gemm|mix|bootstrap [options]`.
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { SetupError } from '../scripts/setup/common.mjs';
import { benchBootstrap } from './bootstrap.mjs';
import { benchGemm } from './gemm.mjs';
import { benchMix } from './mix.mjs';
import { benchPage, pageParts } from './page.mjs';
import { describeMachine, say, writeJson } from './report.mjs';
import { benchSample } from './sample.mjs';
import { benchScaling } from './scaling.mjs';
import { benchStart } from './start.mjs';
import { benchTogether } from './together.mjs';
import { benchTrain } from './train.mjs';
import { benchWays } from './ways.mjs';

const HELP = `npm run bench -- COMMAND [options]

  page     all parts of docs/benchmarks.md in sizes of their own, and the page from their results
  train    LoRA training beside transformers + peft: tokens/s, peak memory, share of the big product's rate
  ways     dropout, recompute levels, a bfloat16 base and full tuning beside plain LoRA
  together  twelve adapters over one base at once beside twelve runs in turn
  sample   batched greedy sampling beside transformers' generate
  start    a cold start to the first step beside transformers + peft
  scaling  training by length, micro-batch, rank, threads and adapters at once
  gemm     the library's own matrix products, at the model's shapes
  mix      drawing mixtures from a million records
  bootstrap  intervals of a whole heat map, beside NumPy
  help     this text

  --model NAME|PATH   a named model, a GGUF file or a Hugging Face folder   (gemma-3-270m)
  --data FILE         JSONL records; else train-oasst.jsonl in the folder that MLIT_DATA_DIR names,
                      else the quickstart's training set
  --records N         records trained on in all                             (72)
  --max-length N      tokens of a record at most                            (512)
  --rank N            of the adapter, alpha is twice that                   (16)
  --threads N         of every contestant                                   (2)
  --rounds N          turns that the contestants take                       (3)
  --json FILE         writes everything measured there

  page takes --model, --data, --threads, --rank and:
  --quick             tiny sizes, all of it into runs/bench/page: tries the command in some minutes
  --only A,B          these parts; the page keeps what others have said before
  --from-results      writes the page again and runs nothing

The peers are installed into .venv at the first run; MLIT_BENCH_PYTHON names an interpreter that has them already.`;

const commands = {
  train: benchTrain,
  ways: benchWays,
  together: benchTogether,
  sample: benchSample,
  start: benchStart,
  scaling: benchScaling,
  gemm: benchGemm,
  mix: benchMix,
  bootstrap: benchBootstrap,
};

function usage(message) {
  say(`bench: ${message}\n\n${HELP}`);
  process.exit(2);
}

function count(values, name) {
  const value = Number(values[name]);
  if (!Number.isInteger(value) || value < 1)
    usage(`--${name} takes a whole number from 1, got '${values[name]}'`);
  return value;
}

const DEFAULTS = { records: '72', 'max-length': '512', rank: '16', threads: '2', rounds: '3' };
/** Options that the page has for itself, and those whose place its own sizes take. */
const OF_PAGE = ['quick', 'only', 'from-results'];
const NOT_OF_PAGE = ['records', 'max-length', 'rounds', 'json'];

function readArguments() {
  try {
    const options = Object.fromEntries(
      ['model', 'data', ...Object.keys(DEFAULTS), 'json', 'only'].map((name) => [name, { type: 'string' }]),
    );
    for (const name of ['quick', 'from-results']) options[name] = { type: 'boolean' };
    return parseArgs({
      allowPositionals: true,
      options: { ...options, help: { type: 'boolean', short: 'h' } },
    });
  } catch (error) {
    return usage(error.message);
  }
}

function refuse(values, names, command) {
  const given = names.find((name) => values[name] !== undefined);
  if (given !== undefined) usage(`--${given} is no option of ${command}`);
}

function pageOptions(values) {
  const only = values.only?.split(',') ?? [];
  const unknown = only.find((name) => !pageParts.includes(name));
  if (unknown !== undefined) usage(`--only takes ${pageParts.join(', ')}; got '${unknown}'`);
  return {
    quick: values.quick ?? false,
    fromResults: values['from-results'] ?? false,
    only,
    command: commandLine(),
  };
}

/** What was typed, without folders: the file of data and of the model by their names alone. */
function commandLine() {
  const words = process.argv.slice(2).map((word) => (word.includes('/') ? basename(word) : word));
  return `npm run bench -- ${words.join(' ')}`;
}

const { values: typed, positionals } = readArguments();
const [command = 'help', ...others] = positionals;
if (typed.help || command === 'help') {
  console.log(HELP);
} else {
  if (command !== 'page' && !Object.hasOwn(commands, command)) usage(`no benchmark is called '${command}'`);
  if (others.length > 0) usage(`'${others[0]}' is one argument too many`);
  refuse(typed, command === 'page' ? NOT_OF_PAGE : OF_PAGE, command);
  const values = { ...DEFAULTS, ...typed };
  const settings = {
    records: count(values, 'records'),
    maxLength: count(values, 'max-length'),
    rank: count(values, 'rank'),
    threads: count(values, 'threads'),
    rounds: count(values, 'rounds'),
  };
  const options = { ...settings, model: values.model ?? 'gemma-3-270m', data: values.data };
  try {
    if (command === 'page') {
      await benchPage(options, pageOptions(typed));
    } else {
      const result = await commands[command](options);
      if (result === undefined) process.exitCode = 1;
      else if (values.json !== undefined)
        writeJson(values.json, { command: commandLine(), machine: describeMachine(), settings, ...result });
    }
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(`\n${error.message}`);
    process.exitCode = 1;
  }
}
