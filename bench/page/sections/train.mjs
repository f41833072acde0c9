// Training beside everybody: real tokens a second, memory, and both of this library's arithmetics over each peer, round by round. Three sections
// are told so: LoRA, full tuning, and LoRA at another model's shape.
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

const FLOAT = 'mlit-native, 16 records a step';
const INT8 = 'mlit-native int8, 16 records a step';

/** Sums of float32 in other orders differ by less. */
const SAME_LOSS = 2e-3;

const rateOf = (run) => run.tokensPerSecond;
const peakOf = (run) => run.peakBytes;

function rowsOf({ contestants, settings }) {
  const runsOf = (name) => contestants.find((each) => each.name === name)?.runs ?? [];
  const [float, int8] = [runsOf(FLOAT), runsOf(INT8)];
  return contestants.map(({ name, runs, gemmShare }) => ({
    name,
    isPeer: !name.startsWith('mlit-native'),
    failed: runs.every((run) => run.failed) ? runs[0]?.failed : undefined,
    rate: medianOf(runs, rateOf),
    float: spreadOf(roundRatios(float, runs, rateOf, rateRatio)),
    int8: spreadOf(roundRatios(int8, runs, rateOf, rateRatio)),
    peakBytes: medianOf(runs, peakOf),
    floatMemory: spreadOf(roundRatios(float, runs, peakOf, costRatio)),
    int8Memory: spreadOf(roundRatios(int8, runs, peakOf, costRatio)),
    gemmShare,
    cpuShare: medianOf(runs, (run) => run.cpuSeconds / run.seconds / settings.threads),
    compileSeconds: medianOf(runs, (run) => run.compileSeconds),
  }));
}

/** By how much the losses with a fresh adapter differ at most among those who did the same work in float32; undefined where none was told. */
function lossDifference(contestants) {
  const exact = contestants
    .filter(({ name }) => !/bfloat16|int8|^trl/.test(name))
    .flatMap(({ runs }) => runs);
  const differences = exact
    .filter(({ baseLoss }) => baseLoss !== undefined)
    .map(({ round, baseLoss }) => {
      const reference = exact.find((run) => run.round === round && run.baseLoss !== undefined).baseLoss;
      return Math.abs(baseLoss / reference - 1);
    });
  return differences.length > 1 ? Math.max(...differences) : undefined;
}

const only = (row, spread) => (row.isPeer ? ratioCell(spread) : '');
const single = (spread) => spread && { ...spread, rounds: 1 };

const workOf = ({ work, settings }) =>
  `${work.tokens} real tokens of ${work.records ?? settings.records} records (${work.data}, at most ${settings.maxLength} tokens each),` +
  ` ${work.supervised} of them supervised, in ${settings.rounds} rounds.`;

function text(intro, result) {
  const rows = rowsOf(result);
  const { work, gemm } = result;
  const table = markdownTable(
    [
      '',
      'real tokens/s',
      'float32 here is',
      'int8 here is',
      'peak GB',
      'memory: float32 here',
      'int8 here',
      'CPU had',
    ],
    rows.map((row) => [
      row.name,
      row.failed ?? rateCell(row.rate),
      only(row, row.float),
      only(row, row.int8),
      gigabytesCell(row.peakBytes),
      only(row, single(row.floatMemory)),
      only(row, single(row.int8Memory)),
      percentCell(row.cpuShare),
    ]),
  );
  const float = rows.find(({ name }) => name === FLOAT);
  const flops = work.flops.body + work.flops.attention + work.flops.head;
  const difference = lossDifference(result.contestants);
  const compiled = rows.find(({ compileSeconds }) => compileSeconds !== undefined);
  return [
    intro(result),
    table,
    `A token asks for ${rateCell(flops / work.tokens / 1e6)} MFLOP; a big square float32 product runs at ${rateCell((gemm.own.gemmRate ?? gemm.torch.gemmRate) / 1e9)} GFLOP/s` +
      ` here and at ${rateCell(gemm.torch.gemmRate / 1e9)} in torch. Float32 training reaches ${percentCell(float?.gemmShare)} of the faster of the two` +
      ` (${percentCell(float?.gemmCpuShare)} by processor time).`.replace(' (– by processor time)', ''),
    ...(difference === undefined
      ? []
      : [
          `With a fresh adapter the losses of all float32 contestants (trl, whose packed records see each other, left out) differ by` +
            ` ${(100 * difference).toFixed(3)} % at most: ${difference <= SAME_LOSS ? 'they did the same work.' : '**they did not do the same work.**'}`,
        ]),
    ...(compiled
      ? [
          `torch.compile took ${rateCell(compiled.compileSeconds)} s (median) before its first step; that is not in its rate.`,
        ]
      : []),
  ];
}

function summary(what, result) {
  return rowsOf(result)
    .filter((row) => row.isPeer && row.failed === undefined)
    .map((row) => ({
      what: `${what}, tokens/s`,
      peer: row.name,
      float: row.float,
      int8: row.int8,
    }))
    .concat(
      rowsOf(result)
        .filter((row) => row.isPeer && row.failed === undefined && row.name.endsWith('float32, batch 4'))
        .map((row) => ({
          what: `${what}, peak memory`,
          peer: row.name,
          float: single(row.floatMemory),
          int8: single(row.int8Memory),
        })),
    );
}

/** Words that fit under a plot; `×4` is a batch of four. */
const shortName = (name) =>
  name.replace('transformers + ', '').replace(', batch ', ' ×').replace(' rows of 4 records', '');

function figures(result) {
  const groups = rowsOf(result)
    .filter((row) => row.isPeer && row.failed === undefined)
    .flatMap(({ name, float, int8 }) => [
      ...(float ? [{ group: shortName(name), series: 'float32 here', value: float }] : []),
      ...(int8 ? [{ group: shortName(name), series: 'int8 here', value: int8 }] : []),
    ]);
  if (groups.length === 0) return [];
  return [
    {
      id: 'train',
      kind: 'pairs',
      title: 'Training: real tokens a second here over those of each peer',
      caption: 'Medians of the rounds with the least and the greatest. Under the line the peer is faster.',
      x: 'peer',
      y: 'times as fast',
      reference: 1,
      groups,
    },
  ];
}

const section = ({ name, title, what, intro, figures = () => [] }) => ({
  name,
  title,
  text: (result) => text(intro, result),
  summary: (result) => summary(what, result),
  figures,
});

export const train = section({
  name: 'train',
  title: 'LoRA training',
  what: 'training',
  intro: (result) =>
    `LoRA of rank ${result.settings.rank} on all linear layers: ${workOf(result)}` +
    ' Padding is not work; a peer that packs is counted by the same real tokens.',
  figures,
});

export const full = section({
  name: 'full',
  title: 'Full tuning',
  what: 'full tuning',
  intro: (result) =>
    `Every weight is trained, in float32, with AdamW: ${workOf(result)} Here 16 records make a step, there 4, as its users have it:` +
    ' the optimiser, which passes over all weights, runs four times as often there.',
});

export const smol = section({
  name: 'smol',
  title: 'LoRA training at SmolLM2-135M’s shape',
  what: 'training, SmolLM2 shape',
  intro: (result) =>
    `Random weights of that model's shape; LoRA of rank ${result.settings.rank} on all linear layers: ${workOf(result)}` +
    " The records are those of the first part, Gemma's token ids folded into the smaller vocabulary.",
});
