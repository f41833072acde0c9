// The promise that nothing is lost: real processes are killed with SIGKILL at random moments, in the middle of steps and of
// checkpoint writes, and resumed; the adapter has the bytes of a run that nobody touched.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fixture, root, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();
const data = writeRecords(join(folder, 'train.jsonl'), 120);
const KILLS = 20;

function start(out: string, resume: boolean) {
  const args = ['train', '--out', out];
  if (resume) args.push('--resume');
  else {
    args.push(
      '--model',
      fixture('smol-tiny', 'model'),
      '--data',
      data,
      '--rank',
      '4',
      '--learning-rate',
      '1e-2',
    );
    args.push(
      '--batch-examples',
      '4',
      '--epochs',
      '24',
      '--save-every',
      '1',
      '--threads',
      '2',
      '--dev',
      '3',
      '--eval-every',
      '40',
    );
  }
  const child = spawn(process.execPath, [join(root, 'bin', 'mlit.mjs'), ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const ended = new Promise<{ code: number | null; stderr: string }>((resolve) =>
    child.on('close', (code) => resolve({ code, stderr })),
  );
  return { child, ended };
}

const weights = (run: string): string =>
  createHash('sha256')
    .update(readFileSync(join(run, 'adapter', 'adapter_model.safetensors')))
    .digest('hex');

const lastStep = (run: string): number => {
  const file = join(run, 'events.jsonl');
  if (!existsSync(file)) return 0;
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{"type":"step"') && line.endsWith('}'));
  return lines.length === 0 ? 0 : (JSON.parse(lines.at(-1)!) as { step: number }).step;
};

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('kill -9 and resume', () => {
  it(`gives the bytes of an uninterrupted run after ${KILLS} kills`, { timeout: 400_000 }, async () => {
    const whole = join(folder, 'whole');
    const { code, stderr } = await start(whole, false).ended;
    expect(stderr).toContain('adapter written');
    expect(code).toBe(0);
    const total = lastStep(whole);

    const run = join(folder, 'killed');
    let kills = 0;
    let finished = false;
    while (kills < KILLS) {
      const before = lastStep(run);
      const { child, ended } = start(run, existsSync(join(run, 'run.yaml')));
      // Wait until this process has taken a step or two of its own, then kill it at a moment it does not choose.
      const target = Math.min(before + 1 + (kills % 3), total);
      const deadline = Date.now() + 60_000;
      while (lastStep(run) < target && child.exitCode === null && Date.now() < deadline) await sleep(2);
      await sleep(Math.random() * 25);
      if (child.exitCode !== null) {
        finished = true;
        break;
      }
      child.kill('SIGKILL');
      await ended;
      kills += 1;
    }
    expect(finished, `the run ended after ${kills} kills: it is too short for this test`).toBe(false);
    const last = await start(run, true).ended;
    expect(last.code, last.stderr).toBe(0);
    expect(weights(run)).toBe(weights(whole));
  });
});
