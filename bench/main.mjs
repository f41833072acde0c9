// The door to all benchmarks: `npm run bench -- train|ways|together|sample|gemm|mix|bootstrap [options]`.
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { SetupError } from '../scripts/setup/common.mjs';
import { benchBootstrap } from './bootstrap.mjs';
import { benchGemm } from './gemm.mjs';
import { benchMix } from './mix.mjs';
import { describeMachine, say, writeJson } from './report.mjs';
import { benchSample } from './sample.mjs';
import { benchTogether } from './together.mjs';
import { benchTrain } from './train.mjs';
import { benchWays } from './ways.mjs';

const HELP = `npm run bench -- COMMAND [options]

  train    LoRA training beside transformers + peft: tokens/s, peak memory, share of the big product's rate
  ways     dropout, recompute levels, a bfloat16 base and full tuning beside plain LoRA
  together  twelve adapters over one base at once beside twelve runs in turn
  sample   batched greedy sampling beside transformers' generate
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

The peers are installed into .venv at the first run; MLIT_BENCH_PYTHON names an interpreter that has them already.`;

const commands = {
  train: benchTrain,
  ways: benchWays,
  together: benchTogether,
  sample: benchSample,
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

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        model: { type: 'string', default: 'gemma-3-270m' },
        data: { type: 'string' },
        records: { type: 'string', default: '72' },
        'max-length': { type: 'string', default: '512' },
        rank: { type: 'string', default: '16' },
        threads: { type: 'string', default: '2' },
        rounds: { type: 'string', default: '3' },
        json: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    return usage(error.message);
  }
}

/** What was typed, without folders: the file of data and of the model by their names alone. */
function commandLine() {
  const words = process.argv.slice(2).map((word) => (word.includes('/') ? basename(word) : word));
  return `npm run bench -- ${words.join(' ')}`;
}

const { values, positionals } = readArguments();
const [command = 'help', ...others] = positionals;
if (values.help || command === 'help') {
  console.log(HELP);
} else {
  if (!Object.hasOwn(commands, command)) usage(`no benchmark is called '${command}'`);
  if (others.length > 0) usage(`'${others[0]}' is one argument too many`);
  const settings = {
    records: count(values, 'records'),
    maxLength: count(values, 'max-length'),
    rank: count(values, 'rank'),
    threads: count(values, 'threads'),
    rounds: count(values, 'rounds'),
  };
  const options = { ...settings, model: values.model, data: values.data };
  try {
    const result = await commands[command](options);
    if (result === undefined) process.exitCode = 1;
    else if (values.json !== undefined)
      writeJson(values.json, { command: commandLine(), machine: describeMachine(), settings, ...result });
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(`\n${error.message}`);
    process.exitCode = 1;
  }
}
