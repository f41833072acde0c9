// `mlit inspect`: what a data set is made of and what is wrong with it, before anything is trained on it.
import { type Command, Option } from 'commander';
import { dataReport } from '../data/data-report';
import { describeDataReport } from '../data/data-report-text';
import { readExamples } from '../data/read';
import { loadTokenizer, resolveModel } from '../model/source';
import { ChatTemplate } from '../model/template';
import { loadIdentifier } from '../text/identify';
import { parseField, parseNumber, UsageError } from './common';
import { fetchProgress, note, printJson, printLine } from './output';
import { abortOnSignals } from './signals';

interface Flags {
  data?: string[];
  eval?: string[];
  model?: string;
  template?: string;
  field?: Record<string, string>;
  near?: number;
  json?: boolean;
}

export function addInspect(program: Command): void {
  program
    .command('inspect')
    .description(
      'report on data before training: lengths, tokens a word, duplicates, leaks, languages of responses',
    )
    .option('--data <file...>', 'as for train; a response may be absent')
    .option('--eval <file...>', 'an evaluation set to report on and to compare with the data')
    .option('--model <model>', 'whose tokens to count: as for train; weights are neither read nor fetched')
    .option('--template <template>', 'as for train (default: auto); its end-of-turn token is supervised too')
    .addOption(new Option('--field <name=field>', 'read a field under another name').argParser(parseField))
    .addOption(
      new Option(
        '--near <similarity>',
        'from which prompts are near-duplicates; 0: none (default: 0.8)',
      ).argParser(parseNumber),
    )
    .option('--json', 'the report as JSON on stdout')
    .action((flags: Flags) => run(flags));
}

async function run(flags: Flags): Promise<void> {
  if (flags.data === undefined) throw new UsageError('--data: expected at least one file');
  if (flags.near !== undefined && !(flags.near >= 0 && flags.near <= 1))
    throw new UsageError(`--near: expected a number from 0 to 1, got ${flags.near}`);
  if (flags.template !== undefined && flags.template !== 'none' && flags.model === undefined)
    throw new UsageError('--template needs --model, whose tokens it is made of');
  const { signal, release } = abortOnSignals();
  try {
    const need = flags.template === 'none' ? 'text' : 'reference';
    const reading = { need, field: flags.field ?? {}, signal, onNote: note } as const;
    const train = await readExamples(flags.data, reading);
    const evaluation = flags.eval && (await readExamples(flags.eval, reading));
    const tokenizer =
      flags.model === undefined
        ? undefined
        : await loadTokenizer(
            await resolveModel(flags.model, {
              need: 'tokenizer',
              signal,
              onNote: note,
              onFetch: fetchProgress(),
            }),
          );
    const template =
      tokenizer && (await ChatTemplate.create({ template: flags.template ?? 'auto', tokenizer }));
    if (template?.note !== undefined) note(template.note);
    const identify = await loadIdentifier();
    const report = await dataReport({
      train,
      evaluation,
      tokenizer,
      template,
      identify,
      near: flags.near,
      signal,
    });
    if (flags.json) await printJson(report);
    else await printLine(describeDataReport(report));
    // Scripts may use this as a gate: shared items are an error wherever data is used.
    const { id, parallel_id: item } = report.leaks?.counts ?? {};
    if (id !== undefined || item !== undefined) process.exitCode = 1;
  } finally {
    release();
  }
}
