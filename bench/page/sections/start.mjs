// From the command to the end of the first optimiser step, with the model on the disk.
import {
  costRatio,
  gigabytesCell,
  markdownTable,
  medianOf,
  number,
  ratioCell,
  roundRatios,
  spreadOf,
} from '../words.mjs';

const seconds = (run) => run.firstStepSeconds;

function rowsOf({ contestants }) {
  const runsOf = (name) => contestants.find((each) => each.name === name)?.runs ?? [];
  return contestants.map(({ name, runs }) => ({
    name,
    isPeer: !name.startsWith('mlit train'),
    failed: runs.every((run) => run.failed) ? runs[0]?.failed : undefined,
    seconds: spreadOf(runs.map(seconds)),
    peakBytes: medianOf(runs, (run) => run.peakBytes),
    float: spreadOf(roundRatios(runsOf('mlit train'), runs, seconds, costRatio)),
    int8: spreadOf(roundRatios(runsOf('mlit train --compute int8'), runs, seconds, costRatio)),
  }));
}

function text(result) {
  return [
    `The wall time of a new process until its first step of ${result.batch} records has ended; the files are in the system's cache, as after a` +
      ' first use. `mlit train` reads the records as text, and makes their tokens; the peer gets token ids, and its model as a safetensors' +
      ' folder, which it loads fastest.',
    markdownTable(
      ['', 'seconds', 'rounds', 'float32 here is', 'int8 here is', 'peak GB'],
      rowsOf(result).map((row) => [
        row.name,
        row.failed ?? number(row.seconds?.value, 2),
        row.seconds ? `${number(row.seconds.low, 2)}–${number(row.seconds.high, 2)}` : '–',
        row.isPeer ? ratioCell(row.float) : '',
        row.isPeer ? ratioCell(row.int8) : '',
        gigabytesCell(row.peakBytes),
      ]),
    ),
  ];
}

const summary = (result) =>
  rowsOf(result)
    .filter((row) => row.isPeer && row.failed === undefined)
    .map((row) => ({
      what: 'cold start to the first step',
      peer: row.name,
      float: row.float,
      int8: row.int8,
    }));

export default { name: 'start', title: 'Time to the first step', text, summary, figures: () => [] };
