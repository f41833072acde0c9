// How soon a real model's training call gives up when it is told to: an abort, an ended worker and the end of a process
// all wait for it.
import { expect, it } from 'vitest';
import { Model } from '../../lib/index';
import { realModel } from '../support/real-model';
import { batch } from '../unit/lifecycle/tiny.mjs';
import { spec, trainOptions } from '../unit/native-support';

const threads = 2;
const moments = [0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85];

it.skipIf(realModel === undefined)('gives up within 100 ms', { timeout: 300_000 }, async () => {
  const model = await Model.load({ model: realModel!, threads });
  const adapter = await model.native.createAdapter(spec, 1n);
  const options = { ...trainOptions, maxTokens: 2048, logitsBytes: 64 << 20 };
  const session = await model.native.createTrainSession([adapter], options);
  const work = batch(2, 1024);
  const start = performance.now();
  await session.forwardBackward(work, false);
  await session.zeroGradients();
  const whole = performance.now() - start;
  const delays: number[] = [];
  for (const moment of moments) {
    const ended = session.forwardBackward(work, false).then(
      () => 'done',
      (error: { code: string }) => error.code,
    );
    await new Promise((resolve) => setTimeout(resolve, moment * whole));
    const before = process.cpuUsage();
    session.cancel();
    const how = await ended;
    const { user, system } = process.cpuUsage(before);
    // By the processors' clocks, which other work on the machine does not turn.
    if (how === 'CANCELLED') delays.push((user + system) / 1000 / threads);
    else await session.zeroGradients();
  }
  await model.dispose();
  delays.sort((a, b) => a - b);
  console.log(
    `of a call of ${whole.toFixed(0)} ms, given up after ${delays.map((ms) => ms.toFixed(0)).join(', ')} ms`,
  );
  expect(delays.length).toBeGreaterThan(4);
  expect(delays[Math.floor(delays.length / 2)]).toBeLessThan(100);
});
