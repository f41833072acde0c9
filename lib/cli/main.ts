// The command line: which commands there are, and what every way of failing looks like from outside (exit codes 0, 1, 2,
// 130, 143).
import { Command, CommanderError } from 'commander';
import { isMlitError } from '../native/errors';
import { packageVersion } from '../native/version';
import { addAnnotate } from './annotate';
import { addChat } from './chat';
import { UsageError } from './common';
import { addCompare } from './compare';
import { addDoctor } from './doctor';
import { addExperiment } from './experiment';
import { addExport } from './export';
import { inFlags, meantFlag, optionOf } from './flags';
import { addImport } from './import';
import { addInspect } from './inspect';
import { addMix } from './mix';
import { addPlan } from './plan';
import { addPull } from './pull';
import { addRate } from './rate';
import { addSample } from './sample';
import { addScore } from './score';
import { addServe } from './serve';
import { SignalError } from './signals';
import { addTrain } from './train';

/** Commander, but for what it says of an unknown flag: it compares letters only, and `--lr` has few of `--learning-rate`. */
class Program extends Command {
  override createCommand(name?: string): Command {
    return new Program(name);
  }

  unknownOption(typed: string): void {
    const flag = typed.replace(/=.*/s, '');
    const options = this.createHelp().visibleOptions(this);
    const meant = meantFlag(
      flag,
      options.flatMap(({ long }) => (long ? [optionOf(long)] : [])),
    );
    const hint = meant === undefined ? '' : `\n(Did you mean ${meant}?)`;
    this.error(`error: unknown option '${flag}'${hint}`, { code: 'commander.unknownOption' });
  }
}

function createProgram(): Command {
  const program = new Program('mlit')
    .description('instruction-tune a language model for many languages')
    .version(packageVersion)
    .showSuggestionAfterError(true)
    .showHelpAfterError(false)
    .exitOverride();
  for (const add of [
    addDoctor,
    addPull,
    addImport,
    addInspect,
    addMix,
    addPlan,
    addTrain,
    addSample,
    addScore,
    addServe,
    addChat,
    addCompare,
    addAnnotate,
    addRate,
    addExport,
    addExperiment,
  ])
    add(program);
  return program;
}

/** Runs one command; resolves with the exit code. */
async function main(argv: readonly string[]): Promise<number> {
  try {
    await createProgram().parseAsync(argv, { from: 'user' });
    return typeof process.exitCode === 'number' ? process.exitCode : 0;
  } catch (error) {
    return report(error);
  }
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // commander has written the message
  if (error instanceof SignalError) return error.exitCode;
  if (error instanceof UsageError) {
    say(error.message);
    return 2;
  }
  if (isMlitError(error)) {
    say(`${inFlags(error.message)} [${error.code}]`);
    return error.code === 'STATE_MISMATCH' && 'option' in error.fields ? 2 : 1;
  }
  if (error instanceof RangeError || error instanceof TypeError) {
    // A wrong value of an option, found by the library; anything else of these types is a fault of ours and shows where.
    say(inFlags(error.message));
    if (process.env.MLIT_DEBUG) say(String(error.stack));
    return error instanceof RangeError ? 2 : 1;
  }
  if ((error as NodeJS.ErrnoException)?.syscall === 'write')
    return outputFailed(error as NodeJS.ErrnoException);
  say(error instanceof Error ? String(error.stack) : String(error));
  return 1;
}

function say(text: string): void {
  process.stderr.write(`mlit: ${text}\n`);
}

let toldOfOutput = false;

/** A reader that has seen enough (`| head`) is no failure; a full disk behind `>` is one, and is told once. */
function outputFailed(error: NodeJS.ErrnoException): number {
  if (error.code === 'EPIPE') return 0;
  if (!toldOfOutput) say(`cannot write the results to standard output: ${error.message}`);
  toldOfOutput = true;
  return 1;
}

// print() rejects with the same error, which ends the work; commander's help is written without it.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (outputFailed(error) !== 0) process.exitCode = 1;
});
// Nobody reads the progress any more (`2>&1 | head`): that is no reason to lose a run.
process.stderr.on('error', () => {});
const code = await main(process.argv.slice(2));
if (!process.exitCode) process.exitCode = code;
// What a client waits for before it asks an endpoint again, up to a minute, is nobody's business any more.
if (code !== 0) process.exit();
