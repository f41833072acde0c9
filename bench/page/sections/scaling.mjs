// How this library's training goes with the length of sequences, tokens of a micro-batch, rank, threads and adapters at once. No peer takes
// part: it says where its own rate comes from.
import { gigabytesCell, markdownTable, medianOf, percentCell, rateCell, spreadOf } from '../words.mjs';

const NAMES = { f32: 'float32', int8: 'int8' };
const rates = (runs) => spreadOf(runs.map(({ tokensPerSecond }) => tokensPerSecond));

function text({ axes }) {
  return [
    'Real tokens a second of single settings, everything else being the default: medians of the rounds, with the least and the greatest.',
    ...axes.flatMap(({ title, points }) => [
      `### By ${title}`,
      markdownTable(
        ['', 'arithmetic', 'tokens/s', 'rounds', 'peak GB', 'CPU had'],
        points.map(({ value, compute, cpuShare, runs }) => {
          const spread = rates(runs);
          return [
            value,
            NAMES[compute],
            spread ? rateCell(spread.value) : (runs[0]?.failed ?? '–'),
            spread && spread.rounds > 1 ? `${rateCell(spread.low)}–${rateCell(spread.high)}` : '–',
            gigabytesCell(medianOf(runs, (run) => run.peakBytes)),
            percentCell(cpuShare),
          ];
        }),
      ),
    ]),
  ];
}

function figures({ axes }) {
  return axes.map(({ id, title, points }) => ({
    id: `scaling-${id}`,
    kind: 'curve',
    title: `Training by ${title}`,
    caption: 'Real tokens a second; medians of the rounds, bands from the least to the greatest.',
    x: title,
    y: 'real tokens/s',
    xIsOrdinal: true,
    series: Object.keys(NAMES)
      .map((compute) => ({
        name: NAMES[compute],
        points: points
          .filter((point) => point.compute === compute && rates(point.runs))
          .map(({ value, runs }) => ({ x: value, y: rates(runs) })),
      }))
      .filter((series) => series.points.length > 0),
  }));
}

export default { name: 'scaling', title: 'Scaling', text, summary: () => [], figures };
