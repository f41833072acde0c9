// `mlit experiment report` over a store that `mlit experiment run` has filled, on a tiny model.
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { mlit } from '../support/cli';
import { smallExperiment } from '../support/experiment';

const cwd = await mkdtemp(join(tmpdir(), 'mlit-cli-report-'));
afterAll(() => rm(cwd, { recursive: true, force: true }));
await writeFile(join(cwd, 'small.yaml'), stringify(smallExperiment(cwd, { ticks: [0, 50], evalItems: 4 })));
const made = await mlit(['experiment', 'run', 'small.yaml', '--yes'], { cwd });
const report = (...args: string[]) => mlit(['experiment', 'report', 'runs', ...args], { cwd });

describe('mlit experiment report', () => {
  it('writes again what the run has written, byte by byte', async () => {
    expect(made, made.stderr).toMatchObject({ code: 0 });
    const place = join(cwd, 'runs/experiments/small/report');
    const files = ['report.md', 'results.json'];
    const read = () => Promise.all(files.map((file) => readFile(join(place, file), 'utf8')));
    const before = await read();
    await rm(place, { recursive: true });
    const { code, stdout } = await report();
    expect(code).toBe(0);
    expect(stdout).toContain('English only');
    expect(stdout).toContain('report: runs/experiments/small/report/report.md');
    expect(await read()).toEqual(before);
    expect(before[0]).toContain('## Provenance');
  });

  it('writes curves of every training run for trackers', async () => {
    const { code, stdout } = await report('--out', 'mine', '--tensorboard', '--wandb', '--json');
    expect(code).toBe(0);
    const [first] = JSON.parse(stdout) as { folder: string; experiment: string; tables: unknown[] }[];
    expect(first).toMatchObject({ folder: 'mine', experiment: 'small' });
    const arms = await readdir(join(cwd, 'mine/tensorboard'));
    expect(arms.length).toBeGreaterThanOrEqual(2);
    for (const arm of arms) {
      const [file] = await readdir(join(cwd, 'mine/tensorboard', arm, 'seed-0'));
      expect(file).toMatch(/^events\.out\.tfevents\.\d{10}\.mlit$/);
    }
    const [run] = await readdir(join(cwd, 'mine/wandb'));
    expect(run).toMatch(/^offline-run-\d{8}_\d{6}-[0-9a-f]{16}$/);
  });

  it('says what there is instead of what was asked for', async () => {
    const unknown = await report('--name', 'other');
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toContain("no experiment 'other'; it has small");
    const nowhere = await mlit(['experiment', 'report', 'nowhere'], { cwd });
    expect(nowhere.code).toBe(1);
    expect(nowhere.stderr).toContain('STORE_INVALID');
    expect(existsSync(join(cwd, 'nowhere'))).toBe(false);
    await writeFile(join(cwd, 'taken'), '');
    expect(await report('--out', 'taken')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('FILE_IO'),
    });
  });
});
