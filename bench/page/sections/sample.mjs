// Sampling many prompts at once: prefill and decode apart, beside generate and llama.cpp on files of the same weights.
import {
  costRatio,
  gigabytesCell,
  markdownTable,
  medianOf,
  percentCell,
  rateCell,
  rateRatio,
  ratioCell,
  roundRatios,
  spreadOf,
} from '../words.mjs';

const FLOAT = 'mlit-native';
const INT8 = 'mlit-native int8';

const whole = (run) => run.tokensPerSecond;
const prefill = (run) => run.promptTokens / run.prefillSeconds;
const decode = (run) => (run.newTokens - run.prompts) / (run.seconds - run.prefillSeconds);
const peak = (run) => run.peakBytes;

function rowsOf({ contestants }, threads) {
  const runsOf = (name) => contestants.find((each) => each.name === name)?.runs ?? [];
  const [float, int8] = [runsOf(FLOAT), runsOf(INT8)];
  return contestants.map(({ name, runs, sameAnswers }) => {
    const over = (own, pick, divide = rateRatio) => spreadOf(roundRatios(own, runs, pick, divide));
    return {
      name,
      isPeer: !name.startsWith('mlit-native'),
      failed: runs.every((run) => run.failed) ? (runs[0]?.failed ?? 'did not run') : undefined,
      rate: medianOf(runs, whole),
      prefill: medianOf(runs, prefill),
      decode: medianOf(runs, decode),
      float: over(float, whole),
      int8: over(int8, whole),
      floatPrefill: over(float, prefill),
      int8Prefill: over(int8, prefill),
      floatDecode: over(float, decode),
      int8Decode: over(int8, decode),
      floatMemory: over(float, peak, costRatio),
      peakBytes: medianOf(runs, peak),
      cpuShare: medianOf(runs, (run) => run.cpuSeconds / run.seconds / threads),
      sameAnswers,
    };
  });
}

const titleOf = ({ prompts, newTokens }) => `${prompts} prompts × ${newTokens} new tokens`;
const single = (spread) => spread && { ...spread, rounds: 1 };

function text(result) {
  return [
    `Greedy, all prompts of a load at once, the same ids for everybody (${result.work.data}). *Prefill* is prompt tokens a second until every` +
      ' prompt has its first new token, *decode* the new tokens a second from there on, *tokens/s* the new tokens over the whole. llama.cpp' +
      ' is timed as its own batched bench is: the clock runs in its decode calls alone, so that picking the next token costs it nothing.',
    ...result.loads.flatMap((load) => {
      const rows = rowsOf(load, result.settings.threads);
      const only = (row, spread) => (row.isPeer ? ratioCell(spread) : '');
      return [
        `### ${titleOf(load)}`,
        markdownTable(
          [
            '',
            'tokens/s',
            'float32 here is',
            'int8 here is',
            'prefill',
            'decode',
            'peak GB',
            'same answers',
            'CPU had',
          ],
          rows.map((row) => [
            row.name,
            row.failed ?? rateCell(row.rate),
            only(row, row.float),
            only(row, row.int8),
            rateCell(row.prefill),
            rateCell(row.decode),
            gigabytesCell(row.peakBytes),
            percentCell(row.sameAnswers),
            percentCell(row.cpuShare),
          ]),
        ),
        markdownTable(
          ['here over', 'prefill: float32', 'int8', 'decode: float32', 'int8', 'memory: float32'],
          rows
            .filter((row) => row.isPeer && row.failed === undefined)
            .map((row) => [
              row.name,
              ratioCell(row.floatPrefill),
              ratioCell(row.int8Prefill),
              ratioCell(row.floatDecode),
              ratioCell(row.int8Decode),
              ratioCell(single(row.floatMemory)),
            ]),
        ),
      ];
    }),
  ];
}

function summary(result) {
  return result.loads.flatMap((load) =>
    rowsOf(load, result.settings.threads)
      .filter((row) => row.isPeer && row.failed === undefined)
      .map((row) => ({
        what: `sampling, ${titleOf(load)}`,
        peer: row.name,
        float: row.float,
        int8: row.int8,
      })),
  );
}

/** Words that fit under a plot. */
const shortName = (name) => name.replace('transformers ', '').replace(' batched', '');

function figures(result) {
  const load = result.loads[0];
  if (load === undefined) return [];
  const groups = rowsOf(load, result.settings.threads)
    .filter((row) => row.isPeer && row.failed === undefined)
    .flatMap(({ name, float, int8 }) => [
      ...(float ? [{ group: shortName(name), series: 'float32 here', value: float }] : []),
      ...(int8 ? [{ group: shortName(name), series: 'int8 here', value: int8 }] : []),
    ]);
  if (groups.length === 0) return [];
  return [
    {
      id: 'sample',
      kind: 'pairs',
      title: `Sampling, ${titleOf(load)}: new tokens a second here over those of each peer`,
      caption: 'Medians of the rounds with the least and the greatest. Under the line the peer is faster.',
      x: 'peer',
      y: 'times as fast',
      reference: 1,
      groups,
    },
  ];
}

export default { name: 'sample', title: 'Sampling', text, summary, figures };
