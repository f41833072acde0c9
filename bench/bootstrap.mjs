// How long the intervals of a whole heat map take: 12 models × 12 languages × 617 prompts, 10,000 resamples, every cell's
// interval; beside NumPy doing the same draws as one matrix product.
import { performance } from 'node:perf_hooks';
import { ensurePeers } from '../scripts/peers/ensure-venv.mjs';
import { contest, peerPath } from './process.mjs';
import { median, say, table, times } from './report.mjs';

const SHAPE = { models: 12, languages: 12, items: 617, resamples: 10_000 };

function makeCells({ weighted }) {
  let state = 1;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Array.from({ length: SHAPE.models * SHAPE.languages }, () => ({
    values: Float64Array.from({ length: SHAPE.items }, () => Math.floor(next() * 3) / 2),
    ...(weighted && {
      weights: Float64Array.from({ length: SHAPE.items }, () => 1 + Math.floor(next() * 50)),
    }),
  }));
}

export async function benchBootstrap({ rounds, threads }) {
  const { PairedBootstrap } = await import('../dist/index.js');
  const measure = (cells) =>
    Array.from({ length: rounds }, () => {
      const start = performance.now();
      const bootstrap = new PairedBootstrap(cells, { resamples: SHAPE.resamples });
      for (let cell = 0; cell < cells.length; cell += 1) bootstrap.estimate(cell);
      return (performance.now() - start) / 1000;
    });
  const verdicts = measure(makeCells({ weighted: false }));
  const ratios = measure(makeCells({ weighted: true }));
  const python = await ensurePeers();
  const shape = JSON.stringify({ ...SHAPE, rounds });
  const peer = await contest(python, [peerPath('bootstrap.py'), shape], { threads });
  if (peer.failed) say(`Note: NumPy's time is missing. ${peer.failed}`);
  const numpy = peer.failed ? undefined : median(peer.seconds);
  const row = (name, seconds) => [
    name,
    Math.min(...seconds).toFixed(2),
    median(seconds).toFixed(2),
    times(numpy === undefined ? undefined : numpy / median(seconds)),
  ];
  const rows = [row('verdicts, weight 1', verdicts), row('ratios of sums', ratios)];
  if (numpy !== undefined) rows.push(row('NumPy, weight 1', peer.seconds));
  console.log(table(['seconds', 'best', 'median', 'over NumPy'], rows));
  return { shape: SHAPE, verdicts, ratios, numpy: peer };
}
