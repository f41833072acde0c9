// `mlit import`: a published data set, as its authors wrote it, into this library's JSONL.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { IMPORTERS, type ImporterName, importData } from '../data/importers/import';
import { MlitError } from '../native/errors';
import { writeFileAtomic } from '../native/files';
import { parseCount, UsageError } from './common';
import { note, printJson, printLine } from './output';
import { abortOnSignals } from './signals';

interface Flags {
  out: string;
  lang?: string;
  max?: number;
  excludeDataset?: string[];
  withOutput?: boolean;
  json?: boolean;
}

export function addImport(program: Command): void {
  program
    .command('import')
    .description(
      'write a published data set (LIMA, OpenAssistant, AlpacaFarm) as JSONL of this library’s form',
    )
    .argument('<set>', Object.keys(IMPORTERS).join(', '), parseSet)
    .argument('<file...>', 'its files: JSONL or JSON (also .gz), Parquet, hf:owner/name[:path]')
    .requiredOption('--out <file>', 'the JSONL file to write; it is whole or not there')
    .option(
      '--lang <code>',
      'oasst: only records in this language; else the language of the set (default: en)',
    )
    .addOption(new Option('--max <n>', 'records to keep at most, the first ones').argParser(parseCount))
    .option('--exclude-dataset <name...>', 'alpaca-farm: parts to leave out, as oasst')
    .option('--with-output', 'alpaca-farm: keep the set’s model outputs as responses')
    .option('--json', 'the counts as JSON on stdout')
    .action((set: ImporterName, files: string[], flags: Flags) => run(set, files, flags));
}

function parseSet(text: string): ImporterName {
  if (Object.hasOwn(IMPORTERS, text)) return text as ImporterName;
  throw new InvalidArgumentError(`Allowed choices are ${Object.keys(IMPORTERS).join(', ')}.`);
}

async function run(set: ImporterName, files: string[], { out, json, ...options }: Flags): Promise<void> {
  if (set !== 'alpaca-farm') {
    const flag = options.excludeDataset
      ? '--exclude-dataset'
      : options.withOutput
        ? '--with-output'
        : undefined;
    if (flag !== undefined) throw new UsageError(`${flag} is for alpaca-farm only`);
  }
  const { signal, release } = abortOnSignals();
  try {
    const { records, read, skipped, notes } = await importData(set, files, {
      ...options,
      signal,
      onNote: note,
    });
    for (const text of notes) note(text);
    const reasons = Object.entries(skipped).sort(([, a], [, b]) => b - a);
    if (records.length === 0) {
      const why = reasons.map(([reason, n]) => `${n} ${reason}`).join('; ') || 'there are none';
      throw new MlitError('DATA_EMPTY', `${files.join(', ')}: no record is left to write: ${why}`, {
        fields: { file: files[0] ?? '' },
      });
    }
    signal.throwIfAborted();
    await writeFileAtomic(out, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
    const languages: Record<string, number> = {};
    for (const { lang } of records) languages[lang] = (languages[lang] ?? 0) + 1;
    if (json) return await printJson({ out, read, records: records.length, languages, skipped });
    const list = Object.entries(languages).map(([lang, n]) => `${lang} ${n}`);
    await printLine(`${out}: ${records.length} of ${read} records (${list.join(', ')})`);
    for (const [reason, n] of reasons) await printLine(`left out: ${n} ${reason}`);
  } finally {
    release();
  }
}
