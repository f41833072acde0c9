// Handles: arguments are refused by name, a wrong `this` is a TypeError, disposal reaches children and ends all use.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadAddon } from '../../lib/native/addon';
import { MlitError } from '../../lib/native/errors';
import type {
  NativeAdapter,
  NativeModel,
  NativePackedBatch,
  NativeSampler,
  NativeTrainSession,
} from '../../lib/native/types';
import {
  adamW,
  fixture,
  loadOptions,
  openModel,
  packed,
  request,
  sampleOptions,
  spec,
  trainOptions,
} from './native-support';

interface Handles {
  model: NativeModel;
  adapter: NativeAdapter;
  session: NativeTrainSession;
  sampler: NativeSampler;
}

async function openAll(): Promise<Handles> {
  const model = await openModel();
  const adapter = await model.createAdapter(spec, 1n);
  const session = await model.createTrainSession([adapter], trainOptions);
  const sampler = await model.createSampler([adapter], sampleOptions);
  return { model, adapter, session, sampler };
}

/** What a call throws or rejects with, asynchronous or not. */
async function failureOf(call: () => unknown): Promise<Error> {
  try {
    await call();
  } catch (error) {
    return error as Error;
  }
  throw new Error('it did not fail');
}

/** Every call that needs a living handle. */
const calls = ({ model, adapter, session, sampler }: Handles): Record<string, () => unknown> => ({
  'model.createAdapter': () => model.createAdapter(spec, 1n),
  'model.loadAdapter': () => model.loadAdapter(fixture('adapter')),
  'model.createTrainSession': () => model.createTrainSession([], trainOptions),
  'model.createSampler': () => model.createSampler([], sampleOptions),
  'adapter.save': () => adapter.save('nowhere', 'base'),
  'adapter.toHost': () => adapter.toHost(),
  'session.forwardBackward': () => session.forwardBackward(packed(), false),
  'session.score': () => session.score(packed()),
  'session.forward': () => session.forward(packed()),
  'session.backward': () => session.backward(new Float32Array(packed().tokens.length)),
  'session.optimStep': () => session.optimStep(0, adamW),
  'session.zeroGradients': () => session.zeroGradients(),
  'session.saveState': () => session.saveState('nowhere'),
  'session.loadState': () => session.loadState('nowhere'),
  'session.stepCount': () => session.stepCount(0),
  'sampler.submit': () => sampler.submit(request(1)),
  'sampler.step': () => sampler.step(),
});

describe('disposal', () => {
  it('of a model ends its children, once and for all', async () => {
    const handles = await openAll();
    await Promise.all([handles.model.dispose(), handles.model.dispose()]);
    await handles.session.dispose();
    for (const handle of Object.values(handles)) expect(handle.disposed).toBe(true);
    for (const [name, call] of Object.entries(calls(handles))) {
      const error = await failureOf(call);
      expect(error, name).toBeInstanceOf(MlitError);
      const [handle] = name.split('.') as [string];
      const kind = { model: 'Model', adapter: 'Adapter', session: 'TrainingSession', sampler: 'Sampler' }[
        handle
      ];
      const why =
        handle === 'model'
          ? 'it was disposed of'
          : 'the Model that it was made from was disposed of, and ended it';
      expect(error, name).toMatchObject({
        code: 'DISPOSED',
        message: `this ${kind} can't be used any more: ${why}`,
        fields: { handle: kind, disposed: 'Model' },
      });
    }
  });

  it('of a child leaves its parent and siblings alone', async () => {
    const handles = await openAll();
    await handles.session.dispose();
    await handles.adapter.dispose();
    expect(handles.model.disposed).toBe(false);
    handles.sampler.submit(request(1, { adapter: 0, maxNewTokens: 1 }));
    expect(await handles.sampler.step()).toMatchObject([{ id: 1, finish: 'length' }]);
    const error = await failureOf(() => handles.model.createTrainSession([handles.adapter], trainOptions));
    expect(error).toMatchObject({
      code: 'DISPOSED',
      message: expect.stringMatching(/adapters\[0\].*Adapter, can't be used any more: it was disposed of/),
      fields: { disposed: 'Adapter' },
    });
    const used = await failureOf(() => handles.session.zeroGradients());
    expect(used.message).toBe("this TrainingSession can't be used any more: it was disposed of");
    await handles.model.dispose();
  });

  it('waits for work that was posted before it', async () => {
    const { model, session } = await openAll();
    const order: string[] = [];
    const work = session.forwardBackward(packed(), false).then(() => order.push('work'));
    await model.dispose().then(() => order.push('disposed'));
    await work;
    expect(order).toEqual(['work', 'disposed']);
  });

  it('leaves facts readable and makes cancelling harmless', async () => {
    const { model, adapter, session, sampler } = await openAll();
    sampler.submit(request(1));
    await model.dispose();
    expect(model.config.layers).toBe(3);
    expect(adapter.spec).toEqual(spec);
    expect(session.gradientsPending).toBe(false);
    expect(sampler.idle).toBe(true);
    session.cancel();
    sampler.cancel();
    sampler.cancelRequest(1);
  });

  it('in the middle of a creation rejects that', async () => {
    const model = await openModel();
    const child = failureOf(() => model.createAdapter(spec, 1n));
    await model.dispose();
    expect(await child).toMatchObject({ code: 'DISPOSED' });
  });
});

describe('a living handle', () => {
  let handles: Handles;
  let other: NativeModel;
  beforeAll(async () => {
    handles = await openAll();
    other = await openModel();
  });
  afterAll(async () => {
    await handles.model.dispose();
    await other.dispose();
  });

  it('refuses a wrong `this`', async () => {
    const { model, session, sampler } = handles;
    const wrong: unknown[] = [{}, undefined, 3, model, Object.create(session), new Proxy(session, {})];
    for (const self of wrong) {
      expect(await failureOf(() => session.score.call(self as never, packed()))).toBeInstanceOf(TypeError);
      expect(await failureOf(() => session.stepCount.call(self as never, 0))).toBeInstanceOf(TypeError);
      expect(await failureOf(() => sampler.step.call(self as never))).toBeInstanceOf(TypeError);
      expect(await failureOf(() => session.dispose.call(self as never))).toBeInstanceOf(TypeError);
    }
    const Constructor = model.constructor as new () => object;
    expect(await failureOf(() => new Constructor())).toBeInstanceOf(TypeError);
    class Derived extends Constructor {}
    expect(await failureOf(() => new Derived())).toBeInstanceOf(TypeError);
  });

  it('refuses handles of another kind or model', async () => {
    const { model, session } = handles;
    const notOne = await failureOf(() => model.createTrainSession([session as never], trainOptions));
    expect(notOne).toBeInstanceOf(TypeError);
    expect(notOne.message).toContain('adapters[0]');
    const foreign = await other.createAdapter(spec, 1n);
    for (const call of [
      () => model.createTrainSession([foreign], trainOptions),
      () => model.createSampler([foreign], sampleOptions),
    ]) {
      const error = await failureOf(call);
      expect(error).toBeInstanceOf(RangeError);
      expect(error.message).toContain('adapters[0]');
    }
  });

  const size = packed().tokens.length;
  const detached = new Int32Array(size);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  const resizable = Reflect.construct(ArrayBuffer, [size * 4, { maxByteLength: size * 8 }]) as ArrayBuffer;
  const wrongBatches: [string, keyof NativePackedBatch, unknown, ErrorConstructor][] = [
    ['an array', 'tokens', Array.from(packed().tokens), TypeError],
    ['nothing', 'positions', undefined, TypeError],
    ['another type', 'weights', new Float64Array(size), TypeError],
    ['another type of 4 bytes', 'tokens', new Uint32Array(size), TypeError],
    ['a DataView', 'targets', new DataView(new ArrayBuffer(size * 4)), TypeError],
    ['a detached buffer', 'positions', detached, TypeError],
    ['a resizable buffer', 'weights', new Float32Array(resizable), TypeError],
    ['shared memory', 'targets', new Int32Array(new SharedArrayBuffer(size * 4)), TypeError],
    ['too few', 'positions', new Int32Array(size - 1), RangeError],
    ['too many', 'targets', new Int32Array(size + 1), RangeError],
    ['too few', 'weights', new Float32Array(size - 1), RangeError],
    ['too few', 'adapters', new Int32Array(2), RangeError],
    ['too few', 'cuSeqlens', Int32Array.of(0), RangeError],
  ];
  it.each(wrongBatches)('refuses %s for batch.%s', async (_what, field, value, type) => {
    const { session } = handles;
    const batch = { ...packed(), [field]: value } as NativePackedBatch;
    for (const call of [
      () => session.forwardBackward(batch, false),
      () => session.score(batch),
      () => session.forward(batch),
    ]) {
      const error = await failureOf(call);
      expect(error).toBeInstanceOf(type);
      expect(error.message).toContain(`batch.${field}`);
    }
    expect(session.gradientsPending).toBe(false);
  });

  it('names expected and given lengths', async () => {
    const error = await failureOf(() => handles.session.score({ ...packed(), weights: new Float32Array(2) }));
    expect(error.message).toBe(`batch.weights must have ${size} elements (as many as batch.tokens), got 2`);
  });

  it('refuses values that only the model can judge', async () => {
    const tokens = packed().tokens.slice();
    tokens[4] = handles.model.config.vocabulary;
    const error = await failureOf(() => handles.session.forwardBackward({ ...packed(), tokens }, false));
    expect(error).toBeInstanceOf(RangeError);
    expect(error.message).toContain('tokens[4]');
  });

  it('honours byteOffset and length', async () => {
    const batch = packed();
    const inside = <T extends Int32Array | Float32Array>(array: T): T => {
      const Type = array.constructor as new (
        source: ArrayBuffer | number,
        offset?: number,
        length?: number,
      ) => T;
      const around = new Type(array.length + 7);
      around.fill(-77);
      around.set(array, 3);
      return new Type(around.buffer as ArrayBuffer, 12, array.length);
    };
    const moved = {
      tokens: inside(batch.tokens),
      positions: inside(batch.positions),
      cuSeqlens: inside(batch.cuSeqlens),
      targets: inside(batch.targets),
      weights: inside(batch.weights),
      adapters: inside(batch.adapters),
    };
    expect(await handles.session.score(moved)).toEqual(await handles.session.score(batch));
  });

  it('copies arrays at the call', async () => {
    const batch = packed();
    const pending = handles.session.score(batch);
    for (const array of Object.values(batch)) array.fill(0);
    expect(await pending).toEqual(await handles.session.score(packed()));
  });

  it.each([
    ['rank', 0, RangeError],
    ['rank', '4', TypeError],
    ['alpha', Number.NaN, RangeError],
    ['rslora', 1, TypeError],
    ['targetModules', [], RangeError],
    ['targetModules', 'all', TypeError],
    ['targetModules', ['embed_tokens'], RangeError],
  ])('refuses an adapter with %s = %j', async (name, value, type) => {
    const error = await failureOf(() => handles.model.createAdapter({ ...spec, [name]: value } as never, 1n));
    expect(error).toBeInstanceOf(type);
    expect(error.message).toContain(`spec.${name}`);
  });

  it.each([1, -1n, 2n ** 64n])('refuses %s for a seed', async (seed) => {
    const error = await failureOf(() => handles.model.createAdapter(spec, seed as bigint));
    expect(error).toBeInstanceOf(typeof seed === 'bigint' ? RangeError : TypeError);
    expect(error.message).toContain('seed');
  });

  it.each([
    ['learningRate', -1],
    ['beta1', 2],
    ['maxGradNorm', Number.POSITIVE_INFINITY],
    ['gradScale', Number.NaN],
  ])('refuses %s = %s in optimStep', async (name, value) => {
    const error = await failureOf(() => handles.session.optimStep(0, { ...adamW, [name]: value }));
    expect(error).toBeInstanceOf(RangeError);
    expect(error.message).toContain(`params.${name}`);
    expect(await failureOf(() => handles.session.optimStep(1, adamW))).toBeInstanceOf(RangeError);
    expect(handles.session.stepCount(0)).toBe(0);
  });

  it.each([
    ['prompt', new Int32Array()],
    ['prompt', Int32Array.of(-1)],
    ['prompt', Int32Array.of(369)],
    ['prompt', new Int32Array(512)],
    ['maxNewTokens', 0],
    ['maxNewTokens', 5000],
    ['temperature', -1],
    ['topP', 1.5],
    ['seed', -1n],
    ['adapter', 1],
  ])('refuses a request with %s = %s', async (name, value) => {
    const error = await failureOf(() => handles.sampler.submit(request(1, { [name]: value })));
    expect(error).toBeInstanceOf(RangeError);
    expect(error.message).toContain(`request.${name}`);
    expect(handles.sampler.idle).toBe(true);
  });
});

it('the error class is the library’s own', async () => {
  const error = await failureOf(() => loadAddon().loadModel('nowhere', loadOptions));
  expect(error.constructor).toBe(MlitError);
});
