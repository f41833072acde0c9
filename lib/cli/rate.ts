// `mlit rate`: how good the answers of one file are by a rubric, as a model sees it, by language and in all.
import { type Command, Option } from 'commander';
import { z } from 'zod';
import { readExamples } from '../data/read';
import { LocalRater } from '../eval/judges/local-rater';
import { OpenAIRater } from '../eval/judges/openai-rater';
import { type Rated, rateAnswers } from '../eval/judges/rate';
import { RATED, type Rater } from '../eval/judges/rater';
import type { MachineRubric } from '../eval/judges/wording';
import type { Estimate } from '../eval/statistics/estimate';
import { openRatings } from '../eval/verdicts';
import { printable } from '../native/untrusted';
import { modelNameOf, readAnswers } from './answers-file';
import { addResultFlags, checkOptions, mergeConfig, parseCount, parseField, UsageError } from './common';
import { interval } from './compared-table';
import { addJudgeFlags, JudgeBar, judgeOf, judgeOptions, refuseUnasked, tally } from './judge-flags';
import { loadBase } from './load-model';
import { note, printJson, printLine, table } from './output';
import { abortOnSignals } from './signals';

const RUBRICS = { helpfulness: 'helpfulness-1-6', facets: 'facets-0-2' } as const satisfies Record<
  string,
  MachineRubric
>;
type RubricName = keyof typeof RUBRICS;
const RUBRIC_NAMES = Object.keys(RUBRICS) as RubricName[];

const optionsSchema = z.strictObject({
  judge: z.string().optional(),
  rubric: z.enum(RUBRIC_NAMES).default('helpfulness'),
  prompts: z.string(),
  field: z.record(z.string(), z.string()).default({}),
  ratings: z.string().min(1).default('ratings.jsonl'),
  name: z.string().min(1).optional(),
  seed: z.int().min(0).default(0),
  json: z.boolean().default(false),
  ...judgeOptions,
});

export function addRate(program: Command): void {
  const command = program
    .command('rate')
    .description('a file of answers rated by a model: helpfulness from 1 to 6, or six facets from 0 to 2')
    .argument('<answers>', 'answers as `mlit sample` prints them')
    .addOption(new Option('--judge <judge>', 'local:MODEL or openai:MODEL@URL; has to be given'))
    .addOption(
      new Option(
        '--rubric <rubric>',
        'helpfulness: 1 to 6; facets: language, fluency, helpfulness, accuracy, coherence and harmlessness, 0 to 2 each (default: helpfulness)',
      ).choices(RUBRIC_NAMES),
    )
    .addOption(new Option('--prompts <file>', 'the prompts that were answered'))
    .addOption(
      new Option(
        '--field <name=field>',
        'read a field of the prompts under another name, as in instruction=question',
      ).argParser(parseField),
    )
    .addOption(
      new Option(
        '--ratings <file>',
        'keep ratings in this file, and ask for none that is in it (default: ratings.jsonl)',
      ),
    )
    .addOption(new Option('--name <name>', 'what ratings call the model that answered (default: its file)'))
    .addOption(new Option('--seed <n>', 'of the bootstrap (default: 0)').argParser(parseCount));
  addResultFlags(addJudgeFlags(command)).action((answers: string, _given: unknown, command: Command) =>
    run(answers, command),
  );
}

async function run(file: string, command: Command): Promise<void> {
  const options = checkOptions(optionsSchema, await mergeConfig(command));
  const judge = judgeOf(options.judge);
  if (judge.kind === 'program')
    throw new UsageError(
      `--judge: '${options.judge}' can't rate: a rubric needs local:MODEL or openai:MODEL@URL`,
    );
  const { signal, release } = abortOnSignals();
  const bar = new JudgeBar('ratings');
  try {
    const prompts = await readExamples([options.prompts], {
      need: 'prompt',
      field: options.field,
      signal,
      onNote: note,
    });
    const answers = await readAnswers(file, signal);
    await using ratings = await openRatings(options.ratings);
    const { template, concurrency, maxCalls, maxTokens, maxNewTokens } = options;
    const rubric = RUBRICS[options.rubric];
    await using model =
      judge.kind === 'local' ? await loadBase({ ...options, model: judge.model }, signal) : undefined;
    await using rater: Rater =
      judge.kind === 'local'
        ? await LocalRater.create({ model: model!, name: judge.model, rubric, template, onNote: note })
        : new OpenAIRater({
            ...{ model: judge.model, url: judge.url, rubric, concurrency, maxCalls, maxTokens, maxNewTokens },
            onNote: note,
          });
    const name = options.name ?? modelNameOf(file);
    const { rated } = await rateAnswers(answers, {
      ...{ rater, prompts, name, ratings, seed: options.seed, signal },
      onProgress: (progress) => bar.update('rate', progress),
    });
    bar.end();
    if (options.json) await printJson({ answers: file, name, ratings: options.ratings, ...rated });
    else await printLine(describe(rated, { file, name, ratings: options.ratings }));
    refuseUnasked(rated.unasked, rated.failed, rated.spending);
  } finally {
    bar.end();
    release();
  }
}

function describe(rated: Rated, of: { file: string; name: string; ratings: string }): string {
  const { judge, rubric, wording, byLanguage, all, outOfForm, models } = rated;
  const { names, range } = RATED[rubric];
  const [least, most] = range;
  const answered = Object.keys(models).length > 0 ? `; answered as ${tally(models)}` : '';
  const languages = [...Object.entries(byLanguage), ['all', all] as const];
  const cells = (means: Readonly<Record<string, Estimate>>): string[] =>
    names.flatMap((name) => {
      const mean = means[name];
      return mean === undefined || Number.isNaN(mean.value)
        ? ['–', '–']
        : [mean.value.toFixed(2), interval(mean, 1, 2)];
    });
  const heads = names.flatMap((name) => [name, '95 %']);
  return [
    `answers: ${printable(of.file)} (${printable(of.name)})`,
    `judge: ${printable(judge)}, asked by wording ${wording}${answered}`,
    '',
    table(
      ['language', 'n', ...heads, 'out of form'],
      languages.map(([lang, { rated: n, outOfForm: out, means }]) => [
        lang,
        String(n),
        ...cells(means),
        String(out),
      ]),
    ),
    ...(all.expected === undefined
      ? []
      : [
          '',
          'expected, by the probability of each digit:',
          table(
            ['language', ...heads],
            languages.map(([lang, { expected = {} }]) => [lang, ...cells(expected)]),
          ),
        ]),
    '',
    `Means from ${least} to ${most}; intervals are over items, given these answers and this judge.`,
    ...(Object.keys(outOfForm).length > 0
      ? [`Answers of the judge out of form, which are no ratings: ${tally(outOfForm)}.`]
      : []),
    `Ratings: ${rated.asked} asked now, ${rated.known} known before; kept in ${printable(of.ratings)}.`,
  ].join('\n');
}
