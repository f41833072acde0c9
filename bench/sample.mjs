// Sampling many prompts at once, this library beside transformers' generate, llama.cpp and ONNX Runtime GenAI: the same weights, prompt ids and
// threads, greedy, in turn within one run. llama.cpp has them as float32, as Q8_0 and, where the model is such a file, as it is stored; ONNX Runtime
// as float32 and in int8.
import { existsSync, renameSync, rmSync } from 'node:fs';
import { basename } from 'node:path';
import { ensureLlamaCpp, ensureOrt, ensurePeers } from '../scripts/peers/ensure-venv.mjs';
import { exportFloat32, madeFrom } from './exports.mjs';
import { contest, contestantPath, peerPath } from './process.mjs';
import { gigabytes, median, percent, rate, say, table, times } from './report.mjs';
import { warnWhereShared } from './train.mjs';
import { prepareWork } from './work.mjs';

/** Prompts at once and new tokens of each. */
const LOADS = [
  { prompts: 32, newTokens: 32 },
  { prompts: 40, newTokens: 16 },
];
const OWN = 'mlit-native';

export async function benchSample(options) {
  const { threads, rounds, loads = LOADS } = options;
  const count = Math.max(...loads.map(({ prompts }) => prompts));
  const work = await prepareWork({ ...options, count, name: 'sample', forPeers: true });
  say(`prompts of ${work.data}, template ${work.template}, ${rounds} rounds`);
  const contestants = await contestantsOf(work);

  const results = [];
  for (const load of loads) {
    const going = contestants.map((each) => ({
      ...each,
      runs: each.reason ? [{ failed: each.reason }] : [],
    }));
    for (let round = 0; round < (load.rounds ?? rounds); round++) {
      for (const { name, start, runs } of going) {
        if (runs.some(({ failed }) => failed)) continue;
        const [command, ...args] = start;
        args.push('--work', work.path, '--count', load.prompts);
        args.push('--new-tokens', load.newTokens, '--threads', threads);
        const result = { round, ...(await contest(command, args, { threads })) };
        runs.push(result);
        const told =
          result.failed ?? `${rate(result.tokensPerSecond)} new tokens/s, ${gigabytes(result.peakBytes)} GB`;
        say(`round ${round + 1}  ${load.prompts}×${load.newTokens}  ${name}: ${told}`);
      }
    }
    results.push(summarize(load, going, threads));
  }
  const { path: _, file: __, records: ___, ...about } = work;
  return { bench: 'sample', work: about, loads: results };
}

/** Who takes part, by the command that starts each; or why one can't. */
async function contestantsOf(work) {
  const python = await ensurePeers();
  const own = [process.execPath, contestantPath('mlit-sample.mjs')];
  const stored = work.file.endsWith('.gguf') ? [[basename(work.file, '.gguf'), work.file]] : [];
  const node = [process.execPath, peerPath('node_llama_sample.mjs'), '--model'];
  return [
    { name: OWN, start: own },
    { name: `${OWN} int8`, start: [...own, '--compute', 'int8'] },
    { name: 'transformers generate float32', start: [python, peerPath('sample.py')] },
    ...(await llamaContestants(work, stored)),
    ...stored.map(([name, file]) => ({ name: `node-llama-cpp, ${name}`, start: [...node, file] })),
    ...(await ortContestants(work)),
  ];
}

async function llamaContestants(work, stored) {
  const { python, reason } = await ensureLlamaCpp();
  const names = ['F32', 'Q8_0', ...stored.map(([name]) => name)].map((name) => `llama.cpp batched, ${name}`);
  if (reason) return names.map((name) => ({ name, reason }));
  const float = await exportFloat32(work.file, 'gguf');
  const eight = madeFrom(work.file, 'q8_0.gguf');
  if (!existsSync(eight)) {
    const { failed } = await contest(python, [peerPath('llama_q8.py'), float, eight], { threads: 2 });
    if (failed) return names.map((name) => ({ name, reason: failed }));
  }
  return [float, eight, ...stored.map(([, file]) => file)].map((file, at) => ({
    name: names[at],
    start: [python, peerPath('llama_sample.py'), '--model', file],
  }));
}

/** Its own builder writes its models from the folder of float32 weights, once. */
async function ortContestants(work) {
  const { python, reason } = await ensureOrt();
  const folder = await exportFloat32(work.file, 'safetensors');
  const contestants = [];
  for (const [precision, shown] of [
    ['fp32', 'float32'],
    ['int8', 'int8'],
  ]) {
    const name = `ONNX Runtime GenAI, one after the other, ${shown}`;
    const out = madeFrom(work.file, `onnx-${precision}`);
    let failed = reason;
    if (!failed && !existsSync(out)) {
      const part = `${out}.part`;
      rmSync(part, { recursive: true, force: true });
      ({ failed } = await contest(python, [peerPath('ort_model.py'), folder, part, precision], {
        threads: 2,
      }));
      if (!failed) renameSync(part, out);
    }
    contestants.push(
      failed
        ? { name, reason: failed }
        : { name, start: [python, peerPath('ort_sample.py'), '--model', out] },
    );
  }
  return contestants;
}

function summarize(load, going, threads) {
  const own = going.find(({ name }) => name === OWN).runs;
  const ownPeak = median(own.map((run) => run.peakBytes));
  const cpuRate = (run) => run.newTokens / run.cpuSeconds;
  const ownRate = (runs, rateOf) =>
    median(runs.map((run) => rateOf(own.find(({ round }) => round === run.round) ?? {}) / rateOf(run)));
  const contestants = going.map(({ name, runs }) => {
    const good = runs.filter(({ failed }) => !failed);
    const peakBytes = median(good.map((run) => run.peakBytes));
    return {
      name,
      tokensPerSecond: median(good.map((run) => run.tokensPerSecond)),
      speedRatio: ownRate(good, (run) => run.tokensPerSecond),
      cpuRatio: ownRate(good, cpuRate),
      peakBytes,
      memoryRatio: peakBytes && ownPeak ? peakBytes / ownPeak : undefined,
      cpuShare: median(good.map((run) => run.cpuSeconds / run.seconds / threads)),
      newTokens: good[0]?.newTokens,
      sameAnswers: name === OWN ? undefined : shareOfEqual(own[0].responses, good[0]?.responses),
      runs: runs.map(({ responses: _, ...run }) => run),
    };
  });
  const rows = contestants.map((c) => [
    c.name,
    c.newTokens ?? c.runs[0].failed.slice(0, 40),
    rate(c.tokensPerSecond),
    times(c.speedRatio),
    times(c.cpuRatio),
    gigabytes(c.peakBytes),
    times(c.memoryRatio),
    percent(c.sameAnswers),
    percent(c.cpuShare),
  ]);
  const title = `${load.prompts} prompts × ${load.newTokens} new tokens`;
  const head = [
    title,
    'new tokens',
    'tokens/s',
    'ours is',
    'by CPU',
    'peak GB',
    'to ours',
    'same',
    'CPU had',
  ];
  console.log(table(head, rows));
  warnWhereShared(contestants);
  console.log('');
  return { ...load, contestants };
}

/** Greedy answers of the same weights are the same but for ties within rounding: the proof that both did the same. */
function shareOfEqual(a, b) {
  if (!a || !b) return undefined;
  return a.filter((ids, at) => ids.join() === b[at]?.join()).length / a.length;
}
