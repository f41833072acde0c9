// Twelve adapters in one pass over the base beside twelve runs in turn: the whole of each, from the start of the process to the
// adapters. Each kind takes turns with the other, so that what disturbs the machine disturbs both.
import { contest, contestantPath } from './process.mjs';
import { gigabytes, median, percent, rate, say, table, times } from './report.mjs';
import { warnWhereShared } from './train.mjs';
import { findData } from './work.mjs';

const RUNS = 12;
/** Tokens of a step, and steps of a run: short ones, where loading weighs, would flatter one process. */
const CASES = [
  { tokens: 480, steps: 6 },
  { tokens: 96, steps: 24 },
];

export async function benchTogether(options) {
  const { threads, rounds, rank, model, runs: count = RUNS } = options;
  const data = await findData(options.data);
  const cases = [];
  for (const { tokens, steps, compute = 'f32' } of options.cases ?? CASES) {
    const common = ['--model', model, '--data', data, '--tokens', tokens, '--steps', steps];
    common.push('--compute', compute, '--threads', threads, '--rank', rank);
    const run = async (first, count) => {
      const args = [...common, '--first', first, '--count', count];
      return contest(process.execPath, [contestantPath('mlit-runs.mjs'), ...args], { threads });
    };
    const named = `${tokens} tokens a step, ${compute}`;
    const turns = [];
    for (let round = 0; round < rounds; round++) {
      const alone = [];
      const half = count / 2;
      for (let i = 0; i < half; i++) alone.push(await run(i, 1));
      const together = await run(0, count);
      for (let i = half; i < count; i++) alone.push(await run(i, 1));
      const failed = [...alone, together].find((each) => each.failed)?.failed;
      if (failed) {
        say(`round ${round + 1}, ${named}: ${failed}`);
        continue;
      }
      const turn = compare(alone, together);
      turns.push(turn);
      say(
        `round ${round + 1}, ${named}: time ${times(turn.time)}, its steps alone ${times(turn.steps)}, CPU time ${times(turn.cpu)}, memory ${times(turn.memory)}`,
      );
    }
    cases.push({ tokens, steps, compute, turns });
  }
  if (cases.some(({ turns }) => turns.length === 0)) return undefined;
  return summarize(cases, { threads, count });
}

/** Ratios, together to in turn. */
function compare(alone, together) {
  const sum = (key) => alone.reduce((total, each) => total + each[key], 0);
  return {
    time: together.seconds / sum('seconds'),
    steps: together.trainSeconds / sum('trainSeconds'),
    cpu: together.cpuSeconds / sum('cpuSeconds'),
    memory: together.peakBytes / Math.max(...alone.map(({ peakBytes }) => peakBytes)),
    alone,
    together,
  };
}

function summarize(cases, { threads, count }) {
  const of = (turns, pick) => median(turns.map(pick));
  const spread = (turns, key) =>
    `${times(Math.min(...turns.map((turn) => turn[key])))}–${times(Math.max(...turns.map((turn) => turn[key])))}`;
  console.log(
    table(
      [
        'tokens a step',
        'time',
        'rounds',
        'its steps',
        'CPU time',
        'peak GB',
        'memory',
        'tokens/s',
        'CPU had',
      ],
      cases.map(({ tokens, compute, turns }) => [
        `${tokens}, ${compute}`,
        times(of(turns, ({ time }) => time)),
        spread(turns, 'time'),
        times(of(turns, ({ steps }) => steps)),
        times(of(turns, ({ cpu }) => cpu)),
        gigabytes(of(turns, ({ together }) => together.peakBytes)),
        times(of(turns, ({ memory }) => memory)),
        rate(of(turns, ({ together }) => together.tokens / together.trainSeconds)),
        percent(of(turns, ({ together }) => together.cpuSeconds / together.seconds / threads)),
      ]),
    ),
  );
  say(`ratios of ${count} runs together to ${count} in turn; memory to one run`);
  warnWhereShared(
    cases.map(({ tokens, compute, turns }) => ({
      name: `${tokens} tokens a step, ${compute}`,
      cpuShare: of(turns, ({ together }) => together.cpuSeconds / together.seconds / threads),
    })),
  );
  return { bench: 'together', runs: count, cases };
}
