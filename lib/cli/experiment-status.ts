// `mlit experiment status`: how far the experiments of a store are, from its files alone.
import { setTimeout } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { JOB_KINDS } from '../experiment/job';
import { type ExperimentStatus, experimentStatus } from '../experiment/status';
import { clock, print, printJson } from './output';
import { abortOnSignals } from './signals';

const INTERVAL_MS = 2000;

export function addExperimentStatus(experiment: Command): void {
  experiment
    .command('status')
    .description('how far experiments are, and the time left')
    .argument('<dir>', 'the store')
    .addOption(new Option('--watch', 'again every two seconds, until nothing runs'))
    .addOption(new Option('--json', 'as JSON on stdout; with --watch a line each time'))
    .action(async (dir: string, flags: { watch?: boolean; json?: boolean }) => {
      const { signal, release } = abortOnSignals();
      try {
        for (;;) {
          const all = await experimentStatus(dir);
          if (flags.json) await printJson(all);
          else
            await print(
              `${flags.watch && process.stdout.isTTY ? '\x1b[H\x1b[2J' : ''}${all.map(describe).join('\n')}\n`,
            );
          if (!flags.watch || !all.some(({ now }) => now?.alive)) return;
          await setTimeout(INTERVAL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
        }
      } finally {
        release();
      }
    });
}

function describe(status: ExperimentStatus): string {
  const { name, protocol, models, total, finished, secondsTaken, secondsLeft, now } = status;
  const kinds = JOB_KINDS.filter((kind) => status.jobs[kind].total > 0)
    .map((kind) => `${kind} ${status.jobs[kind].finished}/${status.jobs[kind].total}`)
    .join('  ');
  const lines = [`${name} (${protocol}): ${models} models, ${finished} of ${total} jobs done`, `  ${kinds}`];
  if (finished === total) lines.push(`  finished in ${clock(secondsTaken)} of work`);
  else if (now?.alive) {
    lines.push(`  now: ${now.kind} ${Math.round(now.fraction * 100)} %  ${now.detail}`);
    lines.push(`  ${clock(secondsTaken)} of work done, about ${clock(secondsLeft ?? Number.NaN)} left`);
  } else
    lines.push(
      `  nothing runs; \`mlit experiment run\` goes on, about ${clock(secondsLeft ?? Number.NaN)} left`,
    );
  return `${lines.join('\n')}\n`;
}
