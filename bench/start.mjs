// How long a user waits for the first step: a new process of `mlit train` beside a new interpreter with transformers + peft, in turn. The
// files have been read before, by an untimed round.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { ensurePeers } from '../scripts/peers/ensure-venv.mjs';
import { root } from '../scripts/setup/common.mjs';
import { contest, contestantPath, peerPath } from './process.mjs';
import { gigabytes, median, say, table } from './report.mjs';
import { findData, prepareWork } from './work.mjs';

const BATCH = 4;
/** Records of the file that `mlit train` reads: a small user's. */
const RECORDS = 64;

export async function benchStart(options) {
  const { rounds, threads, rank, maxLength } = options;
  const python = await ensurePeers();
  const work = await prepareWork({
    ...options,
    count: BATCH,
    name: 'start',
    forPeers: true,
  });
  const folder = mkdtempSync(join(tmpdir(), 'mlit-start-'));
  const data = join(folder, 'records.jsonl');
  const lines = readFileSync(await findData(options.data), 'utf8').split('\n');
  writeFileSync(data, `${lines.slice(0, RECORDS).join('\n')}\n`);

  const mlit = [process.execPath, join(root, 'bin', 'mlit.mjs'), 'train', '--model', options.model];
  const shape = ['--data', data, '--steps', 1, '--batch-examples', BATCH, '--max-length', maxLength];
  const common = ['--threads', threads, '--rank', rank, '--alpha', 2 * rank];
  const own = [contestantPath('first-step.mjs'), ...mlit, ...shape, '--truncate', 'drop', ...common];
  const peer = [peerPath('first_step.py'), '--work', work.path, '--batch', BATCH, ...common];
  const contestants = [
    { name: 'mlit train', start: (out) => [process.execPath, [...own, '--out', out]] },
    {
      name: 'mlit train --compute int8',
      start: (out) => [process.execPath, [...own, '--compute', 'int8', '--out', out]],
    },
    { name: 'transformers + peft float32', start: () => [python, peer] },
  ].map((each) => ({ ...each, runs: [] }));
  try {
    for (let round = -1; round < rounds; round++) {
      for (const [at, { name, start, runs }] of contestants.entries()) {
        const [command, args] = start(join(folder, `run-${round}-${at}`));
        const begun = performance.now();
        const result = await contest(command, args, { threads });
        // The peer says its line at its first step's end and is gone.
        const firstStepSeconds = (performance.now() - begun) / 1000;
        if (round < 0) continue;
        runs.push({ round, firstStepSeconds, ...result });
        say(
          `round ${round + 1}  ${name}: ${result.failed ?? `${runs.at(-1).firstStepSeconds.toFixed(2)} s`}`,
        );
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return summarize(contestants);
}

function summarize(contestants) {
  const rows = contestants.map(({ name, runs }) => {
    const good = runs.filter(({ failed }) => !failed);
    return [
      name,
      median(good.map((run) => run.firstStepSeconds))?.toFixed(2) ?? runs[0].failed,
      gigabytes(median(good.map((run) => run.peakBytes))),
    ];
  });
  console.log(table(['', 'seconds to the first step', 'peak GB'], rows));
  return {
    bench: 'start',
    batch: BATCH,
    records: RECORDS,
    contestants: contestants.map(({ name, runs }) => ({ name, runs })),
  };
}
