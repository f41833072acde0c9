// An experiment whose adapters are chosen by a dev set: what they answer on the way is kept, and shown while it goes on.
import { expect, it } from 'vitest';
import { Experiment } from '../../lib/experiment/experiment';
import { TrainingFollower } from '../../lib/experiment/live';
import { smallExperiment } from '../support/experiment';
import { scratch } from '../support/fixtures';

it('keeps answers to dev records, and leaves jobs without a dev set their names', async () => {
  const input = smallExperiment(scratch(), { ticks: [50], base: false, against: 'none', evalItems: 2 });
  const train = { ...input.train, dev: 6, evalEvery: 4, select: 'rouge-l' as const };
  await using experiment = await Experiment.open({ ...input, train });
  await experiment.run();
  const [view] = await new TrainingFollower(input.store!, 'small').read();
  expect(view!.dev.length).toBeGreaterThan(1);
  expect(view!.answers).toHaveLength(6);
  expect(view!.answers[0]).toMatchObject({
    lang: expect.any(String),
    prompt: expect.stringContaining('user'),
    response: expect.any(String),
  });
  await using plain = await Experiment.open(input);
  const names = ['dev', 'evalEvery', 'select', 'patience'];
  for (const { description } of plain.prepared.graph.jobs.values())
    if (description.kind === 'train')
      for (const name of names) expect(description.options).not.toHaveProperty(name);
});
