// Whether a soak was flat: a robust slope, since one garbage collection or one page cache must not decide, and limits that
// a leak of a kilobyte a turn crosses within two hours.

/** Median of all slopes between two samples (Theil and Sen): half of the samples may be off without moving it much. */
function slope(samples, key) {
  const slopes = [];
  for (let i = 0; i < samples.length; ++i)
    for (let j = i + 1; j < samples.length; ++j)
      slopes.push((samples[j][key] - samples[i][key]) / (samples[j].turns - samples[i].turns));
  return median(slopes);
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Growth allowed over the measured stretch: MiB of anonymous memory, MiB of JavaScript heap, and counts. */
const LIMITS = { anonMiB: 8, heapMiB: 2, externalMiB: 1, files: 0.5, threads: 0.5, handles: 0.5 };

/**
 * The first quarter is warming up (allocators, compiled code) and left out; then each quantity's slope times the stretch must
 * stay below its limit.
 *
 * @param {{ turns: number }[]} samples at least 12
 * @returns {{ flat: boolean, turns: number, growth: Record<string, number>, perTurnBytes: number, lines: string[] }}
 */
export function verdictOf(samples) {
  const measured = samples.slice(Math.ceil(samples.length / 4));
  if (measured.length < 9) {
    const lines = [`soak: ${samples.length} samples are too few for a verdict; let it run longer`];
    return { flat: false, turns: samples.at(-1)?.turns ?? 0, growth: {}, perTurnBytes: Number.NaN, lines };
  }
  const turns = measured.at(-1).turns - measured[0].turns;
  const growth = {};
  const lines = [];
  for (const [key, limit] of Object.entries(LIMITS)) {
    growth[key] = slope(measured, key) * turns;
    const mark = growth[key] < limit ? 'flat' : 'GROWS';
    lines.push(`${mark}  ${key}: ${growth[key].toFixed(2)} over ${turns} turns (below ${limit})`);
  }
  const flat = Object.entries(LIMITS).every(([key, limit]) => growth[key] < limit);
  return { flat, turns, growth, perTurnBytes: (growth.anonMiB * 2 ** 20) / turns, lines };
}
