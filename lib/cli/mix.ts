// `mlit mix`: a training set by a recipe, as a file of its own with its manifest beside it; or only the table of what would
// be drawn.
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { z } from 'zod';
import type { Example } from '../data/example';
import { findLeaks } from '../data/hold-out';
import {
  formatMixtureSpec,
  type Mixture,
  type MixtureInput,
  mixture,
  ParallelTable,
  pinchNote,
  readMixtureSpec,
  sizeMixture,
} from '../data/mixture';
import { readExamples } from '../data/read';
import { lengthWithin, type RenderOptions } from '../data/render';
import { writeRecords } from '../data/write';
import { loadTokenizer, resolveModel } from '../model/source';
import { ChatTemplate } from '../model/template';
import { loadAddon } from '../native/addon';
import { isMlitError } from '../native/errors';
import { writeFileAtomic } from '../native/files';
import { addResultFlags, checkOptions, mergeConfig, parseField, parseInteger, UsageError } from './common';
import { fetchProgress, note, printJson, printLine, table } from './output';
import { abortOnSignals } from './signals';

const optionsSchema = z.strictObject({
  data: z.array(z.string()).min(1),
  mix: z.string().min(1),
  out: z.string().min(1).optional(),
  eval: z.array(z.string()).min(1).optional(),
  dryRun: z.boolean().default(false),
  model: z.string().min(1).optional(),
  template: z.string().min(1).default('auto'),
  system: z.string().optional(),
  maxLength: z.int().min(2).default(2048),
  field: z.record(z.string(), z.string()).default({}),
});
type MixOptions = z.output<typeof optionsSchema>;

const MIX_HELP =
  'mono:language=L, pinch:count=N|percent=P,languages=A+B,hub=en, uniform:languages=A+B, prefix:order=A+B,k=K, pair:a=A,b=B, explicit:A=N,B=M, weights:A=3,B=1, temperature:temperature=T,languages=A+B; each with n=, policy=disjoint|nested|overlap, seed=; or a YAML file';

/** `--mix`, which train and plan take too. */
export function mixOption(): Option {
  return new Option('--mix <spec>', `draw the training set from the data: ${MIX_HELP}`);
}

/** A recipe as it was typed, read and checked: a mistake in it is a mistake of the call. */
async function readMixFlag(text: string): Promise<MixtureInput> {
  try {
    return await readMixtureSpec(text);
  } catch (error) {
    if (isMlitError(error) && error.code === 'MIXTURE_INVALID')
      throw new UsageError(`--mix: ${error.message}`);
    throw error;
  }
}

/** Flags with the recipe in its canonical line, from whichever form `--mix` has. */
export async function readMix(flags: Record<string, unknown>): Promise<Record<string, unknown>> {
  if (typeof flags.mix !== 'string') return flags;
  return { ...flags, mix: formatMixtureSpec(await readMixFlag(flags.mix)) };
}

export function addMix(program: Command): void {
  const command = program
    .command('mix')
    .description('draw a training set in several languages under one budget; writes it and its manifest')
    .addOption(new Option('--data <file...>', 'examples with lang and parallel_id, as for train'))
    .addOption(mixOption())
    .addOption(new Option('--out <file>', 'JSONL file; its manifest becomes <file>.manifest.json'))
    .addOption(
      new Option('--eval <file...>', 'prompts that must share no item with the data, in any language'),
    )
    .addOption(new Option('--dry-run', 'print the table of languages, write nothing'))
    .addOption(
      new Option('--model <model>', 'count tokens, and show one item a language as this model sees it'),
    )
    .addOption(new Option('--template <template>', 'as for train (default: auto)'))
    .addOption(new Option('--system <text>', 'system text for conversations that have none'))
    .addOption(
      new Option('--max-length <n>', 'tokens of an example, for the counts (default: 2048)').argParser(
        parseInteger,
      ),
    )
    .addOption(
      new Option('--field <name=field>', 'read a field under another name, as in response=output').argParser(
        parseField,
      ),
    );
  addResultFlags(command).action((_given: unknown, command: Command) => run(command));
}

async function run(command: Command): Promise<void> {
  const { json, ...given } = await mergeConfig(command);
  const options = checkOptions(optionsSchema, given);
  if (options.out === undefined && !options.dryRun)
    throw new UsageError("required option '--out <file>' not specified (or --dry-run, which writes nothing)");
  refuseOverwriting(options);
  const recipe = await readMixFlag(options.mix);
  const { signal, release } = abortOnSignals();
  try {
    const need = options.template === 'none' ? 'text' : 'response';
    const reading = { field: options.field, signal, onNote: note } as const;
    const data = ParallelTable.from(await readExamples(options.data, { ...reading, need }));
    const evaluation =
      options.eval &&
      (await readExamples(options.eval, { ...reading, need: need === 'text' ? need : 'prompt' }));
    const spec = sizeMixture(recipe, data);
    const remark = pinchNote(spec);
    if (remark !== undefined) note(remark);
    const rendering =
      options.model === undefined ? undefined : await prepareRendering(options, options.model, signal);
    signal.throwIfAborted();
    const drawn = mixture(data, spec, { evaluation, rendering });
    if (evaluation !== undefined) noteSimilar(drawn.examples, evaluation);
    const manifest = options.dryRun ? undefined : await write(options.out as string, drawn);
    const available = data.recordsByLanguage();
    if (json) {
      await printJson({
        out: manifest ? options.out : null,
        manifest: manifest ?? null,
        available,
        ...drawn.manifest,
      });
      return;
    }
    await printLine(describe(drawn, available));
    if (manifest !== undefined)
      note(`${drawn.examples.length} examples written to ${options.out}, their manifest to ${manifest}`);
  } finally {
    release();
  }
}

function refuseOverwriting({ out, data, eval: evaluation = [] }: MixOptions): void {
  const same = [...data, ...evaluation].find((file) => out !== undefined && resolve(file) === resolve(out));
  if (same !== undefined) throw new UsageError(`--out ${same} is one of the files read; name another file`);
}

/** Items are refused by name; texts that are the same or nearly so are for a person to judge. */
function noteSimilar(examples: readonly Example[], evaluation: readonly Example[]): void {
  const leaks = findLeaks(examples, evaluation);
  const first = leaks[0];
  if (first === undefined) return;
  note(
    `${leaks.length} of ${evaluation.length} evaluation prompts are the same as or much like one that is drawn, '${first.evaluation}' (like '${first.train}') the first`,
  );
}

async function prepareRendering(
  options: MixOptions,
  model: string,
  signal: AbortSignal,
): Promise<RenderOptions> {
  const fetching = { signal, onNote: note, onFetch: fetchProgress() };
  const source = await resolveModel(model, { ...fetching, need: 'tokenizer' });
  const tokenizer = await loadTokenizer(source);
  const template = await ChatTemplate.create({ template: options.template, tokenizer });
  if (template.note !== undefined) note(template.note);
  const { contextLength } = await loadAddon().readModelConfig(source.path);
  const maxLength = lengthWithin(contextLength, options.maxLength, note);
  return { tokenizer, template, system: options.system, maxLength };
}

/** The records first, then the manifest: one that is there speaks of records that are there. */
async function write(out: string, drawn: Mixture): Promise<string> {
  const path = `${out}.manifest.json`;
  await writeRecords(out, drawn.examples);
  await writeFileAtomic(path, `${JSON.stringify(drawn.manifest, null, 2)}\n`);
  return path;
}

function describe({ allocation, manifest }: Mixture, available: Readonly<Record<string, number>>): string {
  const counted = Object.values(manifest.languages).some(({ tokens }) => tokens !== undefined);
  const header = ['language', 'available', 'allocated', 'bytes'];
  if (counted) header.push('tokens', 'supervised');
  const rows = Object.keys({ ...available, ...allocation })
    .sort()
    .map((lang) => {
      const entry = manifest.languages[lang];
      const cells = [available[lang], allocation[lang], entry?.responseBytes];
      if (counted) cells.push(entry?.tokens, entry?.supervisedTokens);
      return [lang, ...cells.map((cell) => String(cell ?? 0))];
    });
  const sums = header
    .slice(1)
    .map((_, column) => String(rows.reduce((sum, row) => sum + Number(row[column + 1]), 0)));
  return `${manifest.spec}\n${table(header, [...rows, ['all', ...sums]])}`;
}
