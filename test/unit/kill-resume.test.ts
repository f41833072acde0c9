// The promise that nothing is lost: real processes are killed with SIGKILL at random moments, in the middle of steps and of
// checkpoint writes, and resumed; the adapter, or the model itself, has the bytes of a run that nobody touched.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fixture, root, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();
const data = writeRecords(join(folder, 'train.jsonl'), 120);

function start(out: string, resume: boolean, method: 'lora' | 'full', epochs: number) {
  const args = ['train', '--out', out];
  if (resume) args.push('--resume');
  else {
    args.push(
      '--model',
      fixture('smol-tiny', 'model'),
      '--data',
      data,
      '--method',
      method,
      ...(method === 'lora' ? ['--rank', '4', '--learning-rate', '1e-2'] : ['--learning-rate', '1e-3']),
    );
    args.push(
      '--batch-examples',
      '4',
      '--epochs',
      String(epochs),
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

const weights = (run: string, method: 'lora' | 'full'): string =>
  createHash('sha256')
    .update(
      readFileSync(
        join(run, method === 'lora' ? 'adapter/adapter_model.safetensors' : 'model/model.safetensors'),
      ),
    )
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
  it.each([
    ['lora', 20, 24],
    ['full', 6, 8],
  ] as const)(
    'gives the bytes of an uninterrupted run: %s, %i kills',
    {
      timeout: 400_000,
    },
    async (method, most, epochs) => {
      const whole = join(folder, `whole-${method}`);
      const { code, stderr } = await start(whole, false, method, epochs).ended;
      expect(stderr).toContain(method === 'lora' ? 'adapter written' : 'model written');
      expect(code).toBe(0);
      const total = lastStep(whole);

      const run = join(folder, `killed-${method}`);
      let kills = 0;
      let finished = false;
      while (kills < most) {
        const before = lastStep(run);
        const { child, ended } = start(run, existsSync(join(run, 'run.yaml')), method, epochs);
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
      const last = await start(run, true, method, epochs).ended;
      expect(last.code, last.stderr).toBe(0);
      expect(weights(run, method)).toBe(weights(whole, method));
    },
  );
});
