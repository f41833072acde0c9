// How this library's own training goes with what users turn: length of records, tokens of a micro-batch, rank, threads, adapters at once; in
// float32 and int8. One setting is turned at a time, from the same middle; every point is a process of its own, the rounds go over all points.
import { contest, contestantPath } from './process.mjs';
import { gigabytes, median, percent, rate, say, table } from './report.mjs';
import { findData, prepareWork } from './work.mjs';

const COMPUTES = ['f32', 'int8'];
/** The middle: short records, for there is much to run. */
const LENGTH = 128;
/** Tokens that a point trains on, at most: its records are as many as fit. */
const TOKENS = 1024;

const AXES = [
  { id: 'length', title: 'tokens of a record at most', values: [64, 128, 256, 512], quick: [64] },
  { id: 'micro', title: 'tokens of a micro-batch', values: [128, 256, 1024], quick: [128] },
  { id: 'rank', title: 'rank', values: [4, 16, 64], quick: [4] },
  { id: 'threads', title: 'threads', values: [1, 2], quick: [1] },
  { id: 'adapters', title: 'adapters at once, 96 tokens a step each', values: [1, 4, 8], quick: [2] },
];

/** @param {{ isQuick?: boolean }} options one point an axis, where the question is only whether it runs */
export async function benchScaling(options) {
  const { rounds, isQuick = false } = options;
  const works = new Map();
  const workOf = async (maxLength) => {
    const count = Math.max(2, TOKENS / maxLength / (isQuick ? 8 : 1));
    const made =
      works.get(maxLength) ??
      (await prepareWork({ ...options, maxLength, count, name: `scaling-${maxLength}` }));
    works.set(maxLength, made);
    return made;
  };
  const data = await findData(options.data);
  const axes = [];
  for (const { id, title, values, quick } of AXES) {
    const points = [];
    for (const value of isQuick
      ? quick
      : values.filter((each) => id !== 'threads' || each <= options.threads)) {
      const work = await workOf(id === 'length' ? value : LENGTH);
      for (const compute of COMPUTES)
        points.push({
          value,
          compute,
          args: argumentsOf(id, { value, compute, work, data, options }),
          runs: [],
        });
    }
    axes.push({ id, title, points });
  }
  for (let round = 0; round < rounds; round++) {
    for (const { id, title, points } of axes) {
      for (const { value, compute, args, runs } of points) {
        const threads = id === 'threads' ? value : options.threads;
        const result = { round, ...(await contest(process.execPath, args, { threads })) };
        if (id === 'adapters' && !result.failed) result.tokensPerSecond = result.tokens / result.trainSeconds;
        runs.push(result);
        say(
          `round ${round + 1}  ${title} ${value}, ${compute}: ${result.failed ?? `${rate(result.tokensPerSecond)} tokens/s`}`,
        );
      }
    }
  }
  return summarize(axes, options.threads);
}

function argumentsOf(id, { value, compute, work, data, options }) {
  const threads = id === 'threads' ? value : options.threads;
  const rank = id === 'rank' ? value : options.rank;
  const common = ['--threads', threads, '--rank', rank, '--compute', compute];
  if (id === 'adapters') {
    const shape = ['--data', data, '--tokens', 96, '--steps', 4, '--first', 0, '--count', value];
    return [contestantPath('mlit-runs.mjs'), '--model', options.model, ...shape, ...common];
  }
  const micro = id === 'micro' ? ['--micro-tokens', value] : [];
  return [
    contestantPath('mlit-train.mjs'),
    '--work',
    work.path,
    '--batch',
    16,
    '--alpha',
    2 * rank,
    ...micro,
    ...common,
  ];
}

function summarize(axes, threads) {
  const share = (runs, given) => median(runs.map((run) => run.cpuSeconds / run.seconds / given));
  const told = axes.map(({ id, title, points }) => ({
    id,
    title,
    points: points.map(({ value, compute, runs }) => ({
      name: `${title} ${value}, ${compute}`,
      value,
      compute,
      // Of adapters at once the whole process is measured, its loading on one thread included: that tells nothing of the machine.
      cpuShare: id === 'adapters' ? undefined : share(runs, id === 'threads' ? value : threads),
      runs,
    })),
  }));
  for (const { title, points } of told) {
    const rows = points.map(({ value, compute, cpuShare, runs }) => [
      String(value),
      compute,
      rate(median(runs.map((run) => run.tokensPerSecond))),
      gigabytes(median(runs.map((run) => run.peakBytes))),
      percent(cpuShare),
    ]);
    console.log(`${table([title, 'compute', 'tokens/s', 'peak GB', 'CPU had'], rows)}\n`);
  }
  return { bench: 'scaling', axes: told };
}
