// Every training run of an experiment, in the forms that trackers read; the files go into the report's folder.
import type { ExperimentResults } from '../../experiment/results';
import { isMlitError } from '../../native/errors';
import { readTrackedRun } from './run-events';
import { tensorboardFile, tensorboardName } from './tensorboard';
import { wandbFile, wandbPath } from './wandb';

export type Tracker = 'tensorboard' | 'wandb';

export interface TrackerOptions {
  /** The folder with run.yaml and events.jsonl of a train job. */
  runFolder: (trainJob: string) => string;
  /** A line for people: a run that cannot be read and is left out. */
  onNote?: (note: string) => void;
}

/** Digits of a job's hash that name a run at W&B. */
const ID_DIGITS = 16;

/**
 * Paths below the report's folder → bytes: `tensorboard/ARM/seed-N/events.out.tfevents.*` and
 * `wandb/offline-run-*`. Arms that share a training run (equal mixtures) have it at TensorBoard under each of their names, at
 * W&B once, under the first.
 */
export async function trackerFiles(
  results: ExperimentResults,
  trackers: readonly Tracker[],
  { runFolder, onNote }: TrackerOptions,
): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  if (trackers.length === 0) return files;
  for (const [arm, seeds] of Object.entries(results.provenance.jobs)) {
    for (const [seed, { train }] of Object.entries(seeds)) {
      if (train === undefined) continue;
      const run = await readTrackedRun(runFolder(train)).catch((error: unknown) => {
        if (!isMlitError(error)) throw error;
        onNote?.(`${arm}, seed ${seed}: no curves: ${error.message}`);
      });
      if (!run) continue;
      if (trackers.includes('tensorboard')) {
        files.set(`tensorboard/${arm}/seed-${seed}/${tensorboardName(run)}`, tensorboardFile(run));
      }
      if (trackers.includes('wandb')) {
        const id = train.slice(0, ID_DIGITS);
        const names = { id, project: results.experiment, group: arm, name: `${arm} seed ${seed}` };
        const path = `wandb/${wandbPath(run, names)}`;
        if (!files.has(path)) files.set(path, wandbFile(run, names));
      }
    }
  }
  return files;
}
