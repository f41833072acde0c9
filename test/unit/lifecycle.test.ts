// How the addon comes and goes with processes and workers. Each scenario runs in a process of its own
// (lifecycle/child.mjs), because a crash there is what is looked for.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const child = fileURLToPath(new URL('./lifecycle/child.mjs', import.meta.url));

interface Outcome {
  code: number | null;
  signal: string | null;
  values: unknown[];
  errors: string;
  endedAt: number;
}

function run(scenario: string, flags: string[] = []): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const process_ = spawn(process.execPath, [...flags, child, scenario], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    let errors = '';
    process_.stdout.on('data', (chunk) => {
      output += chunk;
    });
    process_.stderr.on('data', (chunk) => {
      errors += chunk;
    });
    let endedAt = 0;
    process_.on('exit', () => {
      endedAt = Date.now();
    });
    process_.on('error', reject);
    process_.on('close', (code, signal) => {
      const values = output
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as unknown);
      resolve({ code, signal, values, errors, endedAt });
    });
  });
}

/** A clean end, with its values. */
async function runWell(scenario: string, flags: string[] = []): Promise<unknown[]> {
  const { code, signal, values, errors } = await run(scenario, flags);
  expect({ code, signal, errors }).toEqual({ code: 0, signal: null, errors: '' });
  return values;
}

describe('workers', () => {
  it('20 workers load, train a step and end, the main thread not loading', { timeout: 120_000 }, async () => {
    const [losses] = (await runWell('workers')) as [number[]];
    expect(losses).toHaveLength(20);
    expect(losses[0]).toBeGreaterThan(1);
    expect(new Set(losses).size).toBe(1); // same seed, same data, same bits
  });

  it('terminate() in mid-step ends a worker soon and leaves the others be', { timeout: 60_000 }, async () => {
    const [result] = (await runWell('terminate')) as [{ before: number; after: number; times: number[] }];
    expect(result.after).toBeLessThan(result.before);
    for (const time of result.times) expect(time).toBeLessThan(2000);
  });

  it('terminate() in mid-step where the main thread has no addon', { timeout: 60_000 }, async () => {
    expect(await runWell('terminateAlone')).toEqual(['ended']);
  });
});

describe('the end of a process', () => {
  it.each(['exit', 'exitWithBusyWorkers'])(
    'process.exit(7) in mid-step: %s',
    { timeout: 60_000 },
    async (name) => {
      const { code, signal, values, errors, endedAt } = await run(name);
      expect({ code, signal, errors }).toEqual({ code: 7, signal: null, errors: '' });
      expect(endedAt - (values[0] as number)).toBeLessThan(1000);
    },
  );

  it('process.exit(7) while a model is loading', async () => {
    const { code, signal, errors } = await run('exitWhileLoading');
    expect({ code, signal, errors }).toEqual({ code: 7, signal: null, errors: '' });
  });

  it('an uncaught exception in mid-step', async () => {
    const { code, signal, errors } = await run('uncaught');
    expect({ code, signal }).toEqual({ code: 1, signal: null });
    expect(errors).toContain('on purpose');
  });

  it('idle handles do not keep it alive', async () => {
    expect(await runWell('idleHandles')).toEqual([expect.any(Number)]);
  });

  it('pending work does', async () => {
    expect(await runWell('pendingKeepsAlive')).toEqual(['settled']);
  });
});

describe('garbage collection', () => {
  it('frees handles that nobody disposed of', { timeout: 60_000 }, async () => {
    const [{ bytes, most }] = (await runWell('garbage', ['--expose-gc'])) as [
      { bytes: number; most: number },
    ];
    expect(bytes).toBeGreaterThan(20e6);
    expect(most).toBeLessThan(100e6 + 5 * bytes); // all twelve at once would be far above
  });
});
