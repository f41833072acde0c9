// `mlit train --profile`: a table at the run's end, and a trace where it was asked for.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mlit } from '../support/cli';
import { fixture, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();
const data = writeRecords(join(folder, 'train.jsonl'), 8);
const train = (out: string, ...more: string[]) =>
  mlit(
    ['train', '--model', fixture('smol-tiny', 'model'), '--data', data, '--out', out, '--rank', '2', ...more],
    { cwd: folder },
  );

describe('mlit train --profile', () => {
  it('prints where the time went and writes a trace into the run', async () => {
    const { code, stdout, stderr } = await train('run', '--profile');
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^profile of 1 steps/);
    expect(stdout).toMatch(/head backward +\d+×\d+ +\d/);
    expect(stdout).toMatch(/attention forward[\s\S]*waiting for JavaScript[\s\S]*step [\s\S]*packing/);
    expect(stdout).toContain(join('run', 'trace.json'));
    const { traceEvents } = JSON.parse(readFileSync(join(folder, 'run', 'trace.json'), 'utf8'));
    expect(traceEvents.length).toBeGreaterThan(50);
  });

  it('has the table in JSON, the trace where it was named', async () => {
    const { code, stdout, stderr } = await train('other', '--profile', 'there.json', '--json');
    expect(code, stderr).toBe(0);
    const { profile } = JSON.parse(stdout);
    expect(profile).toMatchObject({ steps: 1, trace: 'there.json', rates: { f32: expect.any(Number) } });
    expect(profile.rows.map(({ name }: { name: string }) => name)).toContain('gate_up backward');
    expect(existsSync(join(folder, 'there.json'))).toBe(true);
    expect(existsSync(join(folder, 'other', 'trace.json'))).toBe(false);
  });
});
