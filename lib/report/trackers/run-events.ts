// The curves of a training run as trackers want them: one value a name and step, with the moment it was measured.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MlitError } from '../../native/errors';
import type { TrainEvent } from '../../train/events';
import { type RunRecord, readRunRecord } from '../../train/run-directory';

/** What was measured at one step, in the order of the run. */
export interface TrackedStep {
  step: number;
  /** Seconds since 1970: when the run began plus the time its steps and evaluations took, pauses between resumptions aside. */
  time: number;
  /** `train/loss`, `train/learning_rate`, `train/grad_norm`, `train/tokens_per_second`, `dev/loss`, `dev/loss/LANG`, … */
  values: Readonly<Record<string, number>>;
}

export interface TrackedRun {
  record: RunRecord;
  /** Seconds since 1970. */
  started: number;
  steps: TrackedStep[];
}

/**
 * Reads run.yaml and events.jsonl of a run's folder. A last line that a crash has cut is left out.
 *
 * @throws MlitError `RUN_INVALID`
 */
export async function readTrackedRun(folder: string): Promise<TrackedRun> {
  const record = await readRunRecord(folder);
  const started = Date.parse(record.chosen.startedAt) / 1000;
  const file = join(folder, 'events.jsonl');
  const text = await readFile(file, 'utf8').catch((cause: Error) => {
    throw new MlitError('RUN_INVALID', `cannot read ${file}: ${cause.message}`, { fields: { file }, cause });
  });
  return { record, started, steps: trackedSteps(parseEvents(text, file), started) };
}

function parseEvents(text: string, file: string): TrainEvent[] {
  const lines = text.split('\n');
  return lines.flatMap((line, at) => {
    if (line === '') return [];
    try {
      return [JSON.parse(line) as TrainEvent];
    } catch (cause) {
      if (at === lines.length - 1) return [];
      throw new MlitError(
        'RUN_INVALID',
        `${file}:${at + 1}: not a JSON object: ${(cause as Error).message}`,
        {
          fields: { file, line: at + 1 },
          cause,
        },
      );
    }
  });
}

export function trackedSteps(events: Iterable<TrainEvent>, started: number): TrackedStep[] {
  const steps: TrackedStep[] = [];
  let time = started;
  for (const event of events) {
    if (event.type !== 'step' && event.type !== 'eval') continue;
    time += event.seconds;
    const values =
      event.type === 'step'
        ? {
            'train/loss': event.loss,
            'train/learning_rate': event.learningRate,
            'train/grad_norm': event.gradNorm,
            'train/tokens_per_second': event.tokensPerSecond,
          }
        : {
            'dev/loss': event.loss,
            'dev/perplexity': event.perplexity,
            ...Object.fromEntries(
              Object.entries(event.lossByLanguage).map(([lang, loss]) => [`dev/loss/${lang}`, loss]),
            ),
          };
    const finite = Object.entries(values).filter(([, value]) => Number.isFinite(value));
    steps.push({ step: event.step, time, values: Object.fromEntries(finite) });
  }
  return steps;
}
