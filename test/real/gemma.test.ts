// The real Gemma 3 270M through the public API against transformers: scores at lengths below and past the window of 512,
// greedy text, batches that change nothing, training that stays within its plan.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model, packExamples, Sampler, TrainingSession } from '../../lib/index';
import { fixtureJson, root, scratch, writeRecords } from '../support/fixtures';
import { realModel } from '../support/real-model';

interface Reference {
  texts: { name: string; tokens: number[]; logprobs: (number | null)[]; nll: number }[];
  greedy: { text: string; prompt: number[]; tokens: number[]; margins: number[] }[];
}

describe.skipIf(realModel === undefined)('Gemma 3 270M', { timeout: 120_000 }, () => {
  const folder = scratch();
  const reference = fixtureJson<Reference>('gemma-3-270m.json');
  let model: Model;
  beforeAll(async () => {
    model = await Model.load({ model: realModel! });
  }, 120_000);
  afterAll(() => model?.dispose());

  it.each(reference.texts.map((text) => [text.name, text] as const))(
    'scores %s as transformers does',
    async (_, text) => {
      const session = await TrainingSession.create({
        model,
        adapters: [],
        microTokens: text.tokens.length,
        training: false,
      });
      const weights = Float32Array.from(text.tokens, (_token, i) => (i === 0 ? 0 : 1));
      const [group] = packExamples([{ id: text.name, tokens: Int32Array.from(text.tokens), weights }], {
        microTokens: text.tokens.length,
        adapters: -1,
      });
      const { logprobs, loss } = await session.score(group!.batch);
      await session.dispose();
      expect(Math.abs(loss / text.nll - 1)).toBeLessThan(1e-5);
      const worst = text.logprobs
        .slice(1)
        .reduce<number>((most, value, i) => Math.max(most, Math.abs(value! - logprobs[i]!)), 0);
      expect(worst).toBeLessThan(2e-3);
    },
  );

  it('writes the greedy text of transformers, alone and in a batch', async () => {
    const requests = reference.greedy.map(({ prompt, tokens }, i) => ({
      id: `g${i}`,
      prompt: Int32Array.from(prompt),
      maxNewTokens: tokens.length,
      endOfTurnIds: [],
    }));
    await using together = await Sampler.create({ model, maxRows: 4, cacheTokens: 1024 });
    const batch = await together.generate(requests);
    await using alone = await Sampler.create({ model, maxRows: 1, cacheTokens: 256, prefillTokens: 5 });
    for (const [i, expected] of reference.greedy.entries()) {
      const clear = expected.margins.findIndex((margin) => margin <= 1e-3);
      const count = clear === -1 ? expected.tokens.length : clear;
      const got = batch[i]!;
      expect(got.tokens.slice(0, count)).toEqual(
        expected.tokens.slice(0, Math.min(count, got.tokens.length)),
      );
      const [single] = await alone.generate([requests[i]!]);
      expect(single).toEqual(got);
    }
  });

  it('trains within the memory that its plan names', async () => {
    const data = writeRecords(join(folder, 'train.jsonl'), 40);
    const out = join(folder, 'run');
    const args = [
      'train',
      '--model',
      realModel!,
      '--data',
      data,
      '--out',
      out,
      '--steps',
      '4',
      '--batch-examples',
      '10',
      '--json',
    ];
    const { status, stderr } = await peakOf(args, join(folder, 'peak'));
    expect(status, stderr).toBe(0);
    const peak = Number(readFileSync(join(folder, 'peak'), 'utf8'));
    const planned = /all native +([\d.]+) (GiB|MiB)/.exec(stderr)!;
    const native = Number(planned[1]) * (planned[2] === 'GiB' ? 2 ** 30 : 2 ** 20);
    const node = 700 * 2 ** 20; // tokenizer of 262,144 entries, data, the runtime itself
    expect(peak).toBeLessThan(native + node);
    expect(existsSync(join(out, 'adapter', 'adapter_model.safetensors'))).toBe(true);
  });
});

/** Runs mlit and writes the process's peak resident bytes, as the kernel counts them, to a file. */
function peakOf(args: string[], file: string): Promise<{ status: number | null; stderr: string }> {
  const hook = `process.on('exit', () => require('node:fs').writeFileSync(${JSON.stringify(file)}, String(process.resourceUsage().maxRSS * 1024)));`;
  const preload = join(file, '..', 'peak.cjs');
  writeFileSync(preload, hook);
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--require', preload, join(root, 'bin', 'mlit.mjs'), ...args]);
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk;
    });
    child.on('close', (status) => resolve({ status, stderr }));
  });
}
