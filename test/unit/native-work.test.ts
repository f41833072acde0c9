// Work through the handles: the numbers of the reference, cancelling, and requests that come and go while steps run.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NativeModel, NativeSampleEvent, NativeSampler } from '../../lib/native/types';
import {
  adamW,
  expected,
  fixture,
  openModel,
  pack,
  packed,
  request,
  sampleOptions,
  spec,
  trainOptions,
} from './native-support';

let model: NativeModel;
let folder: string;
beforeAll(async () => {
  model = await openModel();
  folder = mkdtempSync(join(tmpdir(), 'mlit-native-'));
});
afterAll(async () => {
  await model.dispose();
  rmSync(folder, { recursive: true });
});

describe('training', () => {
  it('gives the reference’s loss and gradient norm', async () => {
    const adapter = await model.loadAdapter(fixture('adapter'));
    const session = await model.createTrainSession([adapter], trainOptions);
    const { totalWeight, adapter: reference } = expected.packed;
    const sums = await session.forwardBackward(packed(), true);
    expect(session.gradientsPending).toBe(true);
    expect(sums.weight).toEqual(Float64Array.of(totalWeight, 0));
    expect(sums.loss[0]! / totalWeight).toBeCloseTo(reference.loss, 4);
    const { weights } = packed();
    const again = sums.logprobs!.reduce((sum, logprob, i) => sum - weights[i]! * logprob, 0);
    expect(again).toBeCloseTo(sums.loss[0]!, 3);
    const result = await session.optimStep(0, { ...adamW, gradScale: 1 / totalWeight });
    expect(result.gradNorm).toBeCloseTo(reference.gradNorm, 3);
    expect(result.step).toBe(1);
    expect(session.stepCount(0)).toBe(1);
    expect(session.gradientsPending).toBe(false);
    await session.dispose();
  });

  it('keeps two adapters of one batch apart', async () => {
    const adapters = [
      await model.loadAdapter(fixture('adapter')),
      await model.loadAdapter(fixture('adapter-rslora')),
    ];
    const session = await model.createTrainSession(adapters, trainOptions);
    const { adapterOf, nllSums } = expected.packed.mixed;
    const sums = await session.score(packed(adapterOf));
    expect(sums.loss[0]).toBeCloseTo(nllSums[0]! + nllSums[2]!, 2);
    expect(sums.loss[1]).toBeCloseTo(nllSums[1]!, 2);
    expect(sums.loss[2]).toBe(0);
    await session.dispose();
  });

  it('takes a custom loss in two calls, equal to its own', async () => {
    const adapter = await model.createAdapter(spec, 1n);
    const session = await model.createTrainSession([adapter], trainOptions);
    const batch = packed();
    await session.forwardBackward(batch, false);
    const own = await session.optimStep(0, { ...adamW, learningRate: 0 });
    await session.forward(batch);
    await session.backward(batch.weights.map((weight) => -weight));
    const custom = await session.optimStep(0, { ...adamW, learningRate: 0 });
    expect(custom.gradNorm).toBeCloseTo(own.gradNorm, 3);
    await session.dispose();
  });

  it('saves and loads state, but not with gradients pending', async () => {
    const adapter = await model.createAdapter(spec, 1n);
    const session = await model.createTrainSession([adapter], trainOptions);
    const path = join(folder, 'state.safetensors');
    await session.forwardBackward(packed(), false);
    await expect(session.saveState(path)).rejects.toMatchObject({ code: 'GRADIENTS_PENDING' });
    await session.optimStep(0, adamW);
    await session.saveState(path);
    const saved = await adapter.toHost();
    await session.forwardBackward(packed(), false);
    await session.optimStep(0, adamW);
    expect(await adapter.toHost()).not.toEqual(saved);
    await session.loadState(path);
    expect(await adapter.toHost()).toEqual(saved);
    expect(session.stepCount(0)).toBe(1);
    await session.dispose();
  });

  it('writes an adapter that can be read again', async () => {
    const adapter = await model.createAdapter(spec, 3n);
    await adapter.save(join(folder, 'adapter'), 'a/base');
    const read = await model.loadAdapter(join(folder, 'adapter'));
    expect(read.spec).toEqual(spec);
    expect(read.parameterCount).toBe(adapter.parameterCount);
    expect(await read.toHost()).toEqual(await adapter.toHost());
  });
});

describe('cancelling training', () => {
  it('rejects what was posted before, and nothing after', async () => {
    const adapter = await model.createAdapter(spec, 1n);
    const session = await model.createTrainSession([adapter], trainOptions);
    const document = {
      tokens: Array.from({ length: 256 }, (_, i) => 3 + (i % 300)),
      weights: new Array(256).fill(1),
    };
    const big = pack(new Array(16).fill(document), new Array(16).fill(0));
    const before = Array.from({ length: 20 }, () => session.forwardBackward(big, false));
    const outcomes = Promise.allSettled(before);
    await new Promise((resolve) => setTimeout(resolve, 20));
    session.cancel();
    const after = session.score(packed());
    const codes = (await outcomes).map((each) => (each.status === 'rejected' ? each.reason.code : 'done'));
    expect(codes.at(-1)).toBe('CANCELLED');
    expect(codes.indexOf('done', codes.indexOf('CANCELLED'))).toBe(-1);
    expect(session.gradientsPending).toBe(false);
    expect((await after).weight[0]).toBe(expected.packed.totalWeight);
    await session.dispose();
  });
});

describe('sampling', () => {
  async function run(sampler: NativeSampler): Promise<Map<number, NativeSampleEvent[]>> {
    const events = new Map<number, NativeSampleEvent[]>();
    while (!sampler.idle) {
      for (const event of await sampler.step())
        events.set(event.id, [...(events.get(event.id) ?? []), event]);
    }
    return events;
  }

  it('gives the reference’s greedy tokens, batched', async () => {
    const sampler = await model.createSampler([], sampleOptions);
    expected.greedy.base.forEach(({ prompt }, id) => {
      sampler.submit(request(id, { prompt: Int32Array.from(prompt), maxNewTokens: 32 }));
    });
    const events = await run(sampler);
    expected.greedy.base.forEach(({ tokens }, id) => {
      expect(events.get(id)!.map(({ token }) => token)).toEqual(tokens);
      expect(events.get(id)!.at(-1)!.finish).toBe('length');
    });
    await sampler.dispose();
  });

  it('takes requests while a step runs, and frees their ids at their end', async () => {
    const sampler = await model.createSampler([], { ...sampleOptions, maxRows: 2 });
    sampler.submit(request(1));
    const step = sampler.step();
    sampler.submit(request(2));
    expect(() => sampler.submit(request(1))).toThrow(RangeError);
    await step;
    const events = await run(sampler);
    expect(events.get(1)).toHaveLength(7);
    expect(events.get(2)).toHaveLength(8);
    sampler.submit(request(1, { maxNewTokens: 1 }));
    expect((await run(sampler)).get(1)).toHaveLength(1);
    await sampler.dispose();
  });

  it('says nothing more of a cancelled request, whose id may be used again at once', async () => {
    const sampler = await model.createSampler([], sampleOptions);
    sampler.submit(request(1));
    // Of its own: one with the same beginning would wait for it.
    sampler.submit(request(2, { prompt: request(1).prompt.toReversed(), maxNewTokens: 2 }));
    const step = sampler.step();
    sampler.cancelRequest(1);
    sampler.cancelRequest(77);
    sampler.submit(request(1, { maxNewTokens: 3 }));
    expect((await step).map(({ id }) => id)).toEqual([2]);
    const events = await run(sampler);
    expect(events.get(1)).toHaveLength(3);
    expect(events.get(2)).toHaveLength(1);
    await sampler.dispose();
  });

  it('drops every sequence when cancelled, and works on', async () => {
    const sampler = await model.createSampler([], sampleOptions);
    sampler.submit(request(1, { prompt: new Int32Array(400).fill(5), maxNewTokens: 100 }));
    // Behind a training step, so that the sampler's own is surely not over yet.
    const session = await model.createTrainSession([], trainOptions);
    const ahead = session.score(packed([-1, -1, -1]));
    const step = sampler.step();
    sampler.cancel();
    await expect(step).rejects.toMatchObject({ code: 'CANCELLED' });
    await ahead;
    expect(sampler.idle).toBe(true);
    sampler.submit(request(2, { maxNewTokens: 1 }));
    expect((await run(sampler)).get(2)).toHaveLength(1);
    await sampler.dispose();
    await session.dispose();
  });
});
