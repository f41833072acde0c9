// `mlit score`: how well texts are predicted, by language and in all; a line a record on demand.
import { type Command, Option } from 'commander';
import { z } from 'zod';
import { readExamples } from '../data/read';
import { describeReport, lengthWithin, renderExamples } from '../data/render';
import { type ScoreSums, score } from '../eval/score';
import { addCommonFlags, checkOptions, commonOptions, mergeConfig, parseInteger } from './common';
import { loadModel } from './load-model';
import { note, Progress, printJson, printLine, table } from './output';
import { abortOnSignals } from './signals';

const optionsSchema = z.strictObject({
  ...commonOptions,
  adapter: z.string().optional(),
  data: z.array(z.string()).min(1),
  maxLength: z.int().min(2).default(2048),
  perToken: z.boolean().default(false),
});

export function addScore(program: Command): void {
  addCommonFlags(
    program.command('score').description('negative log-likelihood, perplexity and bits a byte, by language'),
  )
    .addOption(new Option('--adapter <dir>', 'a PEFT folder'))
    .addOption(new Option('--data <file...>', 'texts: as for train; with --template none, records with text'))
    .addOption(
      new Option('--max-length <n>', 'tokens of a record, longer ones are cut (default: 2048)').argParser(
        parseInteger,
      ),
    )
    .addOption(new Option('--per-token', 'a JSON line a record with every log-probability, then the sums'))
    .action((_given: unknown, command: Command) => run(command));
}

async function run(command: Command): Promise<void> {
  const { json, ...given } = await mergeConfig(command);
  const options = checkOptions(optionsSchema, given);
  const { signal, release } = abortOnSignals();
  const progress = new Progress('score');
  try {
    const need = options.template === 'none' ? 'text' : 'response';
    const records = await readExamples(options.data, { need, field: options.field, signal, onNote: note });
    const folders = options.adapter === undefined ? [] : [options.adapter];
    await using loaded = await loadModel(options, folders, signal);
    const { model, template, adapters } = loaded;
    const maxLength = lengthWithin(model.config.contextLength, options.maxLength, note);
    const { examples, report } = renderExamples(records, {
      tokenizer: model.tokenizer,
      template,
      system: options.system,
      maxLength,
    });
    for (const line of describeReport(report)) note(line);
    const scores = await score({
      model,
      adapter: adapters[0],
      examples,
      signal,
      onProgress: (fraction) => progress.update(fraction, 'tokens'),
      ...(options.perToken && {
        onRecord: ({ id, tokens, logprobs, supervised }) => printJson({ id, tokens, logprobs, supervised }),
      }),
    });
    progress.end();
    if (json) await printJson({ ...scores.byLanguage, all: scores.all });
    else if (!options.perToken) await printLine(describe({ ...scores.byLanguage, all: scores.all }));
  } finally {
    progress.end();
    release();
  }
}

function describe(scores: Record<string, ScoreSums>): string {
  const rows = Object.entries(scores).map(([lang, s]) => [
    lang,
    String(s.records),
    String(s.tokens),
    String(s.bytes),
    s.nll.toFixed(2),
    s.perplexity.toFixed(3),
    s.bitsPerByte.toFixed(4),
  ]);
  return [
    table(['language', 'records', 'tokens', 'bytes', 'nll', 'perplexity', 'bitsPerByte'], rows),
    '',
    'tokens: those of the answers, with the ends of turns (with --template none: of the texts). bytes: of their text. nll: the sum of',
    'their negative log-likelihoods, in nats. perplexity: exp(nll / tokens). bitsPerByte: nll / (ln 2 × bytes), comparable over tokenizers.',
  ].join('\n');
}
