// Several processes that train together, as their launchers start them: by Open MPI's mpirun where there is one, and by torchrun's
// variables, over TCP. What they learn is what one process learns from the same steps.
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { StepEvent, TrainEvent } from '../../lib/index';
import { fixture, root, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();
const program = [process.execPath, join(root, 'bin', 'mlit.mjs')] as const;
const inPath = (name: string): boolean =>
  (process.env.PATH ?? '').split(':').some((place) => existsSync(join(place, name)));
const hasMpi = inPath('mpirun') && existsSync(join(root, 'build', 'Release', 'mlit_mpi.so'));
if (!hasMpi)
  console.log('ranks by MPI are left out: there is no mpirun, or no mpi.h was there for the build');

const data = writeRecords(join(folder, 'train.jsonl'), 28);
/** 25 training examples: of four steps the last has one, so that a rank goes without. */
const usual = ['--model', fixture('smol-tiny', 'model'), '--data', data, '--dev', '1', '--eval-every', '3']
  .concat(['--batch-examples', '8', '--rank', '4', '--learning-rate', '1e-2', '--warmup-steps', '0'])
  .concat(['--dropout', '0.1', '--threads', '1', '--device', 'cpu']);

interface Ended {
  code: number | null;
  stderr: string;
}

function watch(child: ChildProcess): Promise<Ended> {
  let stderr = '';
  child.stderr!.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stderr })));
}

const { RANK: _, WORLD_SIZE: __, MASTER_ADDR: ___, ...alone } = process.env;

function start(command: readonly string[], env: NodeJS.ProcessEnv = alone) {
  const child = spawn(command[0]!, command.slice(1), {
    env,
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return { child, ended: watch(child) };
}

const train = (out: string, ...flags: string[]): string[] => [...program, 'train', '--out', out, ...flags];

function byMpi(ranks: number, command: readonly string[]) {
  const mpirun = [
    'mpirun',
    '--allow-run-as-root',
    '--oversubscribe',
    '--bind-to',
    'none',
    '-n',
    String(ranks),
  ];
  return start([...mpirun, ...command], { ...alone, OMPI_MCA_rmaps_base_oversubscribe: '1' });
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** A process for each command, with torchrun's variables. */
async function byTcp(commands: readonly (readonly string[])[]) {
  const port = String(await freePort());
  return commands.map((command, rank) =>
    start(command, {
      ...alone,
      RANK: String(rank),
      WORLD_SIZE: String(commands.length),
      MASTER_ADDR: '127.0.0.1',
      MASTER_PORT: port,
    }),
  );
}

async function finish(...started: { ended: Promise<Ended> }[]): Promise<void> {
  for (const { code, stderr } of await Promise.all(started.map(({ ended }) => ended)))
    expect(code, stderr).toBe(0);
}

function eventsOf(run: string): TrainEvent[] {
  const file = join(run, 'events.jsonl');
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line) as TrainEvent);
}

const stepsOf = (run: string): StepEvent[] => eventsOf(run).filter((event) => event.type === 'step');

const weights = (run: string): string =>
  createHash('sha256')
    .update(readFileSync(join(run, 'adapter', 'adapter_model.safetensors')))
    .digest('hex');

/** Waits for a run to have taken this step. */
async function reached(run: string, step: number, ended: Promise<Ended>): Promise<void> {
  let early: Ended | undefined;
  void ended.then((result) => {
    early = result;
  });
  while ((stepsOf(run).at(-1)?.step ?? 0) < step) {
    expect(early, 'it ended before that').toBeUndefined();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const single = join(folder, 'single');
const two = join(folder, 'two');

/** The same model but for a bit of one weight. */
function otherModel(): string {
  const copy = join(folder, 'other-model');
  cpSync(fixture('smol-tiny', 'model'), copy, { recursive: true });
  const file = join(copy, 'model.safetensors');
  const bytes = readFileSync(file);
  bytes[bytes.length - 4]! ^= 1;
  writeFileSync(file, bytes);
  return copy;
}

describe('ranks by TCP', () => {
  it('take the steps of one process, and one of them writes', { timeout: 200_000 }, async () => {
    await finish(start(train(single, ...usual)));
    await finish(...(await byTcp([train(two, ...usual), train(join(folder, 'nowhere'), ...usual)])));
    const steps = stepsOf(two);
    expect(
      steps.map(({ tokens, supervisedTokens, learningRate }) => [tokens, supervisedTokens, learningRate]),
    ).toEqual(
      stepsOf(single).map(({ tokens, supervisedTokens, learningRate }) => [
        tokens,
        supervisedTokens,
        learningRate,
      ]),
    );
    expect(steps.map(({ ranks }) => ranks)).toEqual([2, 2, 2, 2]);
    for (const [i, { loss, gradNorm }] of stepsOf(single).entries()) {
      // Only the order of sums differs, in float32 for gradients: the first loss is one of no gradient.
      expect(Math.abs(steps[i]!.loss / loss - 1)).toBeLessThan(i === 0 ? 1e-12 : 1e-5);
      expect(Math.abs(steps[i]!.gradNorm / gradNorm - 1)).toBeLessThan(1e-4);
    }
    const devOf = (run: string) =>
      eventsOf(run).flatMap((event) => (event.type === 'eval' ? [event.loss] : []));
    expect(devOf(two)).toHaveLength(2);
    devOf(single).forEach((loss, i) => {
      expect(Math.abs(devOf(two)[i]! / loss - 1)).toBeLessThan(1e-5);
    });
    expect(readdirSync(two).sort()).toEqual(readdirSync(single).sort());

    expect(existsSync(join(folder, 'nowhere'))).toBe(false);
  });

  it('refuse to train on what is not the same, by its name', { timeout: 200_000 }, async () => {
    const other = writeRecords(join(folder, 'other.jsonl'), 31);
    const replaced = (from: string, to: string): string[] => usual.map((flag) => (flag === from ? to : flag));
    const cases: [string, string[], RegExp][] = [
      [
        'an option',
        replaced('1e-2', '2e-2'),
        /option learningRate is 0\.01 on rank 0 \(process \d+ on .*\), but 0\.02 on rank 1/,
      ],
      [
        'data',
        replaced(data, other),
        /the data \(.*\) is "[0-9a-f]+" on rank 0 .*, but "[0-9a-f]+" on rank 1/,
      ],
      ['the model', replaced(usual[1]!, otherModel()), /the model \(by its files\) is .* on rank 0/],
      [
        'a file that is not there',
        replaced(data, 'absent.jsonl'),
        /(rank 1 \(process \d+ on .*\) has failed: )?.*absent\.jsonl/,
      ],
    ];
    await Promise.all(
      cases.map(async ([what, flags, message]) => {
        const out = join(folder, `differ-${what.replaceAll(' ', '-')}`);
        const ranks = await byTcp([train(out, ...usual), train(out, ...flags)]);
        for (const { code, stderr } of await Promise.all(ranks.map(({ ended }) => ended))) {
          expect(code, `${what}: ${stderr}`).toBeGreaterThan(0);
          expect(stderr, what).toMatch(message);
        }
        expect(existsSync(join(out, 'adapter'))).toBe(false);
      }),
    );
  });

  it('end when one is killed, say which, and go on alone or as more', { timeout: 200_000 }, async () => {
    const run = join(folder, 'killed');
    const long = [...usual, '--epochs', '40', '--save-every', '4', '--eval-every', '50'];
    const ranks = await byTcp([train(run, ...long), train(run, ...long)]);
    await reached(run, 9, ranks[0]!.ended);
    ranks[1]!.child.kill('SIGKILL');
    const { code, stderr } = await ranks[0]!.ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/rank 1 \(process \d+ on .*\) is gone: .*go on with --resume.* \[RANK_LOST\]/);

    const step = stepsOf(run).at(-1)!.step;
    const three = await byTcp([1, 2, 3].map(() => train(run, '--resume')));
    await reached(run, step + 4, three[0]!.ended);
    three[2]!.child.kill('SIGTERM'); // one is asked to end: all do, after the same step
    const ended = await Promise.all(three.map((rank) => rank.ended));
    expect(
      ended.map((each) => each.code),
      ended[0]!.stderr,
    ).toEqual([143, 143, 143]);
    const stop = eventsOf(run).at(-1)!;
    expect(stop).toMatchObject({ type: 'end', reason: 'stopped' });
    expect(readdirSync(join(run, 'checkpoints'))).toContain(`step-${String(stop.step).padStart(8, '0')}`);
    const last = start(train(run, '--resume'));
    await finish(last);
    expect(stepsOf(run).map((event) => event.step)).toEqual(Array.from({ length: 160 }, (_each, i) => i + 1));
    expect(new Set(stepsOf(run).map((event) => event.ranks))).toEqual(new Set([2, 3, undefined]));
  });
});

describe('ranks by MPI', () => {
  it.runIf(hasMpi)(
    'have the bytes of ranks by TCP, also after one was killed',
    { timeout: 200_000 },
    async () => {
      const run = join(folder, 'mpi');
      const flags = [...usual, '--epochs', '20', '--save-every', '2', '--eval-every', '20'];
      const { ended } = byMpi(2, train(run, ...flags));
      await reached(run, 5, ended);
      const { pid: first } = JSON.parse(readFileSync(join(run, 'run.lock'), 'utf8')) as { pid: number };
      process.kill(first, 'SIGKILL');
      const { code, stderr } = await ended;
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/process rank 0 .*exited on signal 9 \(Killed\)/s);
      await finish(byMpi(2, train(run, '--resume')));

      const whole = join(folder, 'whole');
      await finish(...(await byTcp([train(whole, ...flags), train(whole, ...flags)])));
      expect(weights(run)).toBe(weights(whole));
    },
  );
});
