// The command line: which commands there are, and what every way of failing looks like from outside (exit codes 0, 1, 2,
// 130, 143).
import { Command, CommanderError } from 'commander';
import { isMlitError } from '../native/errors';
import { packageVersion } from '../native/version';
import { UsageError } from './common';
import { addCompare } from './compare';
import { addDoctor } from './doctor';
import { addExperiment } from './experiment';
import { addExport } from './export';
import { addImport } from './import';
import { addInspect } from './inspect';
import { addMix } from './mix';
import { addPlan } from './plan';
import { addPull } from './pull';
import { addSample } from './sample';
import { addScore } from './score';
import { SignalError } from './signals';
import { addTrain } from './train';

function createProgram(): Command {
  const program = new Command('mlit')
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
    addCompare,
    addExport,
    addExperiment,
  ])
    add(program);
  for (const command of program.commands) command.exitOverride();
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
  const say = (text: string): void => void process.stderr.write(`mlit: ${text}\n`);
  if (error instanceof UsageError) {
    say(error.message);
    return 2;
  }
  if (isMlitError(error)) {
    say(`${error.message} [${error.code}]`);
    return error.code === 'STATE_MISMATCH' && 'option' in error.fields ? 2 : 1;
  }
  if (error instanceof RangeError || error instanceof TypeError) {
    // A wrong value of an option, found by the library; anything else of these types is a fault of ours and shows where.
    say(error.message);
    if (process.env.MLIT_DEBUG) say(String(error.stack));
    return error instanceof RangeError ? 2 : 1;
  }
  if ((error as NodeJS.ErrnoException)?.code === 'EPIPE') return 0;
  say(error instanceof Error ? String(error.stack) : String(error));
  return 1;
}

// A reader that has seen enough (`| head`) is no failure; print() rejects with the same error, which ends the work.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
process.exitCode = await main(process.argv.slice(2));
