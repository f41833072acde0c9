// `mlit compare`: which of two files of answers is better, by a program that has the references or by a model that judges, by
// language and in all.
import { type Command, Option } from 'commander';
import { z } from 'zod';
import { readExamples } from '../data/read';
import { type Comparison, compareAnswers, PROGRAM_JUDGES, type ProgramJudge } from '../eval/compare';
import { JUDGE_PROTOCOLS } from '../eval/verdicts';
import { printable } from '../native/untrusted';
import { loadIdentifier } from '../text/identify';
import { readAnswers } from './answers-file';
import { addResultFlags, checkOptions, mergeConfig, parseCount, parseField, UsageError } from './common';
import { compareByModel } from './compare-by-model';
import { comparedTable, GATE_NOTE, S_NOTE } from './compared-table';
import { flagOf } from './flags';
import { addJudgeFlags, judgeOf, judgeOptions } from './judge-flags';
import { note, printJson, printLine } from './output';
import { abortOnSignals } from './signals';

/** What only models as judges take. */
const modelOptions = {
  prompts: z.string().optional(),
  protocol: z.enum(JUDGE_PROTOCOLS).default('forced'),
  verdicts: z.string().min(1).optional(),
  nameA: z.string().min(1).optional(),
  nameB: z.string().min(1).optional(),
  ...judgeOptions,
};
const optionsSchema = z.strictObject({
  judge: z.string().optional(),
  references: z.string().optional(),
  field: z.record(z.string(), z.string()).default({}),
  allowMissing: z.boolean().default(false),
  gate: z.boolean().default(false),
  seed: z.int().min(0).default(0),
  json: z.boolean().default(false),
  ...modelOptions,
});

/** Options of `mlit compare`, as checked. */
export type CompareFlags = z.output<typeof optionsSchema>;

export function addCompare(program: Command): void {
  const command = program
    .command('compare')
    .description('two files of answers side by side: wins, ties, losses and the score S, by language')
    .argument('<a>', 'answers as `mlit sample` prints them')
    .argument('<b>', 'answers to the same prompts')
    .addOption(
      new Option(
        '--judge <judge>',
        `${Object.keys(PROGRAM_JUDGES).join(', ')}, local:MODEL or openai:MODEL@URL; has to be given`,
      ),
    )
    .addOption(
      new Option(
        '--references <file>',
        'the prompts with their reference answers: what programs compare with, and what shows whether a model can judge',
      ),
    )
    .addOption(new Option('--prompts <file>', 'the prompts, for a model that judges (default: --references)'))
    .addOption(
      new Option(
        '--protocol <protocol>',
        'forced: a model has to choose; tie: it may call it a tie (default: forced)',
      ).choices([...JUDGE_PROTOCOLS]),
    )
    .addOption(
      new Option(
        '--field <name=field>',
        'read a field of the references under another name, as in response=output',
      ).argParser(parseField),
    )
    .addOption(new Option('--allow-missing', 'count answers that are on one side only, do not refuse them'))
    .addOption(new Option('--gate', 'an answer in the wrong language loses to one in the right language'))
    .addOption(
      new Option(
        '--verdicts <file>',
        'keep a model’s verdicts in this file, and ask for none that is in it (default: a file in the cache)',
      ),
    )
    .addOption(new Option('--name-a <name>', 'what verdicts call the first model (default: its file)'))
    .addOption(new Option('--name-b <name>', 'what verdicts call the second model (default: its file)'))
    .addOption(new Option('--seed <n>', 'of the bootstrap (default: 0)').argParser(parseCount));
  addResultFlags(addJudgeFlags(command)).action((a: string, b: string, _given: unknown, command: Command) =>
    run(a, b, command),
  );
}

async function run(a: string, b: string, command: Command): Promise<void> {
  const given = await mergeConfig(command);
  const options = checkOptions(optionsSchema, given);
  const judge = judgeOf(options.judge);
  const { signal, release } = abortOnSignals();
  try {
    if (judge.kind === 'program') {
      const idle = Object.keys(modelOptions).find((name) => given[name] !== undefined);
      if (idle !== undefined)
        throw new UsageError(`${flagOf(idle)}: is for models that judge; '${judge.program}' is a program`);
      await compareByProgram(a, b, judge.program, options, signal);
    } else {
      await compareByModel(a, b, judge, options, signal);
    }
  } finally {
    release();
  }
}

async function compareByProgram(
  a: string,
  b: string,
  judge: ProgramJudge,
  options: CompareFlags,
  signal: AbortSignal,
): Promise<void> {
  if (options.references === undefined)
    throw new UsageError(
      `--references: the judge '${judge}' compares answers with reference answers; give --references FILE, the prompts with a response each`,
    );
  const references = await readExamples([options.references], {
    need: 'reference',
    field: options.field,
    signal,
    onNote: note,
  });
  const comparison = compareAnswers(await readAnswers(a, signal), await readAnswers(b, signal), {
    judge,
    references,
    allowMissing: options.allowMissing,
    gate: options.gate,
    identify: await loadIdentifier(),
    seed: options.seed,
  });
  if (options.json) await printJson({ a, b, references: options.references, ...comparison });
  else await printLine(describe(comparison, a, b, options.references));
}

function describe(comparison: Comparison, a: string, b: string, references: string): string {
  const { judge, gate, all, onlyA, onlyB } = comparison;
  const ties = judge === 'exact' ? '' : '; ties: under 5 points apart, or both under 20';
  return [
    `A: ${printable(a)}`,
    `B: ${printable(b)}`,
    `judge: ${PROGRAM_JUDGES[judge].label} against references (${printable(references)})${ties}`,
    ...(gate ? [GATE_NOTE] : []),
    '',
    comparedTable(comparison),
    '',
    S_NOTE,
    ...(all.leftOut > 0
      ? [
          `Left out for want of a reference; with them, S is between ${all.worstCase[0].toFixed(1)} and ${all.worstCase[1].toFixed(1)}.`,
        ]
      : []),
    ...(onlyA + onlyB > 0 ? [`On one side only, not compared: ${onlyA} of A, ${onlyB} of B.`] : []),
  ].join('\n');
}
