// `mlit train --runs FILE` and `mlit plan --runs FILE`: many runs over one base.
import type { Command } from 'commander';
import { rougeEvaluator } from '../eval/dev-rouge';
import { isMlitError } from '../native/errors';
import type { MultiPlan } from '../train/multi-plan';
import {
  type MultiTrainEvent,
  MultiTrainer,
  type MultiTrainerOptions,
  type MultiTrainResult,
  type MultiTrainRun,
  planMultiTraining,
} from '../train/multi-trainer';
import { findRanks } from '../train/ranks';
import { parseAutoOr, parseInteger, UsageError } from './common';
import { clock, fetchProgress, note, Progress, printJson, printLine, size, table } from './output';
import { RUN_KEYS, readRunsFile } from './runs-file';
import { abortOnSignals } from './signals';

/** What may stand beside `--runs`; everything else is of a run and belongs into the file. */
const BESIDE = ['runs', 'atOnce', 'resume', 'json'];

/** The flags that make many runs of one command. */
export function addRunsFlags(command: Command): Command {
  return command
    .option(
      '--runs <file>',
      'train many adapters over one base: a YAML file with `defaults` and a list of `runs`',
    )
    .option(
      '--at-once <n>',
      'of --runs: how many at the same time (default: auto, as many as fit)',
      parseAutoOr(parseInteger),
    );
}

/** The runs that a command line asks for; undefined where it is about one. */
async function optionsOf(command: Command): Promise<MultiTrainerOptions | undefined> {
  const flags = command.opts<Record<string, unknown>>();
  const { runs, atOnce, resume } = flags;
  if (typeof runs !== 'string') {
    if (atOnce !== undefined) throw new UsageError('--at-once is of many runs: give --runs FILE with it');
    return undefined;
  }
  for (const option of command.options) {
    const name = option.attributeName();
    const source = command.getOptionValueSource(name);
    if (BESIDE.includes(name) || source === undefined || source === 'default') continue;
    const instead = RUN_KEYS.includes(name)
      ? `write it into ${runs}, under defaults or a run`
      : 'it is of one run alone; leave it out';
    throw new UsageError(`${option.long} can't stand beside --runs: ${instead}`);
  }
  if (findRanks() !== undefined)
    throw new UsageError('--runs is of one process; start it without mpirun, srun or torchrun');
  return {
    runs: await readRunsFile(runs),
    atOnce: atOnce as number | 'auto' | undefined,
    resume: resume === true,
  };
}

/** True where the command was about many runs, which have ended then. */
export async function trainRuns(command: Command): Promise<boolean> {
  const options = await optionsOf(command);
  if (!options) return false;
  const names = options.runs.map(({ out }) => out);
  const { json } = command.opts<{ json?: boolean }>();
  const { signal, release } = abortOnSignals();
  const loading = new Progress('load');
  try {
    await using trainer = await MultiTrainer.create({
      ...options,
      evaluator: rougeEvaluator(),
      signal,
      onNote: (text, run) => note(run === undefined ? text : `${names[run]}: ${text}`),
      onFetch: fetchProgress(),
      onLoad: (fraction) => loading.update(fraction, 'weights'),
    });
    loading.end();
    note(describeRunsPlan(trainer.plan()));
    const run = trainer.start();
    await show(run, trainer.plan());
    const results = await run.done;
    if (json) await printJson(results.map(asJson));
    else for (const line of describeResults(results)) note(line);
    if (results.some(({ reason }) => reason === 'failed')) process.exitCode = 1;
  } finally {
    loading.end();
    release();
  }
  return true;
}

/** True where the command was about many runs. */
export async function planRunsOf(command: Command): Promise<boolean> {
  const options = await optionsOf(command);
  if (!options) return false;
  const { signal, release } = abortOnSignals();
  try {
    const names = options.runs.map(({ out }) => out);
    const { plan } = await planMultiTraining({
      ...options,
      resume: true, // nothing is written: a folder may hold what it likes
      evaluator: rougeEvaluator(),
      signal,
      onNote: (text, run) => note(run === undefined ? text : `${names[run]}: ${text}`),
      onFetch: fetchProgress(),
    });
    if (command.opts<{ json?: boolean }>().json) await printJson(plan);
    else await printLine(describeRunsPlan(plan));
  } finally {
    release();
  }
  return true;
}

function describeRunsPlan(plan: MultiPlan): string {
  const { runs, atOnce, largestBatch, recompute, memory } = plan;
  const steps = runs.reduce((sum, run) => sum + run.steps, 0);
  const tokens = runs.reduce((sum, run) => sum + run.tokens, 0);
  const rows = memory.filter(({ bytes }) => bytes > 0).map(({ name, bytes }) => [`  ${name}`, size(bytes)]);
  return [
    `plan        ${runs.length} runs, ${atOnce} at once: ${steps} steps, ${tokens} tokens`,
    `micro-batch ${largestBatch.tokens} tokens of all runs together, recompute ${recompute}`,
    table(
      ['memory', ''],
      [...rows, ['  all native', size(plan.nativeBytes)], ['  available', size(plan.availableBytes)]],
    ),
  ].join('\n');
}

/** Where all runs together are: steps, tokens a second, the time that is left. */
class Standing {
  readonly #plan: MultiPlan;
  readonly #started = performance.now();
  readonly #steps: number[];
  readonly #losses = new Map<number, number>();
  #taken = 0;
  #ended = 0;

  constructor(plan: MultiPlan) {
    this.#plan = plan;
    this.#steps = plan.runs.map(() => 0);
  }

  accept(event: MultiTrainEvent): void {
    const { run, type } = event;
    if (type === 'begin') this.#steps[run] = event.step;
    if (type === 'step') {
      this.#steps[run] = event.step;
      this.#losses.set(run, event.loss);
      this.#taken += event.tokens;
    }
    if (type !== 'end' && type !== 'failed') return;
    this.#steps[run] = this.#plan.runs[run]!.steps; // what patience or a failure left out is no longer to come
    this.#losses.delete(run);
    this.#ended += 1;
  }

  get fraction(): number {
    return 1 - this.#leftTokens() / this.#plan.runs.reduce((sum, run) => sum + run.tokens, 0);
  }

  toString(): string {
    const rate = this.#taken / ((performance.now() - this.#started) / 1000);
    const losses = [...this.#losses.values()];
    const loss =
      losses.length > 0 ? `  loss ${Math.min(...losses).toFixed(3)}–${Math.max(...losses).toFixed(3)}` : '';
    return `${this.#ended}/${this.#plan.runs.length} runs ended, ${losses.length} go on${loss}  ${rate.toFixed(0)} tokens/s  ${clock(this.#leftTokens() / rate)} left`;
  }

  #leftTokens(): number {
    return this.#plan.runs.reduce(
      (sum, { steps, tokens }, run) => sum + tokens * (1 - this.#steps[run]! / steps),
      0,
    );
  }
}

async function show(run: MultiTrainRun, plan: MultiPlan): Promise<void> {
  const progress = new Progress('train');
  const standing = new Standing(plan);
  try {
    for await (const event of run) {
      standing.accept(event);
      const line = describeEvent(event, plan);
      if (line !== undefined) note(`${plan.runs[event.run]!.out}: ${line}`);
      progress.update(standing.fraction, String(standing));
    }
  } finally {
    progress.end();
  }
}

function describeEvent(event: MultiTrainEvent, plan: MultiPlan): string | undefined {
  switch (event.type) {
    case 'begin':
      return event.step === 0
        ? `begins, ${event.steps} steps`
        : `goes on after step ${event.step} of ${event.steps}`;
    case 'eval': {
      const rouge = event.rougeL === undefined ? '' : `, ROUGE-L ${event.rougeL.toFixed(2)}`;
      return `step ${event.step}: dev loss ${event.loss.toFixed(4)}${rouge}${event.best ? ' (best so far)' : ''}`;
    }
    case 'failed':
      return `failed: ${messageOf(event.error)}`;
    case 'end':
      if (event.reason === 'stopped') return `stopped after step ${event.step}; go on with --resume`;
      return `ended after step ${event.step} of ${plan.runs[event.run]!.steps}${event.early ? ', by --patience' : ''}`;
    default:
      return undefined;
  }
}

function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return isMlitError(error) ? `${text} [${error.code}]` : text;
}

function describeResults(results: readonly MultiTrainResult[]): string[] {
  return results.map(({ out, result, error }) =>
    result ? `${out}: adapter written to ${result.adapter}` : `${out}: failed: ${messageOf(error)}`,
  );
}

function asJson({ out, reason, result, error }: MultiTrainResult): Record<string, unknown> {
  return {
    out,
    reason,
    step: result?.step ?? null,
    adapter: result?.adapter ?? null,
    best: result?.best ?? null,
    early: result?.early ?? false,
    ...(error !== undefined && {
      error: { code: isMlitError(error) ? error.code : null, message: messageOf(error) },
    }),
  };
}
