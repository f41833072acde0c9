// Children of one process that come and go 200 times, with the process's resident memory measured on the way: node --expose-gc
// steady.mjs KIND. What it prints is the list of measurements in bytes.
import { adamW, batch, loadOptions, modelPath, openAddon, openSession, spec } from './tiny.mjs';

const rounds = 200;
const trainOptions = {
  maxTokens: 4096,
  logitsBytes: 1 << 22,
  recompute: 'none',
  full: false,
  training: true,
};
const sampleOptions = { maxRows: 2, cacheTokens: 0, prefillTokens: 16, usableTokens: 0 };
const request = {
  ...{ id: 1, prompt: Int32Array.of(3, 4, 5), maxNewTokens: 3, temperature: 0, topP: 1, topK: 0, minP: 0 },
  ...{ seed: 0n, stopIds: new Int32Array(), adapter: -1, top: 0, scoreFrom: 0 },
};
const addon = openAddon();
const { model } = await openSession(addon);

const kinds = {
  async session() {
    const adapter = await model.createAdapter(spec, 1n);
    const session = await model.createTrainSession([adapter], trainOptions);
    const sums = await session.forwardBackward(batch(4, 64), false);
    await session.optimStep(0, { ...adamW, gradScale: 1 / sums.weight[0] });
    await session.dispose();
    await adapter.dispose();
  },
  async sampler() {
    const sampler = await model.createSampler([], sampleOptions);
    sampler.submit(request);
    while (!sampler.idle) await sampler.step();
    await sampler.dispose();
  },
  async model() {
    await (await addon.loadModel(modelPath, loadOptions)).dispose();
  },
};

const measured = [];
for (let round = 1; round <= rounds; round++) {
  await kinds[process.argv[2]]();
  if (round % 20 > 0) continue;
  globalThis.gc?.();
  await new Promise((resolve) => setImmediate(resolve));
  measured.push(process.memoryUsage().rss);
}
process.stdout.write(JSON.stringify(measured));
