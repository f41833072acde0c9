// Many adapters over one base at once, beside as many runs in turn.
import {
  gigabytesCell,
  markdownTable,
  medianOf,
  percentCell,
  rateCell,
  ratioCell,
  spreadOf,
} from '../words.mjs';

const ratios = ({ turns }, key) => spreadOf(turns.map((turn) => 1 / turn[key]));

function text(result) {
  const { runs, cases, settings } = result;
  return [
    `${runs} adapters in one process (\`--runs\`) against ${runs} processes in turn, half of them before and half after it: the whole of` +
      ' each, loading and writing included; *steps alone* leaves those out. Memory is that of the one process over the largest single run.',
    markdownTable(
      [
        'arithmetic, tokens of a step',
        'steps',
        'together is',
        'steps alone',
        'tokens/s',
        'peak GB',
        'of one run',
        'CPU had',
      ],
      cases.map((each) => [
        `${nameOf(each)}, ${each.tokens}`,
        each.steps,
        ratioCell(ratios(each, 'time')),
        ratioCell(ratios(each, 'steps')),
        rateCell(medianOf(each.turns, ({ together }) => together.tokens / together.trainSeconds)),
        gigabytesCell(medianOf(each.turns, ({ together }) => together.peakBytes)),
        `${rateCell(medianOf(each.turns, ({ memory }) => memory))}×`,
        percentCell(
          medianOf(each.turns, ({ together }) => together.cpuSeconds / together.seconds / settings.threads),
        ),
      ]),
    ),
  ];
}

const nameOf = ({ compute = 'f32' }) => (compute === 'int8' ? 'int8' : 'float32');

function summary({ runs, cases }) {
  return [...new Set(cases.map(({ tokens }) => tokens))].map((tokens) => {
    const of = (compute) => {
      const found = cases.find((each) => each.tokens === tokens && (each.compute ?? 'f32') === compute);
      return found && ratios(found, 'time');
    };
    return {
      what: `${runs} adapters, ${tokens} tokens a step`,
      peer: `${runs} runs of its own in turn`,
      float: of('f32'),
      int8: of('int8'),
    };
  });
}

export default { name: 'together', title: 'Many adapters at once', text, summary, figures: () => [] };
