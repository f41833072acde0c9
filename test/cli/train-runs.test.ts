// `mlit train --runs`: many adapters from one command, as a person and as a killed machine meet it.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { mlit } from '../support/cli';
import { fixture, root, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();
writeRecords(join(folder, 'a.jsonl'), 12);
writeRecords(join(folder, 'b.jsonl'), 20);
const defaults = { model: fixture('smol-tiny', 'model'), threads: 1, 'batch-examples': 4, 'max-length': 512 };

function runsFile(name: string, runs: Record<string, unknown>[], more: Record<string, unknown> = {}): string {
  writeFileSync(join(folder, name), stringify({ defaults: { ...defaults, ...more }, runs }));
  return name;
}

const adapterOf = (run: string): Buffer =>
  readFileSync(join(folder, run, 'adapter', 'adapter_model.safetensors'));

describe('mlit train --runs', () => {
  it('trains what `mlit train` trains; a run that diverges ends alone, and the exit code says so', async () => {
    const file = runsFile('runs.yaml', [
      { out: 'low', data: 'a.jsonl', rank: 4 },
      { out: 'wild', data: 'a.jsonl', learningRate: 1e30, maxGradNorm: 0, warmupSteps: 0 },
      { out: 'high', data: 'b.jsonl', rank: 2, seed: 3 },
    ]);
    const plan = await mlit(['plan', '--runs', file, '--at-once', '2'], { cwd: folder });
    expect(plan.stdout).toMatch(/3 runs, 2 at once/);
    const { code, stdout, stderr } = await mlit(['train', '--runs', file, '--at-once', '2', '--json'], {
      cwd: folder,
    });
    expect(code, stderr).toBe(1);
    expect(stderr).toMatch(/^wild: failed: step \d+: .* \[NOT_FINITE\]$/m);
    const results = JSON.parse(stdout) as { out: string; reason: string }[];
    expect(results.map(({ out, reason }) => `${out} ${reason}`)).toEqual([
      'low finished',
      'wild failed',
      'high finished',
    ]);
    const own = ['--model', defaults.model, '--threads', '1', '--batch-examples', '4', '--max-length', '512'];
    const alone = [...own, '--data', 'b.jsonl', '--rank', '2', '--seed', '3', '--out', 'alone'];
    expect((await mlit(['train', ...alone], { cwd: folder })).code).toBe(0);
    expect(adapterOf('high').equals(adapterOf('alone'))).toBe(true);
  }, 60_000);

  it('goes on to the same bytes after a kill', async () => {
    const runs = (tag: string) => [
      { out: `${tag}-a`, data: 'a.jsonl', rank: 4, dropout: 0.1 },
      { out: `${tag}-b`, data: 'b.jsonl', rank: 2, dev: 2, 'eval-every': 3 },
    ];
    const more = { epochs: 4, 'save-every': 1 };
    const whole = runsFile('whole.yaml', runs('whole'), more);
    expect((await mlit(['train', '--runs', whole], { cwd: folder })).code).toBe(0);
    const file = runsFile('killed.yaml', runs('killed'), more);
    const events = join(folder, 'killed-b', 'events.jsonl');
    const child = spawn(process.execPath, [join(root, 'bin', 'mlit.mjs'), 'train', '--runs', file], {
      cwd: folder,
      stdio: 'ignore',
    });
    const ended = new Promise((resolve) => child.on('close', resolve));
    while (!existsSync(events) || readFileSync(events).length === 0) await sleep(2);
    child.kill('SIGKILL');
    await ended;
    expect(existsSync(join(folder, 'killed-b', 'adapter'))).toBe(false);
    expect((await mlit(['train', '--runs', file], { cwd: folder })).stderr).toMatch(/killed-a is not empty/);
    const { code, stderr } = await mlit(['train', '--runs', file, '--resume'], { cwd: folder });
    expect(code, stderr).toBe(0);
    for (const run of ['a', 'b'])
      expect(adapterOf(`killed-${run}`).equals(adapterOf(`whole-${run}`)), run).toBe(true);
  }, 60_000);

  it.each([
    [[{ out: 'x', rnak: 4 }], /runs\[0\]: there is no option 'rnak'; did you mean 'rank'/],
    [[{ out: 'x', rank: 0 }], /runs\[0\]\.rank: expected at least 1, got 0 \(x\)/],
    [[{ data: 'a.jsonl' }], /runs\[0\]\.out: is needed/],
    [[{ out: 'x' }, { out: 'x' }], /runs\[1\]\.out: x is the folder of runs\[0\] too/],
    [[], /runs: expected a list of one run or more/],
  ])('names file, run and field of a mistake: %j', async (runs, message) => {
    const file = runsFile('wrong.yaml', runs, { data: 'a.jsonl' });
    const { code, stderr } = await mlit(['train', '--runs', file], { cwd: folder });
    expect(code).toBe(1);
    expect(stderr).toMatch(/wrong\.yaml: .*\[CONFIG_INVALID\]/);
    expect(stderr).toMatch(message);
  });

  it('takes no option of a single run beside it', async () => {
    const file = runsFile('one.yaml', [{ out: 'x', data: 'a.jsonl' }]);
    const { code, stderr } = await mlit(['train', '--runs', file, '--rank', '4'], { cwd: folder });
    expect(code).toBe(2);
    expect(stderr).toMatch(/--rank can't stand beside --runs: write it into .*one\.yaml/);
    const profiled = await mlit(['train', '--runs', file, '--profile'], { cwd: folder });
    expect(profiled.code).toBe(2);
    expect(profiled.stderr).toMatch(/--profile can't stand beside --runs: it is of one run alone/);
  });
});
