// A run's folder is what resuming relies on: its record, its lock, and what was said before a crash.
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StepEvent } from '../../lib/train/events';
import { resolveTrainOptions } from '../../lib/train/options';
import { type RunChoices, RunDirectory, readRunRecord } from '../../lib/train/run-directory';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mlit-run-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const chosen: RunChoices = {
  version: '0.0.0',
  device: 'cpu',
  threads: 2,
  isa: 'avx2',
  microTokens: 64,
  recompute: 'none',
  baseDtype: 'f32',
  compute: 'f32',
  totalSteps: 9,
  modelIdentity: '0',
  dataHash: 'x',
  startedAt: '2024-01-01T00:00:00.000Z',
};
const step = (n: number): StepEvent => ({
  type: 'step',
  step: n,
  loss: 1,
  learningRate: 1,
  gradNorm: 1,
  tokens: 1,
  supervisedTokens: 1,
  seconds: 1,
  tokensPerSecond: 1,
});

describe('RunDirectory', () => {
  it('is no file, and does not lie below one', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    for (const path of [file, join(file, 'run'), join(file, 'a', 'run')])
      await expect(RunDirectory.open(path, false)).rejects.toMatchObject({
        code: 'FILE_IO',
        message: expect.stringContaining(`${path} is a file, or below one`),
      });
  });

  it('refuses a folder that the system does not let anybody make, rather than trying for ever', {
    timeout: 10_000,
  }, async () => {
    await expect(RunDirectory.open('/proc/nothing/run', false)).rejects.toMatchObject({ code: 'FILE_IO' });
    await writeFile(join(folder, 'file'), '');
    await expect(RunDirectory.open(join(folder, 'file', 'run'), false)).rejects.toMatchObject({
      code: 'FILE_IO',
    });
  });

  it('gives back the options as resolved', async () => {
    const options = resolveTrainOptions({ model: 'm', data: ['d.jsonl'], rank: 4, dev: 10 });
    const directory = await RunDirectory.open(folder, false);
    await directory.writeRecord({ options, chosen });
    await directory.close();
    expect(await readRunRecord(folder)).toEqual({ options, chosen });
    expect(options).toMatchObject({
      rank: 4,
      alpha: 32,
      learningRate: 2e-4,
      schedule: 'linear',
      warmupSteps: 10,
    });
  });

  it('refuses a folder with something in it, and resuming one without a run', async () => {
    await expect(RunDirectory.open(folder, true)).rejects.toMatchObject({ code: 'RUN_INVALID' });
    await writeFile(join(folder, 'notes.txt'), 'mine');
    await expect(RunDirectory.open(folder, false)).rejects.toMatchObject({ code: 'RUN_INVALID' });
    expect(await readFile(join(folder, 'notes.txt'), 'utf8')).toBe('mine');
  });

  it('keeps a second process out, and lets it in when the first is gone', async () => {
    const directory = await RunDirectory.open(folder, false);
    await expect(RunDirectory.open(folder, false)).rejects.toMatchObject({ code: 'RUN_LOCKED' });
    await directory.close();
    const gone = spawnSync(process.execPath, ['-e', '']).pid;
    await writeFile(join(folder, 'run.lock'), JSON.stringify({ pid: gone, host: hostname() }));
    const again = await RunDirectory.open(folder, false);
    await again.close();
  });

  it('is not kept out by a lock whose process number another process has now', async () => {
    const directory = await RunDirectory.open(folder, false);
    const lock = JSON.parse(await readFile(join(folder, 'run.lock'), 'utf8'));
    await directory.close();
    expect(lock).toMatchObject({ pid: process.pid, started: expect.any(Number) });
    await writeFile(join(folder, 'run.lock'), JSON.stringify({ ...lock, started: lock.started - 1 }));
    await (await RunDirectory.open(folder, false)).close();
  });

  it('waits for the name in a lock that was just made', async () => {
    await writeFile(join(folder, 'run.lock'), '');
    const opening = RunDirectory.open(folder, false);
    await setTimeout(100);
    await writeFile(join(folder, 'run.lock'), JSON.stringify({ pid: process.pid, host: hostname() }));
    await expect(opening).rejects.toMatchObject({ code: 'RUN_LOCKED' });
  });

  it('drops events after the step that a resumed run goes on from, and half lines', async () => {
    const directory = await RunDirectory.open(folder, false);
    await directory.openEvents(0);
    for (const n of [1, 2, 3]) await directory.appendEvent(step(n));
    await directory.close();
    const file = join(folder, 'events.jsonl');
    await writeFile(file, `${await readFile(file, 'utf8')}{"type":"step","st`);
    await writeFile(join(folder, 'run.yaml'), 'x');
    const resumed = await RunDirectory.open(folder, true);
    await resumed.openEvents(2);
    await resumed.close();
    const lines = (await readFile(file, 'utf8')).trim().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as StepEvent).step)).toEqual([1, 2]);
  });

  it('says what is wrong with a damaged run.yaml', async () => {
    await writeFile(join(folder, 'run.yaml'), 'options:\n  model: m\n  data: []\n');
    await expect(readRunRecord(folder)).rejects.toMatchObject({
      code: 'RUN_INVALID',
      message: expect.stringContaining('data'),
    });
  });
});
