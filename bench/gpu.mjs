// `npm run bench:gpu`: LoRA training and sampling on the card that is here, of models of known shapes with random weights, beside the
// libraries for it that this machine's Python has. Every contestant is a process of its own; the answer is ratios.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gpuProgram, reportPath } from '../scripts/cuda/gpu.mjs';
import { root, SetupError } from '../scripts/setup/common.mjs';
import { gpuTable } from './gpu-report.mjs';
import { contest, peerPath } from './process.mjs';
import { describeMachine, say, writeJson } from './report.mjs';

const HELP = `npm run bench:gpu -- [options] [-- options of mlit_gpu_bench]

  --shapes A,B    of known models (gemma-3-270m,qwen3-0.6b)
  --json FILE     the report (gpu-reports/bench.json)
  --python FILE   that has the peers; else MLIT_BENCH_PYTHON, else python3
  --no-peers      this library alone

Behind a second -- stand options of the native program: --tokens=N, --steps=N, --format=nf4, --profile, … (--help lists them).`;

/** The peers that this Python can run on a card, with the reason where it is none. */
function peersOf(python) {
  const { status, stdout, error } = spawnSync(python, [peerPath('gpu.py'), '--list'], { encoding: 'utf8' });
  if (status !== 0) return { reason: error?.message ?? `${python} ended with exit status ${status}` };
  return JSON.parse(stdout);
}

/** Runs the native program for one shape; its report, or `{ failed }`. */
function runOwn(program, shape, words, folder) {
  const file = join(folder, 'own.json');
  const { status } = spawnSync(program, [`--shape=${shape}`, ...words, `--json=${file}`], {
    cwd: root,
    stdio: 'inherit',
  });
  return status === 0 ? JSON.parse(readFileSync(file, 'utf8')) : { failed: `exit status ${status}` };
}

async function runPeer(python, peer, own, folder) {
  const work = join(folder, 'work.json');
  const { config, rank } = own.shape;
  writeFileSync(work, JSON.stringify({ config, rank, steps: own.train.documents, sample: own.sample }));
  return contest(python, [peerPath('gpu.py'), '--peer', peer, '--work', work], { threads: 8 });
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      shapes: { type: 'string', default: 'gemma-3-270m,qwen3-0.6b' },
      json: { type: 'string' },
      python: { type: 'string', default: process.env.MLIT_BENCH_PYTHON ?? 'python3' },
      'no-peers': { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return console.log(HELP);
  const program = await gpuProgram('mlit_gpu_bench');
  const { peers = [], reason } = values['no-peers'] ? { reason: '--no-peers' } : peersOf(values.python);
  if (reason) say(`Peers skipped: ${reason}`);
  const folder = mkdtempSync(join(tmpdir(), 'mlit-bench-gpu-'));
  const results = {};
  try {
    for (const shape of values.shapes.split(',')) {
      const own = runOwn(program, shape, positionals, folder);
      results[shape] = { own, peers: {} };
      if (own.failed) {
        process.exitCode = 1;
        continue;
      }
      for (const peer of peers) results[shape].peers[peer] = await runPeer(values.python, peer, own, folder);
      say(`\n${shape}, ${own.card.name}`);
      console.log(gpuTable(own, results[shape].peers));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const command = `npm run bench:gpu -- ${process.argv.slice(2).join(' ')}`.trim();
  const report = { command, machine: describeMachine(), peersSkipped: reason, results };
  writeJson(reportPath(values.json, 'bench.json'), report);
}

try {
  await main();
} catch (error) {
  const usage = error?.code?.startsWith?.('ERR_PARSE_ARGS');
  if (!usage && !(error instanceof SetupError)) throw error;
  say(usage ? `bench:gpu: ${error.message}\n\n${HELP}` : error.message);
  process.exitCode = usage ? 2 : 1;
}
