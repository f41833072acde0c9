// What a card's benchmark says in a table: this library's rates beside those of Python's, and their ratios.
import { gigabytes, percent, rate, table, times } from './report.mjs';

const head = ['', 'training tokens/s', 'ratio', 'of the peak', 'GB', 'sampled tokens/s', 'ratio'];

/** Rows of the table of one shape: ratios are this library's rate to the other's. */
export function rowsOf(own, peers) {
  const training = own.train.tokensPerSecond;
  const sampling = own.sample.newTokensPerSecond;
  const mfu = own.train.modelFlopsUtilisation;
  const rows = [
    [
      'mlit-native',
      rate(training),
      '1.00×',
      percent(mfu ?? undefined),
      gigabytes(own.train.memory.runtimePeakBytes),
      rate(sampling),
      '1.00×',
    ],
  ];
  for (const [name, result] of Object.entries(peers)) {
    if (result.failed) {
      rows.push([`${name}: ${result.failed}`.slice(0, 60), '–', '–', '–', '–', '–', '–']);
      continue;
    }
    const { tokensPerSecond, peakBytes, sampledTokensPerSecond: sampled } = result;
    const share = mfu === null ? undefined : (mfu * tokensPerSecond) / training;
    rows.push([
      name,
      rate(tokensPerSecond),
      times(training / tokensPerSecond),
      percent(share),
      gigabytes(peakBytes),
      rate(sampled),
      times(sampled && sampling / sampled),
    ]);
  }
  return rows;
}

export const gpuTable = (own, peers) => table(head, rowsOf(own, peers));
