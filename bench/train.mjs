// Training, this library beside transformers + peft: the same model, token ids, adapter and threads, in turn within one
// run, so that what disturbs the machine disturbs everybody. The answer is ratios; rates alone are a machine's business.
import { ensurePeers } from '../scripts/peers/ensure-venv.mjs';
import { totalFlops, trainingFlops } from './flops.mjs';
import { nativeGemmRates } from './gemm.mjs';
import { availableBytes, contest, contestantPath, peerPath } from './process.mjs';
import { gigabytes, median, percent, rate, say, table, times } from './report.mjs';
import { prepareWork } from './work.mjs';

const OWN = { name: 'mlit-native, 16 records a step', kind: 'own', batch: 16 };
const OWN_INT8 = {
  name: 'mlit-native int8, 16 records a step',
  kind: 'own',
  batch: 16,
  more: ['--compute', 'int8'],
};
const OWN_SMALL = { name: 'mlit-native, 4 records a step', kind: 'own', batch: 4 };
const OWN_FULL = { ...OWN, more: ['--full'] };
const peer = (dtype, batch) => ({
  name: `transformers + peft ${dtype}, batch ${batch}`,
  kind: 'peer',
  dtype,
  batch,
});
const FULL = { ...peer('float32', 4), name: 'transformers float32, batch 4', more: ['--full'] };
const USUAL = [peer('float32', 4), peer('bfloat16', 4)];
// In the first round alone: compiling, and warming up by a whole pass, take longer than what is measured.
const OTHERS = [
  {
    ...peer('float32', 4),
    name: 'transformers + peft float32, batch 4, torch.compile',
    more: ['--compile'],
    once: true,
    timeoutSeconds: 240,
  },
  { name: 'trl float32, packed rows of 4 records', kind: 'trl', batch: 4, once: true },
];
const OTHER_BATCHES = [1, 2, 8];

/**
 * Who takes part: `own` is what everybody is divided by; it runs between and after the peers, `around` before and after them, `before` once a
 * round. Other batches of the first peer are tried in the first round.
 */
const LINEUPS = {
  lora: {
    own: OWN,
    around: [OWN_INT8],
    before: [OWN_SMALL],
    peers: [...USUAL, ...OTHERS],
    batches: OTHER_BATCHES,
  },
  full: { own: OWN_FULL, around: [], before: [], peers: [FULL], batches: [] },
  shape: { own: OWN, around: [OWN_INT8], before: [], peers: [USUAL[0]], batches: [] },
};
// Logits, their log-softmax and gradients: seen as copies of [tokens, vocabulary] beyond the weights.
const SAFETY = 1.15;

/**
 * Everything that one run needs; its result goes to the table and to the JSON file alike.
 * @param {{ lineup?: keyof typeof LINEUPS, prepare?: typeof prepareWork }} options and those of the command line
 */
export async function benchTrain(options) {
  const { threads, rounds, rank, lineup = 'lora', prepare = prepareWork } = options;
  const { own, around, before, peers: invited, batches } = LINEUPS[lineup];
  const python = await ensurePeers();
  const work = await prepare({ ...options, count: options.records, name: 'train', forPeers: true });
  const bounds = Array.from({ length: rounds + 1 }, (_, at) =>
    Math.round((at * work.records.length) / rounds),
  );
  say(`${work.records.length} records of ${work.data}, template ${work.template}, ${rounds} rounds`);
  const gemm = { own: {}, torch: {} };
  keepBest(gemm.own, await nativeGemmRates(threads));
  const results = new Map();

  const runOne = async (contestant, round) => {
    const slice = ['--first', bounds[round], '--count', bounds[round + 1] - bounds[round]];
    const common = [
      '--work',
      work.path,
      '--batch',
      contestant.batch,
      '--threads',
      threads,
      '--rank',
      rank,
      '--alpha',
      2 * rank,
    ];
    const start = {
      own: [process.execPath, contestantPath('mlit-train.mjs')],
      peer: [python, peerPath('train.py'), '--dtype', contestant.dtype],
      trl: [python, peerPath('trl_train.py')],
    }[contestant.kind];
    const [command, ...args] = [...start, ...(contestant.more ?? []), ...common, ...slice];
    const result = {
      round,
      ...(await contest(command, args, { threads, timeoutSeconds: contestant.timeoutSeconds })),
    };
    keepBest(gemm.torch, result);
    const told =
      result.failed ?? `${rate(result.tokensPerSecond)} tokens/s, ${gigabytes(result.peakBytes)} GB`;
    say(`round ${round + 1}  ${contestant.name}: ${told}`);
    const entry = results.get(contestant.name) ?? { contestant, runs: [] };
    entry.runs.push(result);
    results.set(contestant.name, entry);
    return result;
  };

  let peers = [...invited];
  for (let round = 0; round < rounds; round++) {
    for (const contestant of [...before, ...around]) await runOne(contestant, round);
    for (const [at, contestant] of peers.filter(({ once }) => !once || round === 0).entries()) {
      // Before every second one: what the machine does meanwhile is seen often enough, and the peers take long.
      if (at % 2 === 0) await runOne(own, round);
      const { failed } = await runOne(contestant, round);
      if (failed) peers = peers.filter((each) => each !== contestant);
    }
    if (round === 0) peers.push(...(await findBestBatch(invited[0], batches, results, runOne)));
    for (const contestant of [own, ...around]) await runOne(contestant, round);
  }
  keepBest(gemm.own, await nativeGemmRates(threads));
  return summarize({ options, own, isFull: lineup === 'full', work, bounds, gemm, results });
}

/** The larger of what was seen so far and of what is seen now. */
function keepBest(rates, seen) {
  for (const name of ['gemmRate', 'gemmCpuRate']) {
    if (seen[name] > (rates[name] ?? 0)) rates[name] = seen[name];
  }
}

/** The first round's rates at other batch sizes; the fastest goes on, unless it is the usual one. */
async function findBestBatch(first, batches, results, runOne) {
  const usual = results.get(first.name).runs[0];
  let best = { contestant: first, tokensPerSecond: usual.tokensPerSecond ?? 0 };
  for (const contestant of batches.map((batch) => peer('float32', batch))) {
    const needed = SAFETY * (usual.peakBytes ?? 0) * (contestant.batch / first.batch);
    if (contestant.batch > first.batch && needed > availableBytes()) {
      const failed = `left out: needs about ${gigabytes(needed)} GB, ${gigabytes(availableBytes())} GB are there`;
      say(`         ${contestant.name} ${failed}`);
      results.set(contestant.name, { contestant, runs: [{ round: 0, failed }] });
      continue;
    }
    const { tokensPerSecond = 0 } = await runOne(contestant, 0);
    if (tokensPerSecond > best.tokensPerSecond) best = { contestant, tokensPerSecond };
  }
  return best.contestant === first ? [] : [best.contestant];
}

function summarize({ options, own, isFull, work, bounds, gemm, results }) {
  const sliceFlops = bounds.slice(1).map((end, round) => {
    const records = work.records.slice(bounds[round], end);
    return totalFlops(trainingFlops(work.config, { rank: options.rank, records, isFull }));
  });
  const best = {};
  keepBest(best, gemm.own);
  keepBest(best, gemm.torch);
  const share = (flops, rate) => (flops && rate ? flops / rate : undefined);
  const ownRuns = results.get(own.name).runs.filter((run) => !run.failed);
  const ownRate = (round) =>
    median(ownRuns.filter((run) => run.round === round).map((run) => run.tokensPerSecond));
  const ownCpuRate = (round) =>
    median(ownRuns.filter((run) => run.round === round).map((run) => run.tokens / run.cpuSeconds));
  const ownPeak = median(ownRuns.map((run) => run.peakBytes));

  const contestants = [...results.values()].map(({ contestant, runs }) => {
    const good = runs.filter((run) => !run.failed);
    const flopRate = median(good.map((run) => sliceFlops[run.round] / run.seconds));
    const flopCpuRate = median(good.map((run) => (sliceFlops[run.round] / run.cpuSeconds) * options.threads));
    const peak = good.length > 0 ? Math.max(...good.map((run) => run.peakBytes)) : undefined;
    return {
      name: contestant.name,
      tokensPerSecond: median(good.map((run) => run.tokensPerSecond)),
      speedRatio: median(good.map((run) => ownRate(run.round) / run.tokensPerSecond)),
      cpuRatio: median(good.map((run) => ownCpuRate(run.round) / (run.tokens / run.cpuSeconds))),
      peakBytes: peak,
      peakStepBytes: median(good.map((run) => run.peakStepBytes)),
      memoryRatio: peak && ownPeak ? peak / ownPeak : undefined,
      flopRate,
      gemmShare: share(flopRate, best.gemmRate),
      gemmCpuShare: share(flopCpuRate, best.gemmCpuRate),
      cpuShare: median(good.map((run) => run.cpuSeconds / run.seconds / options.threads)),
      baseLoss: good.map((run) => [run.round, run.baseLoss]),
      runs,
    };
  });
  const { path: _, file: __, records, ...about } = work;
  const tokens = records.reduce((sum, record) => sum + record.length, 0);
  const supervised = records.reduce((sum, record) => sum + record.supervised, 0);
  const flops = trainingFlops(work.config, { rank: options.rank, records, isFull });
  printTable(contestants, gemm, { tokens, supervised, flops });
  return {
    bench: 'train',
    work: { ...about, tokens, supervised, flops },
    gemm,
    contestants,
  };
}

function printTable(contestants, gemm, { tokens, supervised, flops }) {
  const rows = contestants.map((c) => [
    c.name,
    rate(c.tokensPerSecond),
    times(c.speedRatio),
    times(c.cpuRatio),
    gigabytes(c.peakBytes),
    times(c.memoryRatio),
    rate(c.flopRate && c.flopRate / 1e9),
    percent(c.gemmShare),
    percent(c.gemmCpuShare),
    percent(c.cpuShare),
    c.baseLoss[0]?.[1]?.toFixed(4) ?? c.runs[0].failed ?? '–',
  ]);
  const head = [
    '',
    'tokens/s',
    'ours is',
    'by CPU',
    'peak GB',
    'to ours',
    'GFLOP/s',
    'of GEMM',
    'by CPU',
    'CPU had',
    'base loss',
  ];
  console.log(table(head, rows));
  const giga = (value) => rate(value && value / 1e9);
  console.log(
    `\n${tokens} real tokens, ${supervised} supervised, ${rate(totalFlops(flops) / tokens / 1e6)} MFLOP a token.` +
      ` Big square float32 product: own ${giga(gemm.own.gemmRate)}, torch ${giga(gemm.torch.gemmRate)} GFLOP/s.`,
  );
  warnWhereShared(contestants);
  checkBaseLosses(contestants);
}

/** A contestant that did not get its processors says little about itself. */
export function warnWhereShared(contestants) {
  const disturbed = contestants.filter(({ cpuShare }) => cpuShare !== undefined && cpuShare < 0.85);
  if (disturbed.length === 0) return;
  console.log(
    `Note: the machine was shared while this ran (${disturbed.map((c) => c.name).join('; ')} had under 85 % of the` +
      ' processor time of its threads); run it again on a quiet one.',
  );
}

/** All float32 contestants must see the same loss with a fresh adapter, else they did not do the same work. */
function checkBaseLosses(contestants) {
  const exact = contestants
    .filter(({ name }) => !/bfloat16|int8|^trl/.test(name))
    .flatMap(({ baseLoss }) => baseLoss);
  for (const [round, loss] of exact) {
    const reference = exact.find(([other]) => other === round)[1];
    if (Math.abs(loss - reference) <= 2e-3 * reference) continue;
    console.log(
      `Warning: base losses of round ${round + 1} differ (${reference} and ${loss}): not the same work.`,
    );
    process.exitCode = 1;
    return;
  }
}
