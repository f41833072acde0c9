// `mlit experiment report`: tables, figures and provenance of what a store has, as a folder; on demand with what trackers read.
import { dirname, join } from 'node:path';
import { type Command, Option } from 'commander';
import { storedAnswers } from '../experiment/answers';
import { collectResults } from '../experiment/collect';
import type { ExperimentResults } from '../experiment/results';
import { Store } from '../experiment/store/store';
import { isMlitError } from '../native/errors';
import { printable } from '../native/untrusted';
import { describeResults } from '../report/describe';
import { readJudgeFiles } from '../report/judge-files';
import { judgedPairs } from '../report/page/judged-pairs';
import { type Tracker, trackerFiles } from '../report/trackers/files';
import { writeReport } from '../report/write-report';
import { UsageError } from './common';
import { note, printJson, printLine } from './output';
import { abortOnSignals } from './signals';

interface Flags {
  name?: string;
  out?: string;
  verdicts?: string[];
  tensorboard?: boolean;
  wandb?: boolean;
  json?: boolean;
}

export function addExperimentReport(experiment: Command): void {
  experiment
    .command('report')
    .description('tables, figures and provenance of what is finished, as a folder')
    .argument('<dir>', 'the store')
    .addOption(new Option('--name <experiment>', 'one experiment of the store (default: every one)'))
    .addOption(
      new Option(
        '--out <folder>',
        'where the report goes (default: DIR/experiments/NAME/report); needs one experiment',
      ),
    )
    .addOption(
      new Option(
        '--verdicts <file...>',
        'what judges or people said of pairs of answers, for the page; models are called ARM, or ARM/SEED',
      ),
    )
    .addOption(new Option('--tensorboard', "also every training run's curves as TensorBoard event files"))
    .addOption(new Option('--wandb', "also every training run's curves as offline runs for `wandb sync`"))
    .addOption(new Option('--json', 'the results as JSON on stdout, an array with an element an experiment'))
    .action(async (dir: string, flags: Flags) => {
      const { signal, release } = abortOnSignals();
      try {
        await report(dir, flags, signal);
      } finally {
        release();
      }
    });
}

async function report(dir: string, flags: Flags, signal: AbortSignal): Promise<void> {
  await using store = await Store.open(dir, { write: false, signal, onNote: note });
  const names = flags.name === undefined ? await store.experiments.list() : [flags.name];
  if (names.length === 0)
    throw new UsageError(`${dir} has no experiment yet; \`mlit experiment run\` makes one`);
  if (flags.out !== undefined && names.length > 1) {
    throw new UsageError(`--out is for one experiment; --name chooses among ${names.join(', ')}`);
  }
  const { verdicts, qualifications } = await readJudgeFiles(flags.verdicts ?? []);
  const all: { folder: string; results: ExperimentResults }[] = [];
  for (const name of names) {
    signal.throwIfAborted();
    const results = await collectResults(dir, name).catch((error: unknown) => {
      // Of several, one that has nothing yet does not keep the others back.
      if (names.length === 1 || !isMlitError(error) || error.code !== 'EXPERIMENT_INVALID') throw error;
      note(error.message);
    });
    if (!results) continue;
    const folder = flags.out ?? join(store.experiments.folder(name), 'report');
    const files = await trackerFiles(results, trackersOf(flags), {
      runFolder: (train) => dirname(store.outputPath(train, 'run/run.yaml')),
      onNote: note,
    });
    const answers = await storedAnswers(dir, name);
    for (const { judge, a, b } of judgedPairs(answers.models, verdicts).strangers) {
      note(
        `verdicts of ${printable(judge)} on ${printable(a)} and ${printable(b)} are left out: ${name} has no two such models (they are called ARM, or ARM/SEED)`,
      );
    }
    await writeReport(results, folder, { files, signal, answers, verdicts, qualifications });
    all.push({ folder, results });
    if (!flags.json)
      await printLine(`${describeResults(results)}\n\nreport: ${join(folder, 'report.html')}\n`);
  }
  if (flags.json) await printJson(all.map(({ folder, results }) => ({ folder, ...results })));
}

function trackersOf({ tensorboard, wandb }: Flags): Tracker[] {
  return [...(tensorboard ? (['tensorboard'] as const) : []), ...(wandb ? (['wandb'] as const) : [])];
}
