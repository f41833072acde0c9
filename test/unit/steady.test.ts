// What is disposed of is given back: 200 sessions, samplers and models made, used and disposed of in turn leave the
// process as large as it was.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const program = fileURLToPath(new URL('./lifecycle/steady.mjs', import.meta.url));

describe('200 times made, used and disposed of', () => {
  it.each(['session', 'sampler', 'model'])('%s: memory stays flat', { timeout: 120_000 }, (kind) => {
    const ended = spawnSync(process.execPath, ['--expose-gc', program, kind], { encoding: 'utf8' });
    expect({ status: ended.status, errors: ended.stderr }).toEqual({ status: 0, errors: '' });
    const measured = JSON.parse(ended.stdout) as number[];
    expect(measured).toHaveLength(10);
    // The heaps of V8 and malloc settle in the first half; afterwards every run would show.
    const [settled, last] = [Math.min(...measured.slice(3, 6)), Math.min(...measured.slice(7))];
    console.log(`${kind}: ${measured.map((bytes) => (bytes / 2 ** 20).toFixed(1)).join(' ')} MiB`);
    expect(last - settled).toBeLessThan(0.5 * 2 ** 20);
  });
});
