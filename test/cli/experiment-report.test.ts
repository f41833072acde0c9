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
    const files = ['report.md', 'results.json', 'report.html'];
    const read = () => Promise.all(files.map((file) => readFile(join(place, file), 'utf8')));
    const before = await read();
    await rm(place, { recursive: true });
    const { code, stdout } = await report();
    expect(code).toBe(0);
    expect(stdout).toContain('English only');
    expect(stdout).toContain('report: runs/experiments/small/report/report.html');
    expect(await read()).toEqual(before);
    expect(before[0]).toContain('## Provenance');
    expect(before[2]).toContain('answers of 3 models to 16 prompts');
    expect(before[2]).toContain('name="references"');
  });

  it('takes the verdicts of judges and of people to their models', async () => {
    const line = (a: string, b: string, order: string) =>
      JSON.stringify({
        ...{
          judge: 'person:<b>Eve</b>',
          protocol: 'tie',
          a,
          b,
          id: 'i100.en',
          item: 'i100',
          lang: 'en',
          sample: 0,
          order,
        },
        ...{ verdict: 'A', at: '2026-01-01T00:00:00Z' },
      });
    const lines = [
      line('pinch-0', 'base', 'AB'),
      line('pinch-0', 'base', 'BA'),
      line('pinch-0', 'other', 'AB'),
    ];
    await writeFile(join(cwd, 'verdicts.jsonl'), `${lines.join('\n')}\n`);
    const { code, stderr } = await report('--out', 'judged', '--verdicts', 'verdicts.jsonl');
    expect(code, stderr).toBe(0);
    expect(stderr).toContain('verdicts of person:<b>Eve</b> on pinch-0 and other are left out');
    const page = await readFile(join(cwd, 'judged/report.html'), 'utf8');
    expect(page).toContain('<option value="person:&lt;b&gt;Eve&lt;/b&gt; (tie)">');
    expect(await readFile(join(cwd, 'judged/tables/judge-scores.csv'), 'utf8')).toMatch(
      /person:<b>Eve<\/b> \(tie\),pinch-0,base,en,100,/,
    );
  });

  it('is shown by status as a page, and in lines where nobody looks at a terminal', async () => {
    const ended = await mlit(['experiment', 'status', 'runs', '--watch', '--html', 'live.html'], { cwd });
    expect(ended).toMatchObject({ code: 0, stderr: 'the page: live.html\n' });
    expect(ended.stdout).toMatch(/^small: 13\/13 jobs; finished in [\d:]+ of work\n$/);
    const page = await readFile(join(cwd, 'live.html'), 'utf8');
    expect(page).toContain('The experiment is finished.');
    expect(page).toContain('<svg class="curve"');
    expect(page).not.toContain('data-refresh=');
    expect(page).not.toContain('gt;Eve');
    const status = ['experiment', 'status', 'runs', '--verdicts', 'verdicts.jsonl'];
    expect(await mlit([...status, '--html', 'live.html'], { cwd })).toMatchObject({ code: 0 });
    const judged = await readFile(join(cwd, 'live.html'), 'utf8');
    expect(judged).toContain('<option value="person:&lt;b&gt;Eve&lt;/b&gt; (tie)">');
    expect(judged).toContain('Side by side, by judges');
    expect(await mlit(status, { cwd })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--verdicts: stands on the page'),
    });
    const unknown = await mlit(['experiment', 'status', 'runs', '--name', 'other'], { cwd });
    expect(unknown).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("no experiment 'other'; it has small"),
    });
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
