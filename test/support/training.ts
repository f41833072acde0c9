// Runs that tests train from their first step to their last.
import { type TrainEvent, Trainer, type TrainerOptions } from '../../lib/index';

/** What a run said, once it has ended. */
export async function finish(options: TrainerOptions): Promise<TrainEvent[]> {
  await using trainer = await Trainer.create(options);
  const run = trainer.start();
  const events: TrainEvent[] = [];
  for await (const event of run) events.push(event);
  await run.done;
  return events;
}
