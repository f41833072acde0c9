// Sampling many prompts at once, this library beside transformers' generate: the same model, prompt ids and threads,
// greedy in float32, in turn within one run.
import { ensurePeers } from '../scripts/peers/ensure-venv.mjs';
import { contest, contestantPath, peerPath } from './process.mjs';
import { gigabytes, median, percent, rate, say, table, times } from './report.mjs';
import { warnWhereShared } from './train.mjs';
import { prepareWork } from './work.mjs';

/** Prompts at once and new tokens of each. */
const LOADS = [
  { prompts: 32, newTokens: 32 },
  { prompts: 40, newTokens: 16 },
];

export async function benchSample(options) {
  const { threads, rounds } = options;
  const python = await ensurePeers();
  const count = Math.max(...LOADS.map(({ prompts }) => prompts));
  const work = await prepareWork({ ...options, count, name: 'sample' });
  say(`prompts of ${work.data}, template ${work.template}, ${rounds} rounds`);
  const own = { name: 'mlit-native', start: [process.execPath, contestantPath('mlit-sample.mjs')] };
  const integers = {
    name: 'mlit-native int8',
    start: [...own.start, '--compute', 'int8'],
  };
  const peer = { name: 'transformers generate float32', start: [python, peerPath('sample.py')] };

  const loads = [];
  for (const load of LOADS) {
    const runs = { [own.name]: [], [integers.name]: [], [peer.name]: [] };
    for (let round = 0; round < rounds; round++) {
      for (const { name, start } of [own, integers, peer]) {
        const [command, ...args] = start;
        args.push(
          '--work',
          work.path,
          '--count',
          load.prompts,
          '--new-tokens',
          load.newTokens,
          '--threads',
          threads,
        );
        const result = await contest(command, args, { threads });
        runs[name].push(result);
        const told =
          result.failed ?? `${rate(result.tokensPerSecond)} new tokens/s, ${gigabytes(result.peakBytes)} GB`;
        say(`round ${round + 1}  ${load.prompts}×${load.newTokens}  ${name}: ${told}`);
      }
    }
    loads.push(summarize(load, runs, { own, integers, peer, threads }));
  }
  const { path: _, model: __, records: ___, ...about } = work;
  return { bench: 'sample', work: about, loads };
}

function summarize(load, runs, { own, integers, peer, threads }) {
  const ratios = runs[own.name].map((run, at) => run.tokensPerSecond / runs[peer.name][at].tokensPerSecond);
  const cpuRate = (run) => run.newTokens / run.cpuSeconds;
  const cpuRatios = runs[own.name].map((run, at) => cpuRate(run) / cpuRate(runs[peer.name][at]));
  const ownPeak = median(runs[own.name].map((run) => run.peakBytes));
  const contestants = [own, integers, peer].map(({ name }) => {
    const peakBytes = median(runs[name].map((run) => run.peakBytes));
    return {
      name,
      tokensPerSecond: median(runs[name].map((run) => run.tokensPerSecond)),
      peakBytes,
      memoryRatio: peakBytes && ownPeak ? peakBytes / ownPeak : undefined,
      cpuShare: median(runs[name].map((run) => run.cpuSeconds / run.seconds / threads)),
      newTokens: runs[name].find((run) => !run.failed)?.newTokens,
      runs: runs[name].map(({ responses: _, ...run }) => run),
    };
  });
  const agreement = shareOfEqual(runs[own.name][0].responses, runs[peer.name][0].responses);
  const ownRate = (c, rateOf) =>
    median(runs[own.name].map((run, at) => rateOf(run) / rateOf(runs[c.name][at])));
  const rows = contestants.map((c) => [
    c.name,
    c.newTokens ?? c.runs[0].failed,
    rate(c.tokensPerSecond),
    times(ownRate(c, (run) => run.tokensPerSecond)),
    times(ownRate(c, cpuRate)),
    gigabytes(c.peakBytes),
    times(c.memoryRatio),
    percent(c.cpuShare),
  ]);
  const title = `${load.prompts} prompts × ${load.newTokens} new tokens`;
  console.log(
    table([title, 'new tokens', 'tokens/s', 'ours is', 'by CPU', 'peak GB', 'to ours', 'CPU had'], rows),
  );
  if (agreement !== undefined) console.log(`Responses with the same ids: ${percent(agreement)}.`);
  warnWhereShared(contestants);
  console.log('');
  return { ...load, speedRatio: median(ratios), cpuRatio: median(cpuRatios), agreement, contestants };
}

/** Greedy answers of the same weights are the same but for ties within rounding: the proof that both did the same. */
function shareOfEqual(a, b) {
  if (!a || !b) return undefined;
  return a.filter((ids, at) => ids.join() === b[at]?.join()).length / a.length;
}
