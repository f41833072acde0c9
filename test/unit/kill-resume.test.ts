// The promise that nothing is lost: real processes are killed with SIGKILL at random moments, in the middle of steps and of
// checkpoint writes, and resumed; the adapter, or the model itself, has the bytes of a run that nobody touched.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TrainEvent } from '../../lib/index';
import { fixture, root, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();
const data = writeRecords(join(folder, 'train.jsonl'), 120);

interface Kind {
  method: 'lora' | 'full';
  epochs: number;
  /** Flags in place of the usual ones. */
  more?: readonly string[];
}

function start(out: string, resume: boolean, { method, epochs, more }: Kind) {
  const args = ['train', '--out', out];
  if (resume) args.push('--resume');
  else {
    const usual =
      method === 'lora' ? ['--rank', '4', '--learning-rate', '1e-2'] : ['--learning-rate', '1e-3'];
    args.push('--model', fixture('smol-tiny', 'model'), '--data', data, '--method', method);
    args.push('--batch-examples', '4', '--epochs', String(epochs), '--save-every', '1', '--threads', '2');
    args.push('--dev', '3', ...(more ?? [...usual, '--eval-every', '40']));
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

/** The events of a kind that are there whole. */
function eventsOf<Type extends TrainEvent['type']>(run: string, type: Type) {
  const file = join(run, 'events.jsonl');
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith(`{"type":"${type}"`) && line.endsWith('}'))
    .map((line) => JSON.parse(line) as Extract<TrainEvent, { type: Type }>);
}

const lastStep = (run: string): number => eventsOf(run, 'step').at(-1)?.step ?? 0;

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
      const { code, stderr } = await start(whole, false, { method, epochs }).ended;
      expect(stderr).toContain(method === 'lora' ? 'adapter written' : 'model written');
      expect(code).toBe(0);
      const total = lastStep(whole);

      const run = join(folder, `killed-${method}`);
      let kills = 0;
      let finished = false;
      while (kills < most) {
        const before = lastStep(run);
        const { child, ended } = start(run, existsSync(join(run, 'run.yaml')), { method, epochs });
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
      const last = await start(run, true, { method, epochs }).ended;
      expect(last.code, last.stderr).toBe(0);
      expect(weights(run, method)).toBe(weights(whole, method));
    },
  );

  // Killed while a wait is under way, again and again: a wait that began anew with each process would never end.
  it.each([
    ['the loss', { method: 'lora', epochs: 24, more: ['--rank', '4', '--learning-rate', '5e-2'] }],
    ['responses', { method: 'full', epochs: 24, more: ['--learning-rate', '3e-2', '--select', 'rouge-l'] }],
  ] as [string, Kind][])(
    'ends with the patience of an uninterrupted run: %s',
    { timeout: 400_000 },
    async (name, given) => {
      const kind = { ...given, more: [...given.more!, '--eval-every', '1', '--patience', '3'] };
      const whole = join(folder, `patient-${name}`);
      const { code, stderr } = await start(whole, false, kind).ended;
      expect(code, stderr).toBe(0);
      expect(eventsOf(whole, 'end')).toMatchObject([{ reason: 'finished', early: true }]);

      const run = join(folder, `patient-killed-${name}`);
      for (const wait of [1, 2, 2]) {
        const { child, ended } = start(run, existsSync(join(run, 'run.yaml')), kind);
        const isTime = (): boolean => {
          const waited = eventsOf(run, 'eval').filter(({ sinceBest }) => sinceBest === wait);
          return eventsOf(run, 'checkpoint').some(({ step }) => waited.some((event) => event.step === step));
        };
        while (!isTime() && child.exitCode === null) await sleep(2);
        expect(child.exitCode, 'it ended before it was killed').toBeNull();
        child.kill('SIGKILL');
        await ended;
      }
      const last = await start(run, true, kind).ended;
      expect(last.code, last.stderr).toBe(0);
      const waits = (out: string) => eventsOf(out, 'eval').map(({ step, sinceBest }) => [step, sinceBest]);
      expect(waits(run)).toEqual(waits(whole));
      expect(eventsOf(run, 'end')).toMatchObject([{ early: true, step: lastStep(whole) }]);
      expect(weights(run, kind.method)).toBe(weights(whole, kind.method));
    },
  );
});
