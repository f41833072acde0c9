// A mistyped option must not be passed over without a word: every public call says which names it knows, and what was
// probably meant by another one.
import { shortened, shown } from '../native/untrusted';
import { suggest } from './suggest';

/** An object with every name of an options type: one that lacks a name, or has one too many, does not compile. */
export type OptionNames<T> = { readonly [Name in keyof T]-?: unknown };

/**
 * @param call as a caller writes it, as in `Adapter.create`
 * @throws TypeError where the options are no object; RangeError naming the first unknown one
 */
export function refuseUnknownOptions<T extends object>(call: string, given: T, known: OptionNames<T>): void {
  if (typeof given !== 'object' || given === null) {
    const got = given === null ? 'null' : typeof given;
    throw new TypeError(
      `${call}: expected an object of options (${Object.keys(known).join(', ')}), got ${got}`,
    );
  }
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(known, name) || (given as Record<string, unknown>)[name] === undefined) continue;
    throw new RangeError(`${call}: ${unknownOption(name, Object.keys(known))}`);
  }
}

/**
 * For an option that is one of a few words, of callers whose types were not checked.
 *
 * @throws RangeError naming them
 */
export function refuseUnknownWord(call: string, name: string, given: string, known: readonly string[]): void {
  if (known.includes(given)) return;
  throw new RangeError(`${call}: ${name}: expected one of ${known.join(', ')}, got ${shown(given)}`);
}

/** `there is no option 'rnk'; did you mean 'rank'? The options are …`. */
export function unknownOption(name: string, known: readonly string[]): string {
  const meant = meantOption(name, known);
  const hint = meant === undefined ? ';' : `; did you mean '${meant}'?`;
  return `there is no option '${shortened(name)}'${hint} ${hint === ';' ? 'the' : 'The'} options are ${known.join(', ')}`;
}

/** The one of `known` that was probably meant by a name that none of them has. */
export function meantOption(name: string, known: readonly string[]): string | undefined {
  return (
    calledElsewhere(name, known) ??
    initialsOf(name, known) ??
    suggest(name, known) ??
    beginningWith(name, known)
  );
}

/** Names that people bring along from transformers, trl, peft and Axolotl, in any case and with any joints. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  lrScheduler: 'schedule',
  lrSchedulerType: 'schedule',
  warmup: 'warmupSteps',
  gradClip: 'maxGradNorm',
  numEpochs: 'epochs',
  numTrainEpochs: 'epochs',
  maxSteps: 'steps',
  bs: 'batchExamples',
  batchSize: 'batchExamples',
  trainBatchSize: 'batchExamples',
  perDeviceTrainBatchSize: 'batchExamples',
  microBatchSize: 'batchExamples',
  gradientAccumulationSteps: 'batchExamples',
  maxSeqLen: 'maxLength',
  maxSeqLength: 'maxLength',
  sequenceLen: 'maxLength',
  r: 'rank',
  loraR: 'rank',
  loraRank: 'rank',
  loraAlpha: 'alpha',
  loraDropout: 'dropout',
  loraTargetModules: 'target',
  targetModules: 'target',
  evalSteps: 'evalEvery',
  saveSteps: 'saveEvery',
  saveTotalLimit: 'keep',
  outputDir: 'out',
  modelNameOrPath: 'model',
  baseModel: 'model',
};
const folded = (name: string): string => name.replace(/[-_]/g, '').toLowerCase();
const elsewhere = new Map(Object.entries(ELSEWHERE).map(([theirs, ours]) => [folded(theirs), ours]));

function calledElsewhere(name: string, known: readonly string[]): string | undefined {
  const ours = elsewhere.get(folded(name));
  return ours !== undefined && known.includes(ours) ? ours : undefined;
}

/** `lr` is learningRate. */
function initialsOf(name: string, known: readonly string[]): string | undefined {
  const folded = name.toLowerCase();
  return known.find((each) => each.replace(/(?<=.)[^A-Z]/g, '').toLowerCase() === folded);
}

/** `temp` is temperature, where no other begins so. */
function beginningWith(name: string, known: readonly string[]): string | undefined {
  if (name.length < 3) return undefined;
  const all = known.filter((each) => each.toLowerCase().startsWith(name.toLowerCase()));
  return all.length === 1 ? all[0] : undefined;
}
