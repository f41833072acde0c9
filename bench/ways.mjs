// What each way of training costs beside plain LoRA, in one run: the answer is ratios of time and of memory, by which a user
// chooses between dropout, recompute levels, a bfloat16 base and full tuning.
import { contest, contestantPath } from './process.mjs';
import { gigabytes, median, percent, rate, say, table, times } from './report.mjs';
import { warnWhereShared } from './train.mjs';
import { prepareWork } from './work.mjs';

const BATCH = 16;
const REFERENCE = { name: 'LoRA, float32', flags: [] };
const OTHERS = [
  { name: 'dropout 0.05', flags: ['--dropout', '0.05'] },
  { name: 'recompute activations', flags: ['--recompute', 'activations'] },
  { name: 'recompute layer', flags: ['--recompute', 'layer'] },
  { name: 'bfloat16 base', flags: ['--base-dtype', 'bf16'] },
  { name: 'full tuning', flags: ['--full'] },
];

/** Every way between two runs of the reference, which it is divided by; `rounds` parts of the records, as in bench train. */
export async function benchWays(options) {
  const { threads, rounds, rank } = options;
  const work = await prepareWork({ ...options, count: options.records, name: 'ways' });
  say(`${work.records.length} records of ${work.data}, template ${work.template}, ${rounds} rounds`);
  const results = new Map([REFERENCE, ...OTHERS].map(({ name }) => [name, []]));

  const runOne = async ({ name, flags }, round) => {
    const first = Math.round((round * work.records.length) / rounds);
    const end = Math.round(((round + 1) * work.records.length) / rounds);
    const part = ['--work', work.path, '--first', first, '--count', end - first];
    const common = ['--batch', BATCH, '--threads', threads, '--rank', rank, '--alpha', 2 * rank];
    const args = [contestantPath('mlit-train.mjs'), ...part, ...common, ...flags];
    const result = { round, ...(await contest(process.execPath, args, { threads })) };
    say(`round ${round + 1}  ${name}: ${result.failed ?? `${rate(result.tokensPerSecond)} tokens/s`}`);
    if (!result.failed) results.get(name).push(result);
    return result;
  };

  for (let round = 0; round < rounds; round++) {
    let before = await runOne(REFERENCE, round);
    for (const way of OTHERS) {
      const result = await runOne(way, round);
      const after = await runOne(REFERENCE, round);
      result.timeRatio = (2 * result.seconds) / (before.seconds + after.seconds);
      before = after;
    }
  }
  return summarize(results, work, threads);
}

function summarize(results, work, threads) {
  const reference = results.get(REFERENCE.name);
  const peakOf = (runs) => median(runs.map((run) => run.peakBytes));
  const ways = [...results].map(([name, runs]) => {
    const ratios = runs.map((run) => run.timeRatio).filter((ratio) => ratio !== undefined);
    return {
      name,
      tokensPerSecond: median(runs.map((run) => run.tokensPerSecond)),
      timeRatio: ratios.length > 0 ? median(ratios) : 1,
      timeRatios: ratios,
      peakBytes: peakOf(runs),
      memoryRatio: peakOf(runs) / peakOf(reference),
      cpuShare: median(runs.map((run) => run.cpuSeconds / run.seconds / threads)),
      runs,
    };
  });
  const spread = (ratios) =>
    ratios.length > 0 ? `${times(Math.min(...ratios))}–${times(Math.max(...ratios))}` : '';
  console.log(
    table(
      ['', 'tokens/s', 'time to LoRA', 'rounds', 'peak GB', 'memory to LoRA', 'CPU had'],
      ways.map((way) => [
        way.name,
        rate(way.tokensPerSecond),
        times(way.timeRatio),
        spread(way.timeRatios),
        gigabytes(way.peakBytes),
        times(way.memoryRatio),
        percent(way.cpuShare),
      ]),
    ),
  );
  warnWhereShared(ways);
  const { path: _, file: __, records: ___, ...about } = work;
  return { bench: 'ways', work: about, ways };
}
