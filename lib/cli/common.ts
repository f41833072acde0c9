// What several commands share: the flags about model, text and machine, values that are parsed the same way, and the YAML
// file that stands under the flags.
import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';
import { COMPUTES } from '../model/compute';
import { BASE_DTYPES, DEVICE_PATTERN, type ModelLoadOptions } from '../model/model';
import { loadAddon } from '../native/addon';
import { MlitError } from '../native/errors';
import type { NativeCard } from '../native/types';
import { shortened } from '../native/untrusted';
import { describeIssues } from '../text/issues';
import { parseYaml } from '../text/yaml';
import { flagOf, meantFlag, optionOf } from './flags';

/** A mistake in how the command was called: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export function parseNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('Expected a number.');
  return value;
}

export function parseInteger(text: string): number {
  const value = parseNumber(text);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('Expected a whole number.');
  return value;
}

export function parseCount(text: string): number {
  const value = parseInteger(text);
  if (value < 0) throw new InvalidArgumentError('Expected 0 or more.');
  return value;
}

export function parseAutoOr<T>(parseValue: (text: string) => T): (text: string) => T | 'auto' {
  return (text) => (text === 'auto' ? 'auto' : parseValue(text));
}

/** `on` / `off`; a bare flag is on. */
export function parseSwitch(text: string): boolean {
  if (text !== 'on' && text !== 'off') throw new InvalidArgumentError("Expected 'on' or 'off'.");
  return text === 'on';
}

/** `wanted=found`, may be given several times. */
export function parseField(text: string, previous: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at <= 0 || at === text.length - 1) {
    throw new InvalidArgumentError("Expected NAME=FIELD, as in 'response=output'.");
  }
  return { ...previous, [text.slice(0, at)]: text.slice(at + 1) };
}

/** Flags of train, plan, sample and score. Defaults are those of the schemas, so that a YAML file can stand under them. */
export function addCommonFlags(command: Command): Command {
  return addModelFlags(command)
    .addOption(
      new Option('--field <name=field>', 'read a field under another name, as in response=output').argParser(
        parseField,
      ),
    )
    .addOption(new Option('--system <text>', 'system text for conversations that have none'));
}

/** Those of them that are about the model and the machine. */
export function addModelFlags(command: Command): Command {
  command.addOption(
    new Option(
      '--model <model>',
      'a .gguf file, a Hugging Face folder, hf:owner/name[@revision][:FILE.gguf], or a name that `mlit pull` knows',
    ),
  );
  return addResultFlags(addMachineFlags(command));
}

/** What stands at the end of most commands: how results are printed, and the file that stands under the flags. */
export function addResultFlags(command: Command): Command {
  return command
    .addOption(new Option('--json', 'results as JSON on stdout'))
    .addOption(new Option('--config <file>', 'a YAML file with the same options; flags win'));
}

/** How a model is spoken to and computed, without which it is. */
export function addMachineFlags(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--template <template>',
        'auto, gemma, chatml, llama3, mistral, alpaca, none, or a Jinja file (default: auto)',
      ),
    )
    .addOption(
      new Option('--threads <n>', 'compute threads (default: auto)').argParser(parseAutoOr(parseInteger)),
    )
    .addOption(
      new Option('--device <device>', 'auto, cpu or cuda[:N] (default: auto)').argParser(parseDevice),
    )
    .addOption(
      new Option(
        '--compute <mode>',
        'arithmetic of the base: f32, which is exact; int8, faster and a little off; auto, by a trial (default: f32)',
      ).choices([...COMPUTES]),
    )
    .addOption(
      new Option(
        '--base-dtype <dtype>',
        'how frozen weights are kept: auto, f32, bf16, int8 or nf4 (default: auto, which is bf16 on a card and for bf16 files)',
      ).choices([...BASE_DTYPES]),
    );
}

/** The options behind {@link addMachineFlags}, for commands that have no schema of their own in the library. */
export const machineOptions = {
  template: z.string().default('auto'),
  threads: z.union([z.literal('auto'), z.int().min(1)]).default('auto'),
  device: z.string().regex(DEVICE_PATTERN, 'auto, cpu, cuda or cuda:N').default('auto'),
  compute: z.enum(COMPUTES).default('f32'),
  baseDtype: z.enum(BASE_DTYPES).default('auto'),
};

/** Those behind {@link addModelFlags}. */
export const modelOptions = { model: z.string().min(1), ...machineOptions };

/** Those behind all of the common flags. */
export const commonOptions = {
  ...modelOptions,
  field: z.record(z.string(), z.string()).default({}),
  system: z.string().optional(),
};

/** Those of them that loading a model takes. */
export type ModelFlags = Required<
  Pick<ModelLoadOptions, 'model' | 'device' | 'threads' | 'baseDtype' | 'compute'>
>;

export function toModelOptions({ model, device, threads, baseDtype, compute }: ModelFlags): ModelLoadOptions {
  return { model, device, threads, baseDtype, compute };
}

function parseDevice(text: string): string {
  if (DEVICE_PATTERN.test(text)) return text;
  if (findCard(text)) {
    throw new InvalidArgumentError(
      'A card by its name is taken by `mlit plan` alone. Allowed choices here are auto, cpu, cuda[:N].',
    );
  }
  throw new InvalidArgumentError('Allowed choices are auto, cpu, cuda[:N].');
}

/** One of the cards that `mlit plan` knows by name. */
export function findCard(name: unknown): NativeCard | undefined {
  return loadAddon()
    .cards()
    .find((card) => card.name === name);
}

/**
 * The YAML file's options under the flags that were given. A key is a flag's name (`learning-rate`, or `learningRate` as in
 * run.yaml), a value what the flag takes, or the same as YAML.
 */
export async function mergeConfig(command: Command): Promise<Record<string, unknown>> {
  const { config, ...flags } = command.opts<Record<string, unknown>>();
  const base = typeof config === 'string' ? await readConfig(config, command) : {};
  const given = Object.entries(flags).filter(
    ([key, value]) => value !== undefined && command.getOptionValueSource(key) !== 'default',
  );
  return { ...base, ...Object.fromEntries(given) };
}

/** @throws UsageError naming every mistake */
export function checkOptions<S extends z.ZodType>(schema: S, options: Record<string, unknown>): z.output<S> {
  const result = schema.safeParse(options);
  if (result.success) return result.data;
  throw new UsageError(describeIssues(result.error, options, { name: flagOf }));
}

async function readConfig(file: string, command: Command): Promise<Record<string, unknown>> {
  let value: unknown;
  try {
    value = parseYaml(await readFile(file, 'utf8'));
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'FILE_NOT_FOUND' : 'CONFIG_INVALID';
    throw new MlitError(code, `cannot read ${file}: ${(cause as Error).message}`, {
      fields: { file },
      cause,
    });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new MlitError('CONFIG_INVALID', `${file}: expected a mapping of options`, { fields: { file } });
  }
  const options: Record<string, unknown> = {};
  for (const [key, entry] of Object.entries(value)) {
    const name = optionOf(key);
    const option = command.options.find((each) => each.attributeName() === name);
    if (!option) {
      const known = command.options.map((each) => each.attributeName());
      const meant = meantFlag(key, known)?.slice(2);
      throw new UsageError(
        `${file}: there is no option '${shortened(key)}'${meant === undefined ? '' : `; did you mean '${meant}'?`}`,
      );
    }
    options[name] = readEntry(file, key, entry, option);
  }
  return options;
}

function readEntry(file: string, key: string, entry: unknown, option: Option): unknown {
  if (typeof entry !== 'string' && typeof entry !== 'number') return entry;
  try {
    if (option.parseArg) return option.parseArg(String(entry), undefined);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw new UsageError(`${file}: ${key}: '${entry}' is invalid. ${error.message}`);
  }
  return option.variadic ? [String(entry)] : entry;
}
