// The examples in the repository are programs that people copy: they have to run.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { fixture, root, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();

it('examples/own-loop.mjs trains over the primitives and writes an adapter', () => {
  const data = writeRecords(join(folder, 'train.jsonl'), 88);
  const out = join(folder, 'out');
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'examples', 'own-loop.mjs'), fixture('smol-tiny', 'model'), data, out],
    { encoding: 'utf8' },
  );
  expect(status, stderr).toBe(0);
  expect(stdout).toMatch(/step 11\/11 {2}loss \d/);
  expect(stdout).toMatch(/step 10\/11.*\n {2}"/); // what it sampled in between
  expect(existsSync(join(out, 'adapter_model.safetensors'))).toBe(true);
  expect(existsSync(`${out}.state.safetensors`)).toBe(true);
});

it('examples/mix-and-train.mjs draws a pinch, trains on it and answers', () => {
  const data = writeRecords(join(folder, 'mix.jsonl'), 120);
  const out = join(folder, 'mixed');
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'examples', 'mix-and-train.mjs'), fixture('smol-tiny', 'model'), data, out],
    { encoding: 'utf8' },
  );
  expect(status, stderr).toBe(0);
  expect(stdout).toMatch(/pinch:.*count=8/);
  expect(stdout).toContain('{"en":32,"fi":4,"sw":4}');
  expect(stdout).toMatch(/step 6 {2}loss \d/);
  expect(existsSync(join(out, 'run', 'adapter', 'adapter_model.safetensors'))).toBe(true);
});
