// The flags of `mlit train`, which `mlit plan` shares. Names and defaults are those of the options' schema; here is only how
// they are written on a command line.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { TARGETS } from '../model/adapter';
import { RECOMPUTE, SELECTIONS } from '../train/options';
import { SCHEDULES } from '../train/schedule';
import { addCommonFlags, parseAutoOr, parseCount, parseInteger, parseNumber, parseSwitch } from './common';
import { mixOption } from './mix';

export function addTrainFlags(command: Command): Command {
  const option = (flags: string, description: string): Option => new Option(flags, description);
  addCommonFlags(command)
    .addOption(
      option(
        '--data <file...>',
        'training examples: JSONL (also .gz), JSON arrays, Parquet, CSV, patterns, hf:owner/name, or CODE=FILE',
      ),
    )
    .addOption(mixOption())
    .addOption(
      option('--method <method>', 'lora: an adapter; full: the model itself (default: lora)').choices([
        'lora',
        'full',
      ]),
    )
    .addOption(option('--rank <n>', 'LoRA rank (default: 16)').argParser(parseInteger))
    .addOption(option('--alpha <x>', 'LoRA alpha (default: 32)').argParser(parseNumber))
    .addOption(
      option('--rslora [on|off]', 'scale by alpha/√rank (default: off)').preset('on').argParser(parseSwitch),
    )
    .addOption(option('--dropout <p>', 'LoRA dropout, 0 to less than 1 (default: 0)').argParser(parseNumber))
    .addOption(
      option(
        '--target <modules>',
        `a list of ${TARGETS.join(',')} (default: all-linear, the seven of a layer)`,
      ).argParser(parseTarget),
    )
    .addOption(
      option('--init-adapter <dir>', 'start from a PEFT adapter (default: none)').argParser(parseNone),
    )
    .addOption(
      option('--learning-rate <x>', 'peak learning rate (default: 2e-4; full: 2e-5)').argParser(parseNumber),
    )
    .addOption(
      option('--schedule <name>', 'constant, linear or cosine (default: linear)').choices([...SCHEDULES]),
    )
    .addOption(option('--warmup-steps <n>', 'steps of linear warm-up (default: 10)').argParser(parseCount))
    .addOption(option('--weight-decay <x>', 'decoupled weight decay (default: 0)').argParser(parseNumber))
    .addOption(option('--max-grad-norm <x>', 'global L2 clip, 0 = off (default: 1)').argParser(parseNumber))
    .addOption(option('--epochs <x>', 'passes over the data (default: 1)').argParser(parseNumber))
    .addOption(option('--steps <n>', 'optimiser steps, instead of epochs').argParser(parseInteger))
    .addOption(option('--batch-examples <n>', 'examples of a step (default: 16)').argParser(parseInteger))
    .addOption(option('--batch-tokens <n>', 'tokens of a step, instead of examples').argParser(parseInteger))
    .addOption(
      option('--micro-tokens <n>', 'tokens of a micro-batch (default: auto)').argParser(
        parseAutoOr(parseInteger),
      ),
    )
    .addOption(option('--max-length <n>', 'tokens of an example (default: 2048)').argParser(parseInteger))
    .addOption(option('--max-prompt <n>', 'tokens of a prompt').argParser(parseInteger))
    .addOption(option('--max-response <n>', 'tokens of a response').argParser(parseInteger))
    .addOption(
      option('--truncate <how>', 'cut or drop what is too long (default: cut)').choices(['cut', 'drop']),
    )
    .addOption(
      option(
        '--recompute <level>',
        'what is computed again to save memory: auto, none, activations or layer (default: auto)',
      ).choices(['auto', ...RECOMPUTE]),
    )
    .addOption(
      option('--loss-norm <norm>', 'token or example (default: token)').choices(['token', 'example']),
    )
    .addOption(
      option(
        '--dev <file|n>',
        'a dev set, or how many items to take out of the data (default: none)',
      ).argParser(parseDev),
    )
    .addOption(
      option('--eval-every <n>', 'steps between dev scores, 0 = at the end (default: 0)').argParser(
        parseCount,
      ),
    )
    .addOption(
      option(
        '--select <measure>',
        'what the best adapter is chosen by: loss or rouge-l (default: loss)',
      ).choices([...SELECTIONS]),
    )
    .addOption(
      option(
        '--patience <n>',
        'end after N dev scores in a row without a better one, 0 = never (default: 0)',
      ).argParser(parseCount),
    )
    .addOption(
      option('--save-every <n>', 'steps between checkpoints, 0 = at the end (default: 0)').argParser(
        parseCount,
      ),
    )
    .addOption(option('--keep <n>', 'checkpoints kept (default: 2)').argParser(parseInteger))
    .addOption(option('--no-shuffle', 'take examples in the order of the files'))
    .addOption(
      option('--seed <n>', 'of the adapter, of the order and of dropout (default: 0)').argParser(parseCount),
    )
    .addOption(
      option('--preview <n>', 'print N records, supervised tokens coloured (default: 0)').argParser(
        parseCount,
      ),
    );
  return command;
}

/** Merged flags as options: those given only, in the schema's terms. */
export function toTrainInput(flags: Record<string, unknown>): Record<string, unknown> {
  const {
    json: _json,
    preview: _preview,
    out: _out,
    resume: _resume,
    runs: _runs,
    atOnce: _atOnce,
    profile: _profile,
    ...options
  } = flags;
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function parseTarget(text: string): string[] {
  const names = text.split(',').map((name) => name.trim());
  const other = names.find((name) => !(TARGETS as readonly string[]).includes(name));
  if (other === undefined) return names;
  throw new InvalidArgumentError(
    `'${other}' can't have an adapter; expected a list of ${TARGETS.join(',')}.`,
  );
}

function parseNone(text: string): string | undefined {
  return text === 'none' ? undefined : text;
}

function parseDev(text: string): string | number | undefined {
  if (text === 'none') return undefined;
  return /^\d+$/.test(text) ? parseInteger(text) : text;
}
