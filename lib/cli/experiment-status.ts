// `mlit experiment status`: how far the experiments of a store are, from its files alone, in the terminal and as a page.
import { setTimeout } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { TrainingFollower, type TrainingView } from '../experiment/live';
import { type ExperimentStatus, experimentStatus } from '../experiment/status';
import { LivePage } from '../report/live-page';
import { UsageError } from './common';
import { note, print, printJson } from './output';
import { abortOnSignals } from './signals';
import { describeStatus, statusLine } from './status-text';

const INTERVAL_MS = 2000;
/** How often the page is written, and read anew by a browser. */
const PAGE_SECONDS = 10;

interface Flags {
  watch?: boolean;
  name?: string;
  html?: string;
  verdicts?: string[];
  json?: boolean;
}

export function addExperimentStatus(experiment: Command): void {
  experiment
    .command('status')
    .description('how far experiments are, losses and the time left')
    .argument('<dir>', 'the store')
    .addOption(new Option('--watch', 'again every two seconds, until nothing runs'))
    .addOption(new Option('--name <experiment>', 'one experiment of the store (default: every one)'))
    .addOption(
      new Option(
        '--html <file>',
        'also the report’s page of what is finished and what goes on; with --watch written anew every ten seconds',
      ),
    )
    .addOption(
      new Option(
        '--verdicts <file...>',
        'with --html: what judges or people said of pairs of answers, as in `mlit experiment report`',
      ),
    )
    .addOption(new Option('--json', 'as JSON on stdout; with --watch a line each time'))
    .action(async (dir: string, flags: Flags) => {
      const { signal, release } = abortOnSignals();
      try {
        await watch(dir, flags, signal);
      } finally {
        release();
      }
    });
}

async function watch(dir: string, flags: Flags, signal: AbortSignal): Promise<void> {
  if (flags.verdicts !== undefined && flags.html === undefined)
    throw new UsageError('--verdicts: stands on the page, which --html FILE writes');
  const followers = new Map<string, TrainingFollower>();
  const view = flags.json ? undefined : new StatusView(flags.watch === true);
  let page: PageWriter | undefined;
  for (;;) {
    const all = await statusOf(dir, flags.name);
    if (flags.html !== undefined) page ??= new PageWriter(dir, pageOf(all), flags, signal);
    if (view === undefined) await printJson(all);
    else {
      const shown: Shown[] = [];
      for (const status of all) {
        const follower = followers.get(status.name) ?? new TrainingFollower(dir, status.name);
        followers.set(status.name, follower);
        shown.push({ status, trainings: await follower.read() });
      }
      await view.show(shown);
    }
    const running = flags.watch === true && all.some(({ now }) => now?.alive);
    await page?.write(!running);
    if (!running) return;
    await setTimeout(INTERVAL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

async function statusOf(dir: string, name: string | undefined): Promise<ExperimentStatus[]> {
  const all = await experimentStatus(dir);
  if (name === undefined) return all;
  const chosen = all.filter((each) => each.name === name);
  if (chosen.length > 0) return chosen;
  throw new UsageError(
    `${dir} has no experiment '${name}'; it has ${all.map((each) => each.name).join(', ') || 'none'}`,
  );
}

/** The experiment that a page is of: what runs, else the only one. */
function pageOf(all: readonly ExperimentStatus[]): string {
  const running = all.filter(({ now }) => now?.alive);
  const [only] = running.length === 1 ? running : all.length === 1 ? all : [];
  if (only !== undefined) return only.name;
  throw new UsageError(
    all.length === 0
      ? '--html: the store has no experiment yet; `mlit experiment run` makes one'
      : `--html is for one experiment; --name chooses among ${all.map(({ name }) => name).join(', ')}`,
  );
}

class PageWriter {
  readonly #page: LivePage;
  readonly #file: string;
  readonly #signal: AbortSignal;
  #last = Number.NEGATIVE_INFINITY;

  constructor(dir: string, name: string, { html: file = '', verdicts }: Flags, signal: AbortSignal) {
    this.#page = new LivePage(dir, name, { verdicts });
    this.#file = file;
    this.#signal = signal;
    note(`the page: ${file}`);
  }

  /** Where it is due, or the last one. */
  async write(last: boolean): Promise<void> {
    if (!last && performance.now() - this.#last < PAGE_SECONDS * 1000) return;
    this.#last = performance.now();
    await this.#page.write(this.#file, { refreshSeconds: PAGE_SECONDS, signal: this.#signal });
  }
}

interface Shown {
  status: ExperimentStatus;
  trainings: readonly TrainingView[];
}

/** On a terminal the whole in place of what stood there; watched elsewhere, a line whenever something has changed. */
class StatusView {
  readonly #watched: boolean;
  readonly #redraws: boolean;
  readonly #lines = new Map<string, string>();

  constructor(watched: boolean) {
    this.#watched = watched;
    this.#redraws = watched && process.stdout.isTTY === true;
  }

  async show(all: readonly Shown[]): Promise<void> {
    if (!this.#watched || this.#redraws) {
      const text = all.map(({ status, trainings }) => describeStatus(status, trainings)).join('\n');
      return print(`${this.#redraws ? '\x1b[H\x1b[2J' : ''}${text}\n`);
    }
    for (const { status, trainings } of all) {
      const line = statusLine(status, trainings);
      if (this.#lines.get(status.name) === line) continue;
      this.#lines.set(status.name, line);
      await print(`${line}\n`);
    }
  }
}
