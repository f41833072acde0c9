// `mlit experiment` in processes of its own: the plan and its question, a run, its reports and status; and what is left
// when the process is killed at any moment.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { mlit } from '../support/cli';
import { smallExperiment } from '../support/experiment';
import { root as repository, scratch } from '../support/fixtures';

const root = scratch();

/** A folder with data and small.yaml, which names its files as they lie beside it. */
function makeFolder(name: string): string {
  const folder = join(root, name);
  mkdirSync(folder);
  const input = smallExperiment(folder);
  const relative = { ...input, data: 'train.jsonl', eval: 'test.jsonl', store: 'runs' };
  writeFileSync(join(folder, 'small.yaml'), stringify(relative));
  return folder;
}
const resultsOf = (folder: string) => {
  const file = join(folder, 'runs', 'experiments', 'small', 'report', 'results.json');
  const { tables, figures, warnings } = JSON.parse(readFileSync(file, 'utf8'));
  return { tables, figures, warnings };
};

let whole: string;
beforeAll(async () => {
  whole = makeFolder('whole');
  const { code, stderr } = await mlit(['experiment', 'run', 'small.yaml', '--yes'], { cwd: whole });
  expect(code, stderr).toBe(0);
}, 120_000);

describe('mlit experiment run', () => {
  it('asks after the plan, and says how to go on where nobody can be asked', async () => {
    const folder = makeFolder('asked');
    const { code, stderr } = await mlit(['experiment', 'run', 'small.yaml'], { cwd: folder });
    expect(code).toBe(2);
    expect(stderr).toMatch(/train +3 +0 +3/);
    expect(stderr).toMatch(/add --yes/);
    expect(existsSync(join(folder, 'runs'))).toBe(false);
  });

  it('prints a plan alone', async () => {
    const folder = makeFolder('planned');
    const { code, stdout } = await mlit(['experiment', 'run', 'small.yaml', '--dry-run', '--json'], {
      cwd: folder,
    });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ jobs: { train: { total: 3, todo: 3 } } });
    expect(existsSync(join(folder, 'runs'))).toBe(false);
  });

  it('writes a report with tables, figures and provenance', () => {
    const folder = join(whole, 'runs', 'experiments', 'small', 'report');
    const report = readFileSync(join(folder, 'report.md'), 'utf8');
    const { provenance } = JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8'));
    expect(provenance.seeds).toEqual([0]);
    expect(report).toContain(provenance.modelSha256);
    for (const kind of ['md', 'csv', 'tex']) {
      expect(readdirSync(join(folder, 'tables')).some((file) => file.endsWith(`.${kind}`))).toBe(true);
    }
    expect(readdirSync(join(folder, 'figures')).some((file) => file.endsWith('.svg'))).toBe(true);
    expect(readdirSync(join(whole, 'runs', 'jobs')).some((job) => job.endsWith('.part'))).toBe(false);
  });

  it('does not train twice', async () => {
    const before = readFileSync(join(whole, 'runs', 'jobs.jsonl'), 'utf8');
    const { code, stderr } = await mlit(['experiment', 'run', 'small.yaml', '--yes'], { cwd: whole });
    expect(code, stderr).toBe(0);
    expect(readFileSync(join(whole, 'runs', 'jobs.jsonl'), 'utf8')).toBe(before);
  });

  it('repeats with more seeds, keeping what there is', async () => {
    const { code, stdout } = await mlit(
      ['experiment', 'run', 'small.yaml', '--seeds', '2', '--dry-run', '--json'],
      { cwd: whole },
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout).jobs).toMatchObject({
      train: { total: 6, todo: 3 },
      mix: { total: 6, todo: 3 },
    });
  });

  it('names an unknown key and the one that was meant', async () => {
    const folder = makeFolder('typo');
    writeFileSync(
      join(folder, 'typo.yaml'),
      `${readFileSync(join(folder, 'small.yaml'), 'utf8')}langages: [en]\n`,
    );
    const { code, stderr } = await mlit(['experiment', 'run', 'typo.yaml', '--yes'], { cwd: folder });
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /typo\.yaml: there is no key 'langages'; did you mean 'languages'\? \[EXPERIMENT_INVALID\]/,
    );
  });

  it('ends at SIGINT with 130 and goes on', async () => {
    const folder = makeFolder('interrupted');
    const child = spawn(
      process.execPath,
      [join(repository, 'bin', 'mlit.mjs'), 'experiment', 'run', 'small.yaml', '--yes'],
      { cwd: folder, stdio: 'ignore' },
    );
    while (
      !existsSync(join(folder, 'runs', 'jobs.jsonl')) ||
      readFileSync(join(folder, 'runs', 'jobs.jsonl')).length === 0
    )
      await setTimeout(20);
    child.kill('SIGINT');
    const code = await new Promise((resolve) => child.on('close', resolve));
    expect(code).toBe(130);
    const again = await mlit(['experiment', 'run', 'small.yaml', '--yes'], { cwd: folder });
    expect(again.code, again.stderr).toBe(0);
    expect(resultsOf(folder)).toEqual(resultsOf(whole));
  }, 120_000);

  it('ends in the same tables however often it is killed', async () => {
    const folder = makeFolder('killed');
    let kills = 0;
    for (let attempt = 0; ; attempt += 1) {
      expect(attempt).toBeLessThan(60);
      const child = spawn(
        process.execPath,
        [join(repository, 'bin', 'mlit.mjs'), 'experiment', 'run', 'small.yaml', '--yes'],
        { cwd: folder, stdio: 'ignore' },
      );
      const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
      // Longer from time to time, so that it gets somewhere on a slow machine too.
      const timer = globalThis.setTimeout(
        () => child.kill('SIGKILL'),
        450 + ((attempt * 389) % 900) + attempt * 80,
      );
      const code = await ended;
      clearTimeout(timer);
      if (code === 0) break;
      expect(code).toBeNull();
      kills += 1;
    }
    expect(kills).toBeGreaterThan(1);
    expect(resultsOf(folder)).toEqual(resultsOf(whole));
  }, 240_000);
});

describe('mlit experiment status', () => {
  it('tells from files alone how far everything is', async () => {
    const { code, stdout } = await mlit(['experiment', 'status', 'runs'], { cwd: whole });
    expect(code).toBe(0);
    expect(stdout).toMatch(/small \(pinch\): 4 models, 18 of 18 jobs done/);
    expect(stdout).toMatch(/mix 3\/3 {2}train 3\/3 {2}sample 4\/4 {2}score 4\/4 {2}measure 4\/4/);
  });

  it('says where there is no store', async () => {
    const { code, stderr } = await mlit(['experiment', 'status', '.'], { cwd: whole });
    expect(code).toBe(1);
    expect(stderr).toMatch(/STORE_INVALID/);
  });
});
