// Models of a hub from the command line: every command takes them, a killed pull is gone on with by the next one, and two
// processes may fetch the same.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Ended, mlit } from '../support/cli';
import { fixture, root, scratch, writeRecords } from '../support/fixtures';
import { commitOf, type FakeHub, startHub, stopAfterEach } from '../support/hub';

const NAME = 'hf:someone/tiny';
const KILLS = 8;
const folder = scratch();
let home: string;
let hub: FakeHub;
const cache = () => join(home, 'hub', 'models--someone--tiny');
const run = (...args: string[]): Promise<Ended> => mlit(args, { cwd: home });
const model = (file: string) => readFileSync(fixture('smol-tiny', 'model', file));

beforeEach(async () => {
  home = mkdtempSync(join(folder, 'home-'));
  hub = await startHub(home);
  const files = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'];
  hub.add('models/someone/tiny', Object.fromEntries(files.map((file) => [file, model(file)])));
});
stopAfterEach(() => hub);
afterEach(() => rmSync(home, { recursive: true, force: true }));

describe('hf: as a model', () => {
  it('is taken by pull, inspect, plan, train, score and sample', async () => {
    const data = writeRecords(join(home, 'train.jsonl'), 12);
    const of = ['--model', NAME, '--threads', '1'];
    const inspected = await run('inspect', '--data', data, '--model', NAME);
    expect(inspected).toMatchObject({ code: 0 });
    expect(hub.transfers.filter((request) => request.includes('model.safetensors'))).toEqual([]);
    const planned = await run('plan', ...of, '--data', data, '--json');
    expect(planned, planned.stderr).toMatchObject({ code: 0 });
    const pulled = await run('pull', NAME, '--json');
    const path = join(cache(), 'snapshots', commitOf('a'));
    expect(JSON.parse(pulled.stdout)).toEqual({ name: NAME, path, commit: commitOf('a') });
    const trained = await run('train', ...of, '--data', data, '--rank', '2', '--epochs', '1', '--out', 'run');
    expect(trained, trained.stderr).toMatchObject({ code: 0 });
    const config = JSON.parse(readFileSync(join(home, 'run', 'adapter', 'adapter_config.json'), 'utf8'));
    expect(config.base_model_name_or_path).toBe('someone/tiny');
    const adapted = [...of, '--adapter', 'run/adapter'];
    const scored = await run('score', ...adapted, '--data', data, '--json');
    expect(scored, scored.stderr).toMatchObject({ code: 0 });
    writeFileSync(join(home, 'prompts.jsonl'), '{"instruction": "Say cat."}\n');
    const sampled = await run('sample', ...adapted, '--prompts', 'prompts.jsonl', '--max-new-tokens', '2');
    expect(sampled, sampled.stderr).toMatchObject({ code: 0 });
    expect(JSON.parse(sampled.stdout).tokens).toHaveLength(2);
    expect(hub.transfers.filter((request) => request.startsWith('cdn'))).toHaveLength(1);
  }, 60_000);

  it('says by an exit code of 1 and a sentence that it is gated', async () => {
    hub.repos['models/someone/tiny']!.access = 'gated';
    const { code, stdout, stderr } = await run('pull', NAME);
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/the model is gated; accept its terms at .*\/someone\/tiny and set HF_TOKEN/);
  });
});

describe('a pull that is killed', () => {
  it(`at any moment, ${KILLS} times, leaves what the next one goes on with`, async () => {
    const weights = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * 13) % 251));
    hub.add('models/someone/tiny', {
      'config.json': '{}',
      'tokenizer.json': '{}',
      'model.safetensors': weights,
    });
    hub.slowMs = 2;
    const target = join(cache(), 'snapshots', commitOf('a'), 'model.safetensors');
    for (let kill = 0; kill < KILLS; kill += 1) {
      const child = spawn(process.execPath, [join(root, 'bin', 'mlit.mjs'), 'pull', NAME], {
        stdio: 'ignore',
      });
      const ended = new Promise((resolve) => child.once('exit', resolve));
      const { requests, bytesSent } = hub;
      const known = requests.length;
      const isTime = () => requests.length > known && hub.bytesSent >= bytesSent + (kill % 4) * 150_000;
      while (!isTime() && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 1));
      child.kill('SIGKILL');
      await ended;
      // A name is there only when all of the file is.
      if (existsSync(target)) expect(readFileSync(target).equals(weights)).toBe(true);
    }
    hub.slowMs = 0;
    const { code, stdout, stderr } = await run('pull', NAME);
    expect(code, stderr).toBe(0);
    expect(stdout.trim()).toBe(join(target, '..'));
    expect(readFileSync(target).equals(weights)).toBe(true);
    expect(readdirSync(join(cache(), 'blobs')).every((name) => /^[0-9a-f]+$/.test(name))).toBe(true);
    expect(hub.headers.filter(({ range }) => range !== undefined).length).toBeGreaterThan(1);
  }, 90_000);

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('by %s says so by %i', async (signal, code) => {
    hub.slowMs = 200;
    const child = spawn(process.execPath, [join(root, 'bin', 'mlit.mjs'), 'pull', NAME], { stdio: 'ignore' });
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    while (!hub.transfers.some((request) => request.startsWith('cdn')))
      await new Promise((resolve) => setTimeout(resolve, 10));
    child.kill(signal);
    expect(await ended).toBe(code);
    hub.slowMs = 0;
    expect(await run('pull', NAME)).toMatchObject({ code: 0 });
  });

  it.each([
    ['a file of the snapshot', 'snapshots'],
    ['a branch', 'refs'],
  ])('just before it names %s leaves nothing for good', async (_, place) => {
    const killer = join(home, 'killer.mjs');
    writeFileSync(
      killer,
      `import fs from 'node:fs/promises';
       import { syncBuiltinESMExports } from 'node:module';
       const { rename } = fs;
       fs.rename = async (from, to) => (to.includes('/${place}/') ? process.kill(process.pid, 'SIGKILL') : rename(from, to));
       syncBuiltinESMExports();`,
    );
    const child = spawn(process.execPath, ['--import', killer, join(root, 'bin', 'mlit.mjs'), 'pull', NAME], {
      stdio: 'ignore',
    });
    expect(await new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)))).toBe(
      'SIGKILL',
    );
    const left = () =>
      readdirSync(cache(), { recursive: true, encoding: 'utf8' }).filter((name) => name.includes('.mlit-'));
    expect(left()).toHaveLength(1);
    expect(await run('pull', NAME)).toMatchObject({ code: 0 });
    expect(left()).toEqual([]);
  });

  it('is no hindrance to two that come after it at once', async () => {
    hub.slowMs = 3;
    const both = await Promise.all([run('pull', NAME), run('pull', NAME)]);
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    const snapshot = join(cache(), 'snapshots', commitOf('a'));
    expect(readFileSync(join(snapshot, 'model.safetensors')).equals(model('model.safetensors'))).toBe(true);
    expect(readdirSync(join(cache(), 'blobs')).every((name) => /^[0-9a-f]+$/.test(name))).toBe(true);
  });
});
