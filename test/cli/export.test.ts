// `mlit export` as a process: its flags, and what is left when it is killed at any moment.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Model } from '../../lib/index';
import { mlit as run } from '../support/cli';
import { fixture, root, scratch } from '../support/fixtures';

const folder = scratch();
const mlit = (args: string[]) => run(args, { cwd: folder });
const model = fixture('llama-tiny', 'model.gguf');
const adapter = fixture('llama-tiny', 'adapter');

describe('mlit export', () => {
  it('merges, and the result is a model for every command', async () => {
    const first = await mlit([
      ...['export', '--model', model, '--adapter', adapter, '--out', 'merged'],
      ...['--format', 'safetensors', '--json'],
    ]);
    expect(first.code, first.stderr).toBe(0);
    expect(JSON.parse(first.stdout)).toMatchObject({ out: 'merged', format: 'safetensors', dtype: 'f32' });
    const second = await mlit(['export', '--model', 'merged', '--out', 'made.gguf', '--format', 'gguf']);
    expect(second.code, second.stderr).toBe(0);
    expect(second.stdout).toBe('made.gguf\n');
    for (const made of ['merged', 'made.gguf']) {
      const plan = await mlit(['plan', '--model', made, '--data', 'none.jsonl']);
      expect(plan.stderr).not.toContain(made);
    }
  });

  it('says what is wrong with exit code 2 for options and 1 for files', async () => {
    const wrong: [string[], number, string][] = [
      [['--format', 'onnx', '--out', 'a'], 2, 'Allowed choices are safetensors, gguf, gguf-adapter'],
      [['--out', 'a'], 2, '--format'],
      [['--format', 'gguf', '--out', 'a'], 2, '.gguf'],
      [['--format', 'gguf-adapter', '--out', 'a.gguf'], 2, 'PEFT folder'],
      [['--format', 'safetensors', '--out', 'taken'], 1, 'nothing is overwritten'],
    ];
    mkdirSync(join(folder, 'taken', 'inside'), { recursive: true });
    for (const [flags, code, text] of wrong) {
      const ended = await mlit(['export', '--model', model, ...flags]);
      expect([ended.code, ended.stderr]).toEqual([code, expect.stringContaining(text)]);
    }
  });

  it('killed at any moment leaves nothing or everything under the final name', async () => {
    const place = join(folder, 'killed');
    mkdirSync(place);
    const start = (out: string, format: string) =>
      spawn(
        process.execPath,
        [join(root, 'bin', 'mlit.mjs'), ...['export', '--model', model, '--out', out, '--format', format]],
        { cwd: place, stdio: 'ignore' },
      );
    const ended = (child: ReturnType<typeof start>) =>
      new Promise<NodeJS.Signals | null>((resolve) => child.on('exit', (_, signal) => resolve(signal)));
    const began = performance.now();
    await ended(start('whole', 'safetensors'));
    const whole = performance.now() - began;
    const files = readdirSync(join(place, 'whole')).sort();
    expect(files).toContain('config.json');
    let killed = 0;
    for (let i = 0; i < 10; i++) {
      const [out, format] = i % 2 === 0 ? [`k${i}`, 'safetensors'] : [`k${i}.gguf`, 'gguf'];
      const child = start(out, format);
      const end = ended(child);
      await wait(whole * (0.55 + 0.045 * i));
      child.kill('SIGKILL');
      if ((await end) === 'SIGKILL') killed++;
      const path = join(place, out);
      if (!existsSync(path)) continue;
      if (format === 'safetensors') expect(readdirSync(path).sort()).toEqual(files);
      await using loaded = await Model.load({ model: path, threads: 1 });
      expect(loaded.config.layers).toBe(3);
    }
    expect(killed).toBeGreaterThan(0);
    for (const name of readdirSync(place))
      expect(name).toMatch(/^(whole|k\d(\.gguf)?|\.k\d(\.gguf)?\.tmp-.*-\d+-\d+-[0-9a-f]{8})$/);
    // Whoever exports to the same place next tidies up, and writes what would have been there.
    const strangers = join(place, `.k0.tmp-elsewhere-1-1-00000000`);
    mkdirSync(strangers);
    for (let i = 0; i < 10; i++) {
      const [out, format] = i % 2 === 0 ? [`k${i}`, 'safetensors'] : [`k${i}.gguf`, 'gguf'];
      rmSync(join(place, out), { recursive: true, force: true }); // whole, and perhaps killed before it had tidied up
      await ended(start(out, format));
    }
    const names = ['whole', ...Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? `k${i}` : `k${i}.gguf`))];
    const left = readdirSync(place).filter((name) => !names.includes(name));
    expect(left).toEqual([basename(strangers)]);
    const bytesOf = (...parts: string[]): Buffer => readFileSync(join(place, ...parts));
    for (let i = 0; i < 10; i += 2)
      for (const file of files) expect(bytesOf(`k${i}`, file).equals(bytesOf('whole', file))).toBe(true);
    rmSync(place, { recursive: true });
  });
});
