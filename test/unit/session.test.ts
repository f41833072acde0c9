// The step's denominator follows the gradients: whatever throws gradients away, their weights go too.
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { Adapter, Model, packExamples, score, TrainingSession } from '../../lib/index';
import { type Doc, fixture, fixtureJson, packable, scratch } from '../support/fixtures';

const folder = scratch();
const family = 'smol-tiny';
const { packed } = fixtureJson<{ packed: { documents: Doc[] } }>(family, 'expected.json');

async function withSession<T>(
  work: (session: TrainingSession, batch: ReturnType<typeof packExamples>[0]['batch']) => Promise<T>,
): Promise<T> {
  await using model = await Model.load({ model: fixture(family, 'model'), threads: 2 });
  const adapter = await Adapter.load(model, fixture(family, 'adapter'));
  const session = await TrainingSession.create({ model, adapters: [adapter], microTokens: 256 });
  const [group] = packExamples(
    packed.documents.map((doc, i) => packable(doc, `d${i}`)),
    { microTokens: 256 },
  );
  return await work(session, group!.batch);
}

/** Norm of one batch's mean gradient where nothing went before it. */
const plain = (): Promise<number> =>
  withSession(async (session, batch) => {
    await session.forwardBackward(batch);
    return (await session.optimStep({ learningRate: 0 })).gradNorm;
  });

describe('the denominator of a step', () => {
  it('is not left behind by cancel()', async () => {
    const expected = await plain();
    await withSession(async (session, batch) => {
      await session.forwardBackward(batch);
      const cancelled = session.forwardBackward(batch).catch((error: unknown) => error);
      session.cancel();
      await expect(session.optimStep({ learningRate: 1 })).rejects.toMatchObject({ code: 'DATA_INVALID' });
      await cancelled;
      expect(session.stepCount()).toBe(0);
      await session.forwardBackward(batch);
      expect((await session.optimStep({ learningRate: 0 })).gradNorm).toBe(expected);
      await session.dispose();
      session.cancel();
    });
  });

  it('is not left behind by loadState()', async () => {
    const expected = await plain();
    await withSession(async (session, batch) => {
      const file = join(folder, 'state.safetensors');
      await session.saveState(file);
      await session.forwardBackward(batch);
      await session.loadState(file);
      await expect(session.optimStep({ learningRate: 1 })).rejects.toMatchObject({ code: 'DATA_INVALID' });
      await session.forwardBackward(batch);
      expect((await session.optimStep({ learningRate: 0 })).gradNorm).toBe(expected);
    });
  });
});

it('scoring that is aborted in the middle of a batch ends there, with the reason', async () => {
  await using model = await Model.load({ model: fixture(family, 'model'), threads: 1 });
  const examples = Array.from({ length: 40 }, (_, i) => packable(packed.documents[0]!, `d${i}`));
  const abort = new AbortController();
  const reason = new Error('enough');
  let records = 0;
  const compute = TrainingSession.prototype.score;
  const spy = vi.spyOn(TrainingSession.prototype, 'score').mockImplementation(function (
    this: TrainingSession,
    batch,
  ) {
    queueMicrotask(() => abort.abort(reason)); // the batch has been handed over by then
    return compute.call(this, batch);
  });
  const scoring = score({
    model,
    examples: examples as never,
    microTokens: 100_000,
    signal: abort.signal,
    onRecord: () => void records++,
  }).finally(() => spy.mockRestore());
  await expect(scoring).rejects.toBe(reason);
  expect(records, 'the one batch was computed to its end').toBe(0);
});
