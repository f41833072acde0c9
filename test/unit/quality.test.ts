// The report on integers: every figure is one that can be had another way, and both arithmetics are at work in it.
import { beforeAll, describe, expect, it } from 'vitest';
import { adapterGradient, gradientCosines } from '../../lib/eval/adapter-gradient';
import { builtInRecords } from '../../lib/eval/quality-records';
import {
  Adapter,
  ChatTemplate,
  compareQuality,
  type Example,
  Model,
  packExamples,
  type QualityReport,
  type RenderedExample,
  renderExamples,
  score,
  TrainingSession,
} from '../../lib/index';
import { fixture, scratch } from '../support/fixtures';

const folder = scratch();
const model = fixture('smol-tiny', 'model');
const records = builtInRecords();
const languages = [...new Set(records.map(({ lang }) => lang))];

async function rendered(of: Model, examples: readonly Example[]): Promise<RenderedExample[]> {
  const { tokenizer } = of;
  const template = await ChatTemplate.create({ template: 'auto', tokenizer });
  return renderExamples(examples, { tokenizer, template, maxLength: 512 }).examples;
}

describe('compareQuality', () => {
  let report: QualityReport;
  const fractions: number[] = [];
  beforeAll(async () => {
    report = await compareQuality({
      model,
      steps: 2,
      threads: 2,
      onProgress: (fraction) => fractions.push(fraction),
    });
  });

  it('has the likelihoods that score finds in each arithmetic', async () => {
    expect(report.base.map(({ lang }) => lang)).toEqual([...[...languages].sort(), 'all']);
    for (const compute of ['f32', 'int8'] as const) {
      await using loaded = await Model.load({ model, threads: 2, compute });
      expect(report.bytes[compute]).toBe(loaded.bytes);
      // Of six records of a language the first three are held out.
      const heldOut = records.filter(({ id }) => /-[123]$/.test(id));
      const { all, byLanguage } = await score({ model: loaded, examples: await rendered(loaded, heldOut) });
      for (const row of report.base) {
        const { nll, tokens, records: count } = row.lang === 'all' ? all : byLanguage[row.lang]!;
        expect(row).toMatchObject({ tokens, records: count });
        expect(row[compute]).toBeCloseTo(nll / tokens, 6);
      }
    }
  });

  it('gives differences with intervals around them, of what was trained too', () => {
    for (const row of [...report.base, ...report.trained]) {
      const { value, low, high } = row.difference;
      expect(value).toBeCloseTo(100 * (row.int8 / row.f32 - 1), 9);
      expect(Math.abs(value)).toBeLessThan(1);
      expect(row.int8).not.toBe(row.f32);
      expect(low!).toBeLessThan(high!);
    }
    // Another seed is another adapter, but of little weight beside the base.
    expect(report.base.every((row) => row.otherSeed === undefined)).toBe(true);
    for (const { otherSeed } of report.trained) {
      expect(otherSeed).not.toBe(0);
      expect(Math.abs(otherSeed!)).toBeLessThan(1);
    }
    const all = (rows: QualityReport['base']): number => rows.at(-1)!.f32;
    expect(all(report.trained)).toBeLessThan(all(report.base));
  });

  it('trains in each arithmetic, from the same start, on what is not held out', async () => {
    // A new adapter changes nothing: the first step's loss is the base's, on the first record of each language behind those held out.
    await using loaded = await Model.load({ model, threads: 2 });
    const examples = await rendered(
      loaded,
      records.filter(({ id }) => id.endsWith('-4')),
    );
    const { nll, tokens } = (await score({ model: loaded, examples })).all;
    expect(report.losses.f32[0]).toBeCloseTo(nll / tokens, 5);
    const { f32, int8 } = report.losses;
    expect([f32.length, int8.length]).toEqual([2, 2]);
    for (const [i, loss] of f32.entries()) {
      expect(int8[i]).not.toBe(loss);
      expect(Math.abs(int8[i]! / loss - 1)).toBeLessThan(0.01);
    }
  });

  it('holds gradients against each other by layer', () => {
    const { byLayer, all, records: count } = report.cosine;
    expect(byLayer).toHaveLength(2);
    expect(count).toBe(8);
    for (const cosine of [...byLayer, all]) {
      expect(cosine).toBeGreaterThan(0.98);
      expect(cosine).toBeLessThan(0.99999);
    }
    const { layer, cosine, lang, percent } = report.worst;
    expect(cosine).toBe(Math.min(...byLayer));
    expect(byLayer[layer]).toBe(cosine);
    const differences = report.base.slice(0, -1).map((row) => Math.abs(row.difference.value));
    expect(Math.abs(percent)).toBe(Math.max(...differences));
    expect(report.base.find((row) => row.lang === lang)!.difference.value).toBe(percent);
  });

  it('tells how far it is', () => {
    expect(fractions.at(-1)).toBe(1);
    expect(fractions).toEqual([...fractions].sort((a, b) => a - b));
  });

  it.each([
    [{ device: 'cuda' }, /compute is int8.*the device is cuda/],
    [{ steps: 0 }, /compareQuality: steps is 0, expected a whole number from 1/],
    [{ heldOut: 1.5 }, /compareQuality: heldOut is 1\.5/],
    [{ examples: records.slice(0, 1) }, /1 record, and no language has two/],
    [{ stesp: 3 }, /did you mean 'steps'/],
  ])('refuses %o', async (wrong, message) => {
    await expect(compareQuality({ model, ...wrong })).rejects.toThrow(message);
  });

  it('ends with the reason of its signal', async () => {
    const stop = new AbortController();
    const stopped = compareQuality({
      model,
      signal: stop.signal,
      onProgress: (_, what) => what === 'f32: step 1 of 10' && stop.abort(new Error('enough')),
    });
    await expect(stopped).rejects.toThrow('enough');
  });
});

describe('a gradient as numbers', () => {
  it('has the norm that a step tells, and each layer the same place for its parts', async () => {
    await using loaded = await Model.load({ model, threads: 2 });
    const examples = (await rendered(loaded, records)).slice(0, 3);
    await using adapter = await Adapter.create(loaded, { rank: 4, seed: 1 });
    const gradient = await adapterGradient(adapter, examples, { microTokens: 512, folder });
    expect(gradient).toHaveLength(adapter.parameterCount);

    await using session = await TrainingSession.create({ model: loaded, adapters: [adapter] });
    for (const { batch } of packExamples(examples, { microTokens: 512 }))
      await session.forwardBackward(batch);
    const { gradNorm } = await session.optimStep({ learningRate: 1e-3 });
    expect(Math.hypot(...gradient) / gradNorm).toBeCloseTo(1, 5);

    // B is zero in a new adapter, and so is the gradient of every A.
    const [first, second] = [0, 1].map((layer) => {
      const width = gradient.length / 2;
      return Array.from(gradient.subarray(layer * width, (layer + 1) * width), (value) => value === 0);
    });
    expect(first!.filter(Boolean).length).toBeGreaterThan(100);
    expect(first).toEqual(second);
  });

  it('is compared part by part', () => {
    const a = Float32Array.of(1, 0, 3, 4);
    const b = Float32Array.of(2, 0, 4, -3);
    const { byLayer, all } = gradientCosines(a, b, 2);
    expect(byLayer).toEqual([1, 0]);
    expect(all).toBeCloseTo(2 / Math.sqrt(26 * 29), 12);
  });
});
