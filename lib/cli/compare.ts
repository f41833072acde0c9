// `mlit compare`: which of two files of answers is better, by a program that has the references, by language and in all.
import { type Command, Option } from 'commander';
import { z } from 'zod';
import { jsonValues, readExamples } from '../data/read';
import {
  type ComparedLanguage,
  type Comparison,
  compareAnswers,
  PROGRAM_JUDGES,
  type ProgramJudge,
} from '../eval/compare';
import type { AnswerLine } from '../eval/measures/types';
import type { Estimate } from '../eval/statistics/estimate';
import { MlitError } from '../native/errors';
import { loadIdentifier } from '../text/identify';
import { describeIssues } from '../text/issues';
import { didYouMean } from '../text/suggest';
import { checkOptions, mergeConfig, parseCount, parseField, UsageError } from './common';
import { note, printJson, printLine, table } from './output';
import { abortOnSignals } from './signals';

const optionsSchema = z.strictObject({
  judge: z.string().optional(),
  references: z.string().optional(),
  field: z.record(z.string(), z.string()).default({}),
  allowMissing: z.boolean().default(false),
  gate: z.boolean().default(false),
  seed: z.int().min(0).default(0),
  json: z.boolean().default(false),
});

export function addCompare(program: Command): void {
  program
    .command('compare')
    .description('two files of answers side by side: wins, ties, losses and the score S, by language')
    .argument('<a>', 'answers as `mlit sample` prints them')
    .argument('<b>', 'answers to the same prompts')
    .addOption(new Option('--judge <judge>', `${Object.keys(PROGRAM_JUDGES).join(', ')}; has to be given`))
    .addOption(new Option('--references <file>', 'the prompts with their reference answers'))
    .addOption(
      new Option(
        '--field <name=field>',
        'read a field of the references under another name, as in response=output',
      ).argParser(parseField),
    )
    .addOption(new Option('--allow-missing', 'count answers that are on one side only, do not refuse them'))
    .addOption(new Option('--gate', 'an answer in the wrong language loses to one in the right language'))
    .addOption(new Option('--seed <n>', 'of the bootstrap (default: 0)').argParser(parseCount))
    .addOption(new Option('--json', 'results as JSON on stdout'))
    .addOption(new Option('--config <file>', 'a YAML file with the same options; flags win'))
    .action((a: string, b: string, _given: unknown, command: Command) => run(a, b, command));
}

async function run(a: string, b: string, command: Command): Promise<void> {
  const options = checkOptions(optionsSchema, await mergeConfig(command));
  const judge = programJudge(options.judge);
  if (options.references === undefined)
    throw new UsageError(
      `--references: the judge '${judge}' compares answers with reference answers; give --references FILE, the prompts with a response each`,
    );
  const { signal, release } = abortOnSignals();
  try {
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
  } finally {
    release();
  }
}

function programJudge(name: string | undefined): ProgramJudge {
  const names = Object.keys(PROGRAM_JUDGES);
  if (name === undefined)
    throw new UsageError(`--judge: is needed, but was not given; expected one of ${names.join(', ')}`);
  if (Object.hasOwn(PROGRAM_JUDGES, name)) return name as ProgramJudge;
  if (/^(local|openai)(:|$)/.test(name))
    throw new UsageError(
      `--judge: '${name}': models as judges are not part of this version; expected one of ${names.join(', ')}`,
    );
  throw new UsageError(
    `--judge: '${name}' is no judge; expected one of ${names.join(', ')}${didYouMean(name, names)}`,
  );
}

const answerSchema = z.object({
  id: z.union([z.string().min(1), z.number()]).transform(String),
  lang: z.string().default('und'),
  sample: z.int().min(0).default(0),
  response: z.string(),
  tokens: z.array(z.number()).default([]),
  finishReason: z.string().default(''),
});

async function readAnswers(file: string, signal: AbortSignal): Promise<AnswerLine[]> {
  const answers: AnswerLine[] = [];
  for await (const { value, line } of jsonValues(file, file, signal)) {
    const read = answerSchema.safeParse(value);
    if (!read.success) {
      const field = read.error.issues[0]?.path.join('.') ?? '';
      throw new MlitError(
        'DATA_INVALID',
        `${file}:${line}: ${describeIssues(read.error, value)}; an answer is a line of \`mlit sample\`: id, sample, response`,
        { fields: { file, line, field } },
      );
    }
    answers.push(read.data);
  }
  if (answers.length === 0)
    throw new MlitError('DATA_EMPTY', `${file}: there are no answers in this file`, { fields: { file } });
  return answers;
}

function describe(comparison: Comparison, a: string, b: string, references: string): string {
  const { judge, gate, byLanguage, all, onlyA, onlyB } = comparison;
  const rows = [...Object.entries(byLanguage), ['all', all] as const].map(([lang, one]) => row(lang, one));
  const ties = judge === 'exact' ? '' : '; ties: under 5 points apart, or both under 20';
  return [
    `A: ${a}`,
    `B: ${b}`,
    `judge: ${PROGRAM_JUDGES[judge].label} against references (${references})${ties}`,
    ...(gate
      ? ['gate: an answer in the wrong language loses to one in the right language; undecided ones stand']
      : []),
    '',
    table(
      [
        'language',
        'n',
        'S(A, B)',
        '95 %',
        'win',
        'tie',
        'lose',
        'left out',
        'match A',
        'match B',
        'undecided',
      ],
      rows,
    ),
    '',
    'S: 50 is parity. Intervals are over items, given these answers. match: answers in the prompt’s language, in %, of those decided.',
    ...(all.leftOut > 0
      ? [
          `Left out for want of a reference; with them, S is between ${all.worstCase[0].toFixed(1)} and ${all.worstCase[1].toFixed(1)}.`,
        ]
      : []),
    ...(onlyA + onlyB > 0 ? [`On one side only, not compared: ${onlyA} of A, ${onlyB} of B.`] : []),
  ].join('\n');
}

function row(lang: string, one: ComparedLanguage): string[] {
  const { score, wins, ties, losses, leftOut, languageMatch, undecided } = one;
  return [
    lang,
    String(one.pairs),
    shown(score.value),
    score.low === undefined ? '–' : `${shown(score.low)}–${shown(score.high as number)}`,
    ...[wins, ties, losses, leftOut].map(String),
    percent(languageMatch.a),
    percent(languageMatch.b),
    `${undecided.a} / ${undecided.b}`,
  ];
}

function percent({ value }: Estimate): string {
  return shown(100 * value);
}

function shown(value: number): string {
  return Number.isNaN(value) ? '–' : value.toFixed(1);
}
