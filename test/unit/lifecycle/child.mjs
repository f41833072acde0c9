// The scenarios of lifecycle.test.ts, each in a process of its own: node child.mjs NAME. What it prints is the result.
import { Worker } from 'node:worker_threads';
import { batch, keepBusy, loadOptions, modelPath, openAddon, openSession, trainStep } from './tiny.mjs';

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const workerFile = new URL('./worker.mjs', import.meta.url);

function startWorker(busy) {
  const worker = new Worker(workerFile, { workerData: { busy } });
  const message = new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  return { worker, message, exit: new Promise((resolve) => worker.once('exit', resolve)) };
}

async function inTurn(count, atOnce, each) {
  let next = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (next < count) await each(next++);
    }),
  );
}

const scenarios = {
  /** The main thread does not load the addon, so that Node unloads it with each of the workers. */
  async workers() {
    const losses = [];
    await inTurn(20, 4, async () => {
      const { message, exit } = startWorker(false);
      losses.push(await message);
      if ((await exit) !== 0) throw new Error('a worker failed');
    });
    say(losses);
  },

  /** Workers are ended in mid-step, while the main thread's own session goes on. */
  async terminate() {
    const { session } = await openSession(openAddon());
    const before = await trainStep(session);
    const times = [];
    for (let i = 0; i < 3; i++) {
      const { worker, message } = startWorker(true);
      await message;
      const start = performance.now();
      await worker.terminate();
      times.push(performance.now() - start);
    }
    say({ before, after: await trainStep(session), times });
  },

  async terminateAlone() {
    const { worker, message } = startWorker(true);
    await message;
    await worker.terminate();
    say('ended');
  },

  async exit() {
    const { session } = await openSession(openAddon());
    await keepBusy(session);
    say(Date.now());
    process.exit(7);
  },

  async exitWithBusyWorkers() {
    await Promise.all([0, 1].map(() => startWorker(true).message));
    say(Date.now());
    process.exit(7);
  },

  async exitWhileLoading() {
    openAddon().loadModel(modelPath, { ...loadOptions, onProgress: () => {} });
    process.exit(7);
  },

  async uncaught() {
    const { session } = await openSession(openAddon());
    await keepBusy(session);
    throw new Error('on purpose');
  },

  /** Nothing is disposed of, and yet the process ends once its work is done. */
  async idleHandles() {
    const { session, model } = await openSession(openAddon());
    await model.createSampler([], { maxRows: 2, cacheTokens: 0, prefillTokens: 16, usableTokens: 0 });
    globalThis.kept = { session, model };
    say(await trainStep(session));
  },

  /** Work that nobody awaits still ends before the process does. */
  async pendingKeepsAlive() {
    const { session } = await openSession(openAddon());
    session.forwardBackward(batch(), false).then(() => say('settled'));
  },

  /** Sessions without dispose() are freed by the garbage collector: twelve of them, each with its memory in use. */
  async garbage() {
    const { model, adapter } = await openSession(openAddon());
    const options = { maxTokens: 4096, logitsBytes: 1 << 22, recompute: 'none', full: false, training: true };
    const big = batch(16, 256);
    let most = 0;
    let bytes = 0;
    for (let i = 0; i < 12; i++) {
      const session = await model.createTrainSession([adapter], options);
      await session.forwardBackward(big, false);
      bytes = session.memory.reduce(
        (sum, { name, bytes: part }) => (name === 'activations' ? sum + part : sum),
        0,
      );
      most = Math.max(most, process.memoryUsage().rss);
      globalThis.gc?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    say({ bytes, most });
  },
};

await scenarios[process.argv[2]]();
