// `mlit chat`: a talk in the terminal with a base and its adapters side by side, each with a history of its own. Answers on
// stdout, everything else on stderr; lines from a pipe are what a person would have typed.
import { stderr, stdin, stdout } from 'node:process';
import { createInterface, type Interface } from 'node:readline';
import { type Command, Option } from 'commander';
import { z } from 'zod';
import { isMlitError } from '../native/errors';
import { printable } from '../native/untrusted';
import { Sampler } from '../sample/sampler';
import { languageOfAnswer, UNDECIDED } from '../text/answer-language';
import { type Identify, loadIdentifier } from '../text/identify';
import { languageName } from '../text/language-codes';
import { Talk, type TalkEvent } from './chat-talk';
import {
  addModelFlags,
  checkOptions,
  mergeConfig,
  modelOptions,
  parseCount,
  parseInteger,
  parseNumber,
} from './common';
import { type LoadedModel, loadModel } from './load-model';
import { baseNameOf, namedAdapterFlag } from './named-adapters';
import { note, print, printJson } from './output';
import { abortOnSignals, SignalError } from './signals';

/** Of one model's talk; a model with a smaller context has less. */
const ROOM = 4096;

const optionsSchema = z.strictObject({
  ...modelOptions,
  system: z.string().optional(),
  adapter: z.record(z.string(), z.string()).default({}),
  maxNewTokens: z.int().min(1).default(256),
  temperature: z.number().min(0).default(0),
  topP: z.number().gt(0).max(1).default(1),
  seed: z.int().min(0).default(0),
});
type Options = z.output<typeof optionsSchema>;

const HELP = `/model [NAME]   who answers from here on: one model, or all of them again (/model all)
/system [TEXT]  what models are told before the first turn; nothing without a text
/reset          everybody forgets what was said
/quit           ends, as Ctrl-D does; Ctrl-C cancels an answer, or ends where none is given`;

export function addChat(program: Command): void {
  const option = (flags: string, description: string): Option => new Option(flags, description);
  addModelFlags(
    program.command('chat').description('talk with a base and its adapters side by side, in the terminal'),
  )
    .addOption(namedAdapterFlag())
    .addOption(option('--system <text>', 'what models are told before the first turn'))
    .addOption(option('--max-new-tokens <n>', 'tokens of an answer (default: 256)').argParser(parseInteger))
    .addOption(option('--temperature <x>', '0 = greedy (default: 0)').argParser(parseNumber))
    .addOption(option('--top-p <x>', 'nucleus (default: 1)').argParser(parseNumber))
    .addOption(option('--seed <n>', 'of the draws (default: 0)').argParser(parseCount))
    .action((_given: unknown, command: Command) => chat(command));
}

async function chat(command: Command): Promise<void> {
  const { json, ...given } = await mergeConfig(command);
  const options = checkOptions(optionsSchema, given);
  const { signal, release } = abortOnSignals();
  try {
    await using loaded = await loadModel(options, Object.values(options.adapter), signal);
    const identify = await loadIdentifier();
    const { talk, sampler } = await open(loaded, options);
    release(); // from here on Ctrl-C is about answers
    await using _sampler = sampler;
    await converse(talk, json === true ? jsonTeller(identify) : terminalTeller(identify));
  } finally {
    release();
  }
}

async function open(
  { model, template, adapters }: LoadedModel,
  options: Options,
): Promise<{ talk: Talk; sampler: Sampler }> {
  const names = Object.keys(options.adapter);
  const base = baseNameOf(options.model);
  if (names.includes(base)) throw new RangeError(`two models are called '${base}': the base and an adapter`);
  const { contextLength } = model.config;
  const room = contextLength > 0 ? Math.min(ROOM, contextLength) : ROOM;
  const maxRows = names.length + 1;
  const sampler = await Sampler.create({
    model,
    adapters,
    maxRows,
    cacheTokens: maxRows * (room + 32),
  });
  const { maxNewTokens, temperature, topP, seed, system } = options;
  const models = new Map([[base, -1], ...names.map((name, index): [string, number] => [name, index])]);
  const { tokenizer } = model;
  const sampling = { maxNewTokens, temperature, topP, seed };
  return { sampler, talk: new Talk({ sampler, tokenizer, template, models, room, system, sampling }) };
}

type Teller = (event: TalkEvent) => Promise<void>;

async function converse(talk: Talk, tell: Teller): Promise<void> {
  const terminal = stdin.isTTY === true;
  const lines = createInterface({ input: stdin, output: stderr, terminal, prompt: '> ' });
  let answering: AbortController | undefined;
  let interrupted = false;
  const interrupt = (): void => {
    if (answering && !answering.signal.aborted) {
      answering.abort(new SignalError('SIGINT'));
      return;
    }
    interrupted = true;
    lines.close();
  };
  lines.on('SIGINT', interrupt); // from a terminal, which readline reads key by key
  process.on('SIGINT', interrupt);
  try {
    if (terminal) note(`${talk.models.join(', ')}; /help tells what else there is`);
    prompt(lines, terminal);
    for await (const line of lines) {
      const text = line.trim();
      if (text === '/quit') break;
      if (text.startsWith('/')) {
        command(talk, text);
      } else if (text !== '') {
        answering = new AbortController();
        await answer(talk, text, answering.signal, tell);
        answering = undefined;
      }
      prompt(lines, terminal);
    }
  } finally {
    process.off('SIGINT', interrupt);
    lines.close();
  }
  if (interrupted) throw new SignalError('SIGINT');
}

function prompt(lines: Interface, terminal: boolean): void {
  if (terminal) lines.prompt();
}

async function answer(talk: Talk, text: string, signal: AbortSignal, tell: Teller): Promise<void> {
  try {
    for await (const event of talk.ask(text, signal)) await tell(event);
  } catch (error) {
    if (signal.aborted) note('\ncancelled; this turn is forgotten');
    else if (error instanceof RangeError || isMlitError(error)) note(`\n${printable(error.message)}`);
    else throw error;
  }
}

function command(talk: Talk, line: string): void {
  const [, name, rest] = /^\/(\S*)\s*(.*)$/s.exec(line) as unknown as [string, string, string];
  switch (name) {
    case 'help':
      note(HELP);
      return;
    case 'reset':
      talk.reset();
      note('forgotten');
      return;
    case 'system':
      talk.system = rest === '' ? undefined : rest;
      note(rest === '' ? 'no system text' : `system: ${printable(rest)}`);
      return;
    case 'model':
      if (rest !== '' && !talk.choose(rest)) note(`there is no model '${printable(rest)}'`);
      note(
        `${talk.chosen.join(', ')} answer${talk.chosen.length === 1 ? 's' : ''}, of ${talk.models.join(', ')}`,
      );
      return;
    default:
      note(`there is no command '/${printable(name)}'; /help tells what there is`);
  }
}

/** Answers as they come, each under its model's name, its language behind it. */
function terminalTeller(identify: Identify): Teller {
  const bold = (text: string): string => (stdout.isTTY ? `\x1b[1m${text}\x1b[0m` : text);
  return async (event) => {
    if (event.type === 'begin') await print(`${bold(`${printable(event.model)}:`)} `);
    else if (event.type === 'note') await print(`(${event.text})\n`);
    else if (event.type === 'text') await print(printable(event.text, true));
    else await print(`\n  [${endNote(event, identify)}]\n`);
  };
}

function endNote(
  { response, tokens, finishReason }: TalkEvent & { type: 'end' },
  identify: Identify,
): string {
  const { lang, by } = languageOfAnswer(response, { identify });
  const language = lang === UNDECIDED ? 'language undecided' : `${languageName(lang)}, by ${by}`;
  const cut = finishReason === 'length' || finishReason === 'context' ? ', cut at its limit' : '';
  return `${language}; ${tokens} tokens${cut}`;
}

function jsonTeller(identify: Identify): Teller {
  return async (event) => {
    if (event.type === 'note') note(`${event.model}: ${event.text}`);
    if (event.type !== 'end') return;
    const { model, response, tokens, finishReason } = event;
    const { lang, by } = languageOfAnswer(response, { identify });
    await printJson({ model, response, lang, by, tokens, finishReason });
  };
}
