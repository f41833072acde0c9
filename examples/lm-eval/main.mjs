// lm-evaluation-harness against `mlit serve`, and against its own `hf` model with the same weights: the figures have to agree.
//   node examples/lm-eval/main.mjs MODEL [--python PYTHON]
// MODEL is what `mlit serve --model` takes; PYTHON has lm_eval[api], torch and transformers.
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

const here = import.meta.dirname;
const mlit = join(here, '..', '..', 'bin', 'mlit.mjs');
const { values, positionals } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    out: { type: 'string', default: 'runs/lm-eval' },
  },
  allowPositionals: true,
});
const [model] = positionals;
if (model === undefined) {
  console.error('usage: node examples/lm-eval/main.mjs MODEL [--python PYTHON] [--out FOLDER]');
  process.exit(2);
}
const out = resolve(values.out);
mkdirSync(out, { recursive: true });

const QUESTIONS = {
  en: (emoji) => `The name of the emoji ${emoji} in English is`,
  fi: (emoji) => `Emojin ${emoji} nimi suomeksi on`,
  it: (emoji) => `Il nome dell’emoji ${emoji} in italiano è`,
  ru: (emoji) => `Название эмодзи ${emoji} по-русски:`,
};
const ITEMS = 25;

/** Emoji with a name in each language, three others' names beside it: the same choice each time. */
function writeRecords() {
  const require = createRequire(import.meta.url);
  const names = Object.fromEntries(
    Object.keys(QUESTIONS).map((lang) => {
      const { annotations } = require(
        `cldr-annotations-full/annotations/${lang}/annotations.json`,
      ).annotations;
      return [lang, (emoji) => annotations[emoji]?.tts?.[0]];
    }),
  );
  const { annotations } = require('cldr-annotations-full/annotations/en/annotations.json').annotations;
  const all = Object.keys(annotations).filter(
    (emoji) =>
      /^\p{Extended_Pictographic}$/u.test(emoji) && Object.values(names).every((name) => name(emoji)),
  );
  const stride = Math.floor(all.length / (4 * ITEMS));
  const picked = Array.from({ length: 4 * ITEMS }, (_, i) => all[i * stride]);
  const lines = Object.entries(QUESTIONS).flatMap(([lang, question]) =>
    Array.from({ length: ITEMS }, (_, item) => {
      const four = picked.slice(4 * item, 4 * item + 4);
      const answer = (item * 7) % 4;
      return JSON.stringify({
        lang,
        question: question(four[answer]),
        choices: four.map(names[lang]),
        answer,
      });
    }),
  );
  writeFileSync(join(out, 'cldr-names.jsonl'), `${lines.join('\n')}\n`);
  return lines.length;
}

function must(command, args, options = {}) {
  const { status } = spawnSync(command, args, {
    stdio: ['ignore', process.stderr, 'inherit'],
    cwd: out,
    ...options,
  });
  if (status !== 0) process.exit(1);
}

/** Resolves with the server once it has told where it listens. */
async function serve() {
  const child = spawn(process.execPath, [mlit, 'serve', '--model', model, '--port', '0', '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: child.stdout })) return { child, ...JSON.parse(line) };
  throw new Error('the server did not start');
}

function evaluate(name, lm, modelArgs, batch) {
  const folder = join(out, name);
  rmSync(folder, { recursive: true, force: true });
  const started = performance.now();
  const args = [
    '--tasks',
    'cldr_names',
    '--include_path',
    out,
    '--output_path',
    folder,
    '--log_samples',
    '--batch_size',
    String(batch),
  ];
  must(values.python, ['-m', 'lm_eval', '--model', lm, '--model_args', modelArgs, ...args], {
    env: {
      ...process.env,
      HF_HUB_OFFLINE: '1',
      HF_DATASETS_CACHE: join(out, 'cache'),
      OPENAI_API_KEY: 'none',
    },
  });
  const files = readdirSync(folder, { recursive: true })
    .map((file) => join(folder, file))
    .filter((file) => statSync(file).isFile());
  const results = JSON.parse(
    readFileSync(
      files.find((file) => /results_.*\.json$/.test(file)),
      'utf8',
    ),
  ).results.cldr_names;
  const samples = readFileSync(
    files.find((file) => /samples_.*\.jsonl$/.test(file)),
    'utf8',
  )
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  // Of each choice: its log-probability, and whether it is what greedy decoding gives.
  const choices = samples.sort((a, b) => a.doc_id - b.doc_id).flatMap(({ filtered_resps }) => filtered_resps);
  return { results, choices, seconds: (performance.now() - started) / 1000 };
}

const records = writeRecords();
cpSync(join(here, 'cldr_names.yaml'), join(out, 'cldr_names.yaml'));
const folder = join(out, 'model');
rmSync(folder, { recursive: true, force: true });
must(
  process.execPath,
  [mlit, 'export', '--model', model, '--out', folder, '--format', 'safetensors', '--dtype', 'f32'],
  { cwd: process.cwd() },
);

const { child, url, models } = await serve();
const served = evaluate(
  'served',
  'local-completions',
  `model=${models[0]},base_url=${url}/v1/completions,tokenizer=${folder},num_concurrent=16,add_bos_token=True,max_length=1024`,
  1,
);
child.kill('SIGTERM');
const own = evaluate('own', 'hf', `pretrained=${folder},dtype=float32,add_bos_token=True`, 8);

const pairs = own.choices.map((choice, at) => [choice, served.choices[at]]);
const worst = Math.max(...pairs.map(([[a], [b]]) => Math.abs(Number(a) - Number(b))));
const agreeing = pairs.filter(([[, a], [, b]]) => a === b).length;
for (const [name, { results, seconds }] of Object.entries({ 'mlit serve': served, hf: own })) {
  const { 'acc,none': acc, 'acc_stderr,none': error, 'acc_norm,none': norm } = results;
  console.log(
    `${name.padEnd(12)} acc ${acc.toFixed(4)} ± ${error.toFixed(4)}  acc_norm ${norm.toFixed(4)}  ${seconds.toFixed(0)} s`,
  );
}
console.log(
  `${records} records, ${pairs.length} choices: log-probabilities differ by ${worst.toExponential(1)} at most, is_greedy agrees in ${agreeing}`,
);
