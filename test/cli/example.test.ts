// The examples in the repository are programs that people copy: they have to run.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Adapter, Model, TrainingSession } from '../../lib/index';
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

it('examples/dpo.mjs has the loss and the gradients of trl', async () => {
  const expected = JSON.parse(readFileSync(fixture('llama-tiny', 'dpo.json'), 'utf8'));
  const pairs = join(folder, 'pairs.jsonl');
  writeFileSync(pairs, expected.pairs.map((pair: object) => `${JSON.stringify(pair)}\n`).join(''));
  const out = join(folder, 'dpo');
  const model = fixture('llama-tiny', 'model');
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'examples', 'dpo.mjs'), model, pairs, out, fixture('llama-tiny', 'adapter')],
    { encoding: 'utf8' },
  );
  expect(status, stderr).toBe(0);
  const [, loss, norm] = /loss (\S+) {2}.*\|g\| (\S+)/.exec(stdout)!;
  expect(Math.abs(Number(loss) / expected.loss - 1)).toBeLessThan(1e-5);
  expect(Math.abs(Number(norm) / expected.gradNorm - 1)).toBeLessThan(1e-4);

  // After one step AdamW's first moment is a tenth of the clipped gradient: written over the parameters of the state, it
  // comes out as an adapter, whose tensors have the names that the reference has.
  const state = readFileSync(`${out}.state.safetensors`);
  const begin = 8 + Number(state.readBigUInt64LE(0));
  const header = JSON.parse(state.subarray(8, begin).toString()) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  const bytesOf = (name: string): Buffer => {
    const key = Object.keys(header).find((each) => each.endsWith(name))!;
    const [from, to] = header[key]!.data_offsets;
    return state.subarray(begin + from, begin + to);
  };
  bytesOf('m').copy(bytesOf('parameters'));
  const swapped = join(folder, 'moments.safetensors');
  writeFileSync(swapped, state);
  await using base = await Model.load({ model, threads: 1 });
  const adapter = await Adapter.load(base, fixture('llama-tiny', 'adapter'));
  await using session = await TrainingSession.create({ model: base, adapters: [adapter], microTokens: 8 });
  await session.loadState(swapped);
  await adapter.save(join(folder, 'moments'), 'x');
  const got = readTensors(join(folder, 'moments', 'adapter_model.safetensors'));
  const wanted = readTensors(fixture('llama-tiny', 'dpo.safetensors'));
  const clip = Math.min(1, 1 / (expected.gradNorm + 1e-6));
  expect(wanted.size).toBe(got.size);
  for (const [name, values] of wanted) {
    const moments = got.get(name.replace(/^grad\./, ''))!;
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expect(largest).toBeGreaterThan(0);
    const worst = values.reduce(
      (most, value, i) => Math.max(most, Math.abs(moments[i]! / (0.1 * clip) - value)),
      0,
    );
    expect(worst / largest, name).toBeLessThan(1e-4);
  }
});

function readTensors(file: string): Map<string, Float32Array> {
  const bytes = readFileSync(file);
  const begin = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, begin).toString()) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  const tensors = new Map<string, Float32Array>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const [from, to] = entry.data_offsets;
    tensors.set(name, new Float32Array(new Uint8Array(bytes.subarray(begin + from, begin + to)).buffer));
  }
  return tensors;
}
