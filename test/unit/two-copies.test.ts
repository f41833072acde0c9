// Two versions of the package in one process, as happens where two dependencies each bring theirs: both work, errors are of
// the copy that raised them, and neither takes the other's handles for its own.
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createContext, runInContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import type * as Package from '../../lib/index';
import { isMlitError } from '../../lib/native/errors';
import { fixture, root, scratch } from '../support/fixtures';
import { adamW, packed, sampleOptions, spec, trainOptions } from './native-support';

const folder = scratch();
const require = createRequire(import.meta.url);

/** A folder like that of an installed package, of a version of its own. */
function copyOfPackage(version: string): string {
  const home = join(folder, version, 'mlit-native');
  for (const name of ['dist', join('build', 'Release')]) mkdirSync(join(home, name), { recursive: true });
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  writeFileSync(join(home, 'package.json'), JSON.stringify({ ...manifest, version }));
  symlinkSync(join(root, 'node_modules'), join(home, 'node_modules'));
  for (const file of [join('dist', 'index.cjs'), join('build', 'Release', 'mlit.node')])
    copyFileSync(join(root, file), join(home, file));
  return home;
}

const homes = ['1.0.0', '2.0.0'].map(copyOfPackage) as [string, string];
const [a, b] = homes.map((home) => require(home) as typeof Package) as [typeof Package, typeof Package];
const model = fixture('llama-tiny', 'model');

async function failureOf(call: () => unknown): Promise<Error> {
  try {
    await call();
  } catch (error) {
    return error as Error;
  }
  throw new Error('it did not fail');
}

it('both train and sample, side by side, with the same bits', async () => {
  const losses = await Promise.all(
    [a, b].map(async (copy) => {
      const base = await copy.Model.load({ model, threads: 1 });
      const adapter = await base.native.createAdapter(spec, 1n);
      const session = await base.native.createTrainSession([adapter], trainOptions);
      const sums = await session.forwardBackward(packed(), false);
      await session.optimStep(0, { ...adamW, gradScale: 1 / sums.weight[0]! });
      const after = await session.score(packed());
      await base.dispose();
      return [sums.loss[0], after.loss[0]];
    }),
  );
  expect(losses[0]).toEqual(losses[1]);
  expect(losses[0]![1]).toBeLessThan(losses[0]![0]!);
  const maps = readFileSync('/proc/self/maps', 'utf8');
  for (const home of homes) expect(maps).toContain(join(home, 'build', 'Release', 'mlit.node'));
});

it('errors are of the copy that raised them; isMlitError knows all', async () => {
  const failures = [a, b].map((copy) => failureOf(() => copy.Model.load({ model: fixture('no', 'model') })));
  const native = [a, b].map(async (copy) => {
    const base = await copy.Model.load({ model, threads: 1 });
    const error = await failureOf(() => copy.Adapter.load(base, fixture('nowhere')));
    await base.dispose();
    return error;
  });
  for (const [mine, other, error] of [
    [a, b, await failures[0]],
    [b, a, await failures[1]],
    [a, b, await native[0]],
    [b, a, await native[1]],
  ] as const) {
    expect(error).toBeInstanceOf(mine.MlitError);
    expect(error).not.toBeInstanceOf(other.MlitError);
    expect(isMlitError(error) && a.isMlitError(error) && b.isMlitError(error)).toBe(true);
  }
});

it('handles of one given to the other are refused, and say so', async () => {
  const [mine, other] = await Promise.all([a, b].map((copy) => copy.Model.load({ model, threads: 1 })));
  const foreign = await other!.native.createAdapter(spec, 1n);
  const session = await mine!.native.createTrainSession([], trainOptions);
  const calls = {
    'an adapter to train': () => mine!.native.createTrainSession([foreign], trainOptions),
    'an adapter to sample': () => mine!.native.createSampler([foreign], sampleOptions),
    'a method on a handle': () => session.score.call(foreign as never, packed()),
    'a method of one’s own kind': () => mine!.native.createAdapter.call(other!.native, spec, 1n),
    dispose: () => session.dispose.call(foreign as never),
  };
  for (const [name, call] of Object.entries(calls)) {
    const error = await failureOf(call);
    expect(error, name).toBeInstanceOf(TypeError);
    expect(error.message, name).toMatch(/must be a native \w+, got|Illegal invocation/); // V8 checks `this` first
  }
  const told = await failureOf(calls['an adapter to train']);
  expect(told.message).toBe(
    'adapters[0] must be a native Adapter, got one that this copy of mlit-native did not make: where two are loaded in a process, handles belong to theirs',
  );
  expect(foreign.disposed).toBe(false);
  await Promise.all([mine!.dispose(), other!.dispose()]);
});

it('the same copy loaded twice, as test runners with module registries of their own do, is one', async () => {
  const file = require.resolve(homes[0]);
  delete require.cache[file];
  for (const key of Object.keys(require.cache)) if (key.startsWith(homes[0])) delete require.cache[key];
  const again = require(file) as typeof Package;
  expect(again.Model).not.toBe(a.Model);
  const [first, second] = await Promise.all([a, again].map((copy) => copy.Model.load({ model, threads: 1 })));
  const foreign = await second!.native.createAdapter(spec, 1n);
  const error = await failureOf(() => first!.native.createTrainSession([foreign], trainOptions));
  expect(error).toBeInstanceOf(RangeError); // a handle of ours, but of another model
  const failed = await failureOf(() => again.Model.load({ model: fixture('no', 'model') }));
  expect(failed).toBeInstanceOf(again.MlitError);
  await Promise.all([first!.dispose(), second!.dispose()]);
});

it('arrays of another context are arrays', async () => {
  const base = await a.Model.load({ model, threads: 1 });
  const session = await base.native.createTrainSession([], trainOptions);
  const batch = packed([-1, -1, -1]);
  const context = createContext({ source: batch, given: {} });
  const foreign = runInContext(
    `({
      ...Object.fromEntries(['tokens', 'positions', 'cuSeqlens', 'targets', 'adapters'].map((name) => [name, Int32Array.from(source[name])])),
      weights: Float32Array.from(source.weights),
    })`,
    context,
  ) as typeof batch;
  expect(foreign.tokens).not.toBeInstanceOf(Int32Array);
  expect(await session.score(foreign)).toEqual(await session.score(batch));
  await base.dispose();
});

it('workers may use one copy each', { timeout: 60_000 }, async () => {
  const ended = homes.map(
    (home) =>
      new Promise<number>((resolve, reject) => {
        const code = `
          const { workerData, parentPort } = require('node:worker_threads');
          const mlit = require(workerData.home);
          mlit.Model.load({ model: workerData.model, threads: 1 })
            .then((model) => model.native.createTrainSession([], ${JSON.stringify(trainOptions)}))
            .then(() => parentPort.postMessage('done'));
        `;
        const worker = new Worker(code, { eval: true, workerData: { home, model } });
        worker.once('error', reject).once('exit', resolve);
      }),
  );
  expect(await Promise.all(ended)).toEqual([0, 0]);
});
