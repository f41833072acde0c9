// `mlit experiment run`: the plan, a question, the run, its results. Called again it goes on where it stopped.

import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { type Command, Option } from 'commander';
import type { DataReport, LanguageData, SetReport } from '../data/data-report';
import { storedAnswers } from '../experiment/answers';
import type { ExperimentPlan } from '../experiment/estimate';
import { Experiment } from '../experiment/experiment';
import { JOB_KINDS } from '../experiment/job';
import { isJudgeFailure } from '../experiment/jobs/judge';
import type { ExperimentInput } from '../experiment/spec';
import type { ExperimentEvent } from '../experiment/walk';
import { describeResults } from '../report/describe';
import { writeReport } from '../report/write-report';
import { parseCount, parseInteger, UsageError } from './common';
import { clock, fetchProgress, note, Progress, print, printJson, size, table } from './output';
import { abortOnSignals } from './signals';

interface RunFlags {
  yes?: boolean;
  seeds?: number;
  seed?: number;
  store?: string;
  dryRun?: boolean;
  json?: boolean;
}

export function addExperimentRun(experiment: Command): void {
  experiment
    .command('run')
    .description('plan and run an experiment; what a store has already is not done again')
    .argument('<file>', 'the experiment, in YAML')
    .addOption(new Option('--yes', 'do not ask after the plan'))
    .addOption(new Option('--seeds <n>', 'repetitions; the file’s `seeds`').argParser(parseInteger))
    .addOption(new Option('--seed <n>', 'the first seed; the file’s `seed`').argParser(parseCount))
    .addOption(new Option('--store <dir>', 'folder of jobs and results; the file’s `store`'))
    .addOption(new Option('--dry-run', 'print the plan and end'))
    .addOption(new Option('--json', 'results as JSON on stdout'))
    .action(run);
}

async function run(file: string, flags: RunFlags): Promise<void> {
  const { signal, release } = abortOnSignals();
  try {
    const overrides: Partial<ExperimentInput> = {
      ...(flags.seeds !== undefined && { seeds: flags.seeds }),
      ...(flags.seed !== undefined && { seed: flags.seed }),
      ...(flags.store !== undefined && { store: flags.store }),
    };
    await using experiment = await Experiment.open(file, overrides, {
      signal,
      onNote: note,
      onFetch: fetchProgress(),
    });
    note(describeData(await experiment.dataReport()));
    note('measuring this machine on the experiment’s own records …');
    const plan = await experiment.plan();
    note(describePlan(experiment, plan));
    if (flags.dryRun) {
      if (flags.json) await printJson(plan);
      return;
    }
    if (!flags.yes && plan.seconds > 0 && !(await agreed(signal))) return;
    const started = performance.now();
    const view = new RunView();
    let open: unknown;
    await experiment.run({ onEvent: (event) => view.show(event) }).catch((error: unknown) => {
      // All but judgements is finished: the results are shown, and say what is missing.
      if (!isJudgeFailure(error)) throw error;
      open = error;
    });
    view.end();
    const seconds = (performance.now() - started) / 1000;
    const { store, name } = experiment.spec;
    const results = await experiment.results();
    const folder = join(store, 'experiments', name, 'report');
    await writeReport(results, folder, { answers: await storedAnswers(store, name), signal });
    if (flags.json) await printJson(results);
    else await print(`${describeResults(results)}\n`);
    if (plan.seconds > 0) {
      const change = Math.round(100 * (seconds / plan.seconds - 1));
      const word = change >= 0 ? `${change} % more` : `${-change} % less`;
      note(`took ${clock(seconds)}; the plan said ${clock(plan.seconds)} (${word})`);
    }
    note(
      `the data’s report is ${join(folder, '..', 'data-report.txt')}, the results’ ${join(folder, 'report.html')}`,
    );
    if (open !== undefined) throw open;
  } catch (error) {
    if (signal.aborted && error === signal.reason)
      note('stopped; what is finished and what training has saved stays: the same command goes on');
    throw error;
  } finally {
    release();
  }
}

/** @throws UsageError where nobody can be asked */
async function agreed(signal: AbortSignal): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new UsageError(
      'nobody can be asked whether to go on: add --yes to run, or --dry-run to see the plan only',
    );
  }
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await reader.question('Go on? [Y/n] ', { signal });
    return answer.trim() === '' || /^y(es)?$/i.test(answer.trim());
  } finally {
    reader.close();
  }
}

function describePlan(experiment: Experiment, plan: ExperimentPlan): string {
  const { spec, arms } = experiment;
  const rows = JOB_KINDS.filter((kind) => plan.jobs[kind].total > 0).map((kind) => {
    const { total, todo, seconds } = plan.jobs[kind];
    return [kind, String(total), String(total - todo), String(todo), clock(seconds)];
  });
  const thousands = (value: number): string => Math.round(value).toLocaleString('en-US');
  const { examples } = experiment.prepared.evaluation;
  const languages = new Set(examples.map((example) => example.lang)).size;
  return [
    `${spec.name}: ${arms.length} arms × ${spec.seeds} seed${spec.seeds > 1 ? 's' : ''}, ${spec.examples} examples each; ${examples.length} prompts in ${languages} languages`,
    table(['jobs', 'in all', 'done', 'to do', 'time'], rows),
    `to train ${thousands(plan.trainTokens)} tokens (${thousands(plan.supervisedTokens)} supervised), to read ${thousands(plan.promptTokens)}, to write about ${thousands(plan.newTokens)}`,
    ...(plan.judgeCalls > 0
      ? [
          `to ask of endpoints that judge: at most ${thousands(plan.judgeCalls)} calls (two for each pair of answers that differ, and for each planted pair)`,
        ]
      : []),
    `about ${clock(plan.seconds)} and ${size(plan.diskBytes)} in ${spec.store}`,
  ].join('\n');
}

/** What of the data report a person should not miss, in a line. */
function describeData({ train, evaluation, leaks }: DataReport): string {
  const sum = (
    count: (of: LanguageData) => number,
    sets: readonly (SetReport | undefined)[] = [train],
  ): number =>
    sets.flatMap((set) => Object.values(set?.languages ?? {})).reduce((total, of) => total + count(of), 0);
  const leaked = (kind: 'prompt' | 'near-duplicate'): number =>
    Object.values(leaks?.counts[kind] ?? {}).reduce((total, count) => total + count, 0);
  const facts = [
    [sum((of) => of.emptyResponses), 'empty responses'],
    [sum((of) => of.duplicates), 'duplicates'],
    [leaked('prompt'), 'evaluation prompts that are trained on under another id'],
    [leaked('near-duplicate'), 'evaluation prompts that nearly are'],
    [sum((of) => of.language?.wrong ?? 0), 'looked-at responses in another language than their label’s'],
    [sum((of) => of.tokens?.controlTokens ?? 0, [train, evaluation]), 'control tokens in texts'],
  ] as const;
  const found = facts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  return `data: ${train.records} records of ${train.items} items; ${found.length === 0 ? 'nothing amiss' : found.join(', ')}`;
}

class RunView {
  #bar = new Progress('jobs');
  #total = 0;
  #finished = 0;

  show(event: ExperimentEvent): void {
    if (event.type === 'start') {
      this.#total = event.total;
      this.#finished = event.finished;
      return;
    }
    const left = `  ${clock(event.secondsLeft)} left`;
    const { kind } = event.job.description;
    if (event.type === 'progress') {
      const fraction = (this.#finished + event.underWay) / this.#total;
      const { models, detail } = event;
      this.#bar.update(
        Math.min(0.999, fraction),
        `${this.#finished}/${this.#total}  ${kind} ${shorten(models)}  ${detail}${left}`,
      );
      return;
    }
    this.#finished = event.finished;
    note(
      `${event.finished}/${event.total}  ${kind} of ${shorten(event.models)} in ${event.seconds.toFixed(1)} s${left}`,
    );
  }

  end(): void {
    this.#bar.end();
  }
}

const shorten = (text: string): string => (text.length > 48 ? `${text.slice(0, 47)}…` : text);
