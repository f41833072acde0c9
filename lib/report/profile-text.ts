// A profile for people: the steps' time from the largest product to what is left, and one line on what the figures are.
import { type ProfileRow, shareOfRate } from '../train/profile-rows';
import type { TrainProfile } from '../train/profiler';
import { plainTable } from './plain-table';

/** The table that `mlit train --profile` prints. */
export function profileText(profile: TrainProfile): string {
  const { steps, tokens, seconds, rows, beside, rates } = profile;
  if (steps === 0) return 'profile: no step was taken\n';
  const step = (value: number): string => (value / steps).toFixed(2);
  const percent = (value: number | undefined): string =>
    value === undefined ? '' : `${(100 * value).toFixed(1)} %`;
  const cells = (row: ProfileRow): string[] => [
    row.name,
    row.shape ? `${row.shape.out}×${row.shape.in}` : '',
    row.calls > 0 ? (row.calls / steps).toFixed(1) : '',
    row.rows > 0 ? row.rows.toFixed(0) : '',
    step(1e3 * row.seconds),
    ((1e6 * row.seconds) / tokens).toFixed(2),
    percent(row.share),
    row.bytes > 0 && row.seconds > 0 ? ((1e-9 * row.bytes) / row.seconds).toFixed(1) : '',
    percent(row.ofRate),
  ];
  const all = rows.reduce(
    (sum, row) => ({
      flops: sum.flops + row.flops,
      integerFlops: sum.integerFlops + row.integerFlops,
      seconds,
    }),
    { flops: 0, integerFlops: 0, seconds },
  );
  const table = plainTable(
    ['of a step', 'matrix', 'calls', 'rows', 'ms', 'µs/token', 'time', 'GB/s', 'of rate'],
    [
      ...rows.map(cells),
      [
        'step',
        '',
        '',
        '',
        step(1e3 * seconds),
        ((1e6 * seconds) / tokens).toFixed(2),
        percent(1),
        '',
        percent(shareOfRate(all, rates)),
      ],
    ],
  );
  const parts = [`profile of ${steps} steps, ${(tokens / steps).toFixed(0)} tokens each\n\n${table}\n`];
  if (beside.length > 0) {
    const other = plainTable(
      ['beside the steps', 'calls', 'ms'],
      beside.map(({ name, calls, seconds: spent }) => [name, String(calls), (1e3 * spent).toFixed(1)]),
    );
    parts.push(`\n${other}\n`);
  }
  parts.push(`\n${describeFigures(profile)}\n`);
  return parts.join('');
}

function describeFigures({ device, compute, threads, rates, trace }: TrainProfile): string {
  const lines: string[] = [];
  const measured = Object.entries(rates).map(([name, rate]) => `${rate.toFixed(0)} GFLOP/s in ${name}`);
  if (device === 'cpu')
    lines.push(
      `cpu, ${threads} ${threads === 1 ? 'thread' : 'threads'}, compute ${compute}; large products reach ${measured.join(' and ')} here now, which "of rate" is of.`,
    );
  else
    lines.push(
      `${device}: the host waited behind every operation, so that these steps were slower than others are.`,
    );
  lines.push('A product is timed with its adapters on it; bytes are by formula, each operand once a call.');
  if (trace !== undefined) lines.push(`trace written to ${trace}; ui.perfetto.dev opens it`);
  return lines.join('\n');
}
