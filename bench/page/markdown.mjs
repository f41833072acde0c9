// docs/benchmarks.md from raw results alone: what every suite said, where it was said, and what is missing with its reason.

import sample from './sections/sample.mjs';
import scaling from './sections/scaling.mjs';
import start from './sections/start.mjs';
import together from './sections/together.mjs';
import { full, smol, train } from './sections/train.mjs';
import { markdownTable, ratioCell, WORSE } from './words.mjs';

export const SECTIONS = [train, full, smol, sample, together, start, scaling];

/** A suite's result, or why there is none. */
function outcomeOf(section, results) {
  const result = results[section.name];
  if (result === undefined) return { reason: 'not run yet' };
  return result.leftOut === undefined ? { result } : { reason: result.leftOut };
}

/**
 * @param {Record<string, object | undefined>} results what the suites wrote, by their names
 * @returns {{ markdown: string, figures: import('../../lib/index').ResultFigure[] }} the page, and the figures that it names
 */
export function benchmarkPage(results) {
  const parts = SECTIONS.map((section) => ({ section, ...outcomeOf(section, results) }));
  const done = parts.filter(({ result }) => result !== undefined);
  const figures = done.flatMap(({ section, result }) => section.figures(result));
  const blocks = [
    '# Benchmarks',
    'Written by `npm run bench -- page` from the raw results in [bench/results](../bench/results); not edited by hand.' +
      ' [bench/README.md](../bench/README.md) says how everything is measured.',
    `Every ratio says how many times better this library is than the peer of its row, round by round in one run: the median, and in parentheses` +
      ` the least and the greatest. ${WORSE} marks what is worse here than there. Figures belong to one machine at one time; ratios travel better.`,
    ...(done.some(({ result }) => result.quick)
      ? [
          '**Taken with `--quick`: sizes so small that these figures mean nothing. They show that the command works.**',
        ]
      : []),
    ...summaryBlocks(done),
    ...parts.flatMap(({ section, result, reason }) => [
      `## ${section.title}`,
      ...(result === undefined
        ? [`Left out: ${reason}`]
        : [...section.text(result), ...section.figures(result).map(imageOf), ...noteOf(result)]),
    ]),
    '## Where and how',
    ...placeBlocks(done),
  ];
  return { markdown: `${blocks.join('\n\n')}\n`, figures };
}

const imageOf = ({ id, title }) => `![${title}](benchmarks/${id}.svg)`;

/** All comparisons in one table, and those that are lost in one sentence. */
function summaryBlocks(done) {
  const rows = done.flatMap(({ section, result }) => section.summary(result));
  if (rows.length === 0) return [];
  const isLost = (spread) => spread !== undefined && spread.value < 1;
  const lost = rows.flatMap(({ what, peer, float, int8 }) =>
    [
      ['float32', float],
      ['int8', int8],
    ]
      .filter(([, spread]) => isLost(spread))
      .map(([name, spread]) => `${name} ${what} against ${peer} (${spread.value.toFixed(2)}×)`),
  );
  return [
    '## In short',
    markdownTable(
      ['', 'against', 'float32 here is', 'int8 here is'],
      rows.map(({ what, peer, float, int8 }) => [what, peer, ratioCell(float), ratioCell(int8)]),
    ),
    lost.length > 0 ? `Worse here: ${lost.join('; ')}.` : 'Nothing of this table is worse here.',
  ];
}

/** A machine that had other work measures that work too. */
function noteOf({ disturbed = [] }) {
  if (disturbed.length === 0) return [];
  return [
    `The machine was shared while this ran: ${disturbed.join('; ')} had under 85 % of the processor time of their threads.`,
  ];
}

function placeBlocks(done) {
  if (done.length === 0) return ['Nothing has been run yet.'];
  const machines = [...new Set(done.map(({ result }) => JSON.stringify(describe(result.machine))))];
  const versions = {};
  for (const { result } of done) Object.assign(versions, result.versions);
  return [
    ...machines.flatMap((text) => [
      ...(machines.length > 1
        ? [
            `${done
              .filter(({ result }) => JSON.stringify(describe(result.machine)) === text)
              .map(({ section }) => section.title)
              .join(', ')}:`,
          ]
        : []),
      markdownTable(['machine', ''], JSON.parse(text)),
    ]),
    markdownTable(
      ['part', 'taken', 'revision', 'minutes', 'command'],
      done.map(({ section, result }) => [
        section.title,
        result.taken,
        result.machine.revision,
        (result.seconds / 60).toFixed(1),
        `\`${result.command}\``,
      ]),
    ),
    markdownTable(['peer', 'version'], Object.entries(versions).sort()),
    'Write this page again from the same results by `npm run bench -- page --from-results`; take them anew, with the peers at the versions of' +
      ' `scripts/peers/`, by `npm run bench -- page`.',
  ];
}

function describe(machine) {
  return [
    ['processor', `${machine.processor}, ${machine.cores} cores`],
    ['instructions', machine.features.join(', ')],
    ['memory', `${(machine.memoryBytes / 1e9).toFixed(1)} GB`],
    ['system', machine.system ?? machine.architecture],
    ['compiler', machine.compiler ?? 'unknown'],
    ['Node', machine.node],
  ];
}
