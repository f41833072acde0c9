// What the commands share that ask a model of answers, local or behind an endpoint: its flags, how far it has come, and how they end
// where not all was answered.
import { type Command, Option } from 'commander';
import { z } from 'zod';
import { type JudgeName, parseJudgeName } from '../eval/judges/judge-name';
import type { JudgeProgress } from '../eval/judges/judge-pairs';
import { MlitError } from '../native/errors';
import { printable } from '../native/untrusted';
import { addMachineFlags, machineOptions, parseInteger, UsageError } from './common';
import { clock, Progress } from './output';

const count = z.int().min(1);

/** The options behind {@link addJudgeFlags}. */
export const judgeOptions = {
  concurrency: count.default(8),
  maxCalls: count.optional(),
  maxTokens: count.optional(),
  maxNewTokens: count.default(2048),
  ...machineOptions,
};

/** Flags of endpoints, then those of local models. */
export function addJudgeFlags(command: Command): Command {
  command
    .addOption(
      new Option('--concurrency <n>', 'requests to an endpoint at once (default: 8)').argParser(parseInteger),
    )
    .addOption(
      new Option('--max-calls <n>', 'requests to an endpoint in this run; run again to go on').argParser(
        parseInteger,
      ),
    )
    .addOption(
      new Option(
        '--max-tokens <n>',
        'tokens of prompts and answers that an endpoint may charge in this run; run again to go on',
      ).argParser(parseInteger),
    )
    .addOption(
      new Option(
        '--max-new-tokens <n>',
        'tokens of one answer of an endpoint, its reasoning included (default: 2048)',
      ).argParser(parseInteger),
    );
  return addMachineFlags(command);
}

/** @throws UsageError */
export function judgeOf(name: string | undefined): JudgeName {
  try {
    return parseJudgeName(name ?? '');
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const missing = '--judge: is needed, but was not given; ';
    throw new UsageError(
      name === undefined ? error.message.replace(/^.*?(?=expected)/s, missing) : `--${error.message}`,
    );
  }
}

/** A bar with what was asked, what it cost, and the time that is left at this pace. */
export class JudgeBar {
  readonly #what: string;
  #bar: Progress | undefined;
  #label = '';

  /** @param what is asked for, in the plural */
  constructor(what: string) {
    this.#what = what;
  }

  update(label: string, progress: JudgeProgress): void {
    if (this.#label !== label) this.end();
    this.#label = label;
    this.#bar ??= new Progress(label);
    const { done, total, known, spending, seconds } = progress;
    const asked = done - known;
    const left = asked === 0 ? Number.NaN : ((total - done) * seconds) / asked;
    const cost = spending.calls === 0 ? '' : `  ${spending.calls} calls, ${spending.tokens} tokens`;
    const before = known === 0 ? '' : `, ${known} known before`;
    this.#bar.update(
      total === 0 ? 1 : done / total,
      `${done}/${total} ${this.#what}${before}${cost}  ${clock(left)} left`,
    );
  }

  end(): void {
    this.#bar?.end();
    this.#bar = undefined;
  }
}

/** `timeout 3, HTTP 500 … 1`; texts of endpoints are shown as text. */
export function tally(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([what, n]) => `${printable(what)} (${n})`)
    .join(', ');
}

/**
 * After the results are printed: the command fails where they are not of everything.
 *
 * @throws MlitError `JUDGE_LIMIT`, `JUDGE_FAILED`
 */
export function refuseUnasked(
  unasked: number,
  failed: Readonly<Record<string, number>>,
  spending: JudgeProgress['spending'],
): void {
  if (unasked === 0) return;
  const { calls, tokens, reached } = spending;
  if (reached !== undefined) {
    const limit = reached === 'calls' ? `--max-calls (${calls} calls)` : `--max-tokens (${tokens} tokens)`;
    throw new MlitError(
      'JUDGE_LIMIT',
      `judge: stopped at ${limit}: ${unasked} questions are not answered; what was answered is kept, so run the same again to go on`,
      { fields: { unasked, calls, tokens } },
    );
  }
  throw new MlitError(
    'JUDGE_FAILED',
    `judge: ${unasked} questions were not answered: ${tally(failed)}; what was answered is kept, so run the same again to ask them`,
    { fields: { unasked } },
  );
}
