// Everything that can be said about a training run, in one schema: the API, the command line, the YAML file and run.yaml all
// use it, so that an option has one name, one default and one error message.
import { z } from 'zod';
import { formatMixtureSpec, parseMixtureSpec } from '../data/mixture/spec';
import { canonicalTarget, TARGETS } from '../model/adapter';
import { COMPUTES } from '../model/compute';
import { BASE_DTYPES, DEVICE_PATTERN } from '../model/model';
import type { Recompute } from '../native/types';
import { describeIssues } from '../text/issues';
import { SCHEDULES } from './schedule';

/** From the most memory to the least. */
export const RECOMPUTE = ['none', 'activations', 'layer'] as const satisfies readonly Recompute[];

/** What an adapter can be chosen by. */
export const SELECTIONS = ['loss', 'rouge-l'] as const;

const FULL_LEARNING_RATE = 2e-5;

const count = z.int().min(1);

/** A mixture's recipe in one line; its canonical form is what is kept. */
const recipe = z
  .string()
  .min(1)
  .transform((text, context) => {
    try {
      return formatMixtureSpec(parseMixtureSpec(text));
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message });
      return z.NEVER;
    }
  });
const nonNegative = z.number().min(0);

/** Options that say what a LoRA adapter looks like; there is none in full tuning. */
export const LORA_OPTIONS = ['rank', 'alpha', 'rslora', 'dropout', 'target', 'initAdapter'] as const;

/** Every option by itself; {@link trainOptionsSchema} adds what `method` means for the others. */
export const trainFields = z.strictObject({
  /** GGUF file, Hugging Face folder, or a name that `mlit pull` knows. */
  model: z.string().min(1),
  /** Files of examples. */
  data: z.array(z.string().min(1)).min(1),
  /** Draw the training set from the data by this recipe, as `pinch:count=40,languages=ar+fi,n=480`. Default: all data. */
  mix: recipe.optional(),
  /** Renames of fields, wanted → found in the file. */
  field: z.record(z.string(), z.string()).default({}),
  /** System text put before every conversation that has none. */
  system: z.string().optional(),
  /** `auto`, a built-in's name, a Jinja file, or `none`. */
  template: z.string().min(1).default('auto'),
  threads: z.union([z.literal('auto'), count]).default('auto'),
  /** `auto`, `cpu`, `cuda` or `cuda:N`. `auto` is the first card where it can be used, else the processor. */
  device: z.string().regex(DEVICE_PATTERN, 'auto, cpu, cuda or cuda:N').default('auto'),
  /** Arithmetic of the frozen base's products: `f32`, exact; `int8`, the processor's; `auto`, by a short trial. */
  compute: z.enum(COMPUTES).default('f32'),
  baseDtype: z.enum(BASE_DTYPES).default('auto'),
  /** `lora` trains an adapter on a frozen base, `full` the model itself. */
  method: z.enum(['lora', 'full']).default('lora'),
  rank: count.default(16),
  alpha: z.number().positive().default(32),
  rslora: z.boolean().default(false),
  /** LoRA dropout: the share of a projection's input that its adapter does not see in a step. */
  dropout: z.number().min(0).lt(1).default(0),
  /** `all-linear`, or a list of some of it, of the seven projections and of `lm_head`. */
  target: z
    .union([z.literal('all-linear'), z.array(z.enum(TARGETS)).min(1)])
    .default('all-linear')
    .transform(canonicalTarget),
  /** A PEFT folder to go on from; its rank, alpha, dropout and targets are used. */
  initAdapter: z.string().optional(),
  /** Default 2e-4; 2e-5 in full tuning. */
  learningRate: z.number().positive().default(2e-4),
  schedule: z.enum(SCHEDULES).default('linear'),
  warmupSteps: z.int().min(0).default(10),
  /** Decoupled; in full tuning of matrices alone, not of norms and biases. */
  weightDecay: nonNegative.default(0),
  /** Global L2 clip; 0 = off. */
  maxGradNorm: nonNegative.default(1),
  /** Passes over the data; ignored where `steps` is given. */
  epochs: z.number().positive().default(1),
  steps: count.optional(),
  /** Examples of an optimiser step; ignored where `batchTokens` is given. */
  batchExamples: count.default(16),
  /** An optimiser step takes examples in order until this many tokens are reached. */
  batchTokens: count.optional(),
  /** Tokens of a micro-batch at most. */
  microTokens: z.union([z.literal('auto'), count]).default('auto'),
  /** Tokens of an example at most. */
  maxLength: z.int().min(2).default(2048),
  /** Tokens of the prompt at most. Default: no limit. */
  maxPrompt: count.optional(),
  /** Tokens of a response at most, its end included. Default: no limit. */
  maxResponse: count.optional(),
  /** What is done with an example that is too long. */
  truncate: z.enum(['cut', 'drop']).default('cut'),
  /** `token`: every target weighs 1. `example`: the targets of an example weigh 1 together. */
  lossNorm: z.enum(['token', 'example']).default('token'),
  /** What the backward computes again rather than kept; `auto` is the first level that fits. */
  recompute: z.enum(['auto', ...RECOMPUTE]).default('auto'),
  /** A file, or how many items to take out of the training data. */
  dev: z.union([z.string().min(1), count]).optional(),
  /** Steps between dev scores; 0 = at the end only. */
  evalEvery: z.int().min(0).default(0),
  /**
   * What the best adapter is chosen by: the dev set's loss, or ROUGE-L of greedy responses to its prompts, the mean over
   * languages, which needs an `evaluator` (see `rougeEvaluator`); of equal figures the lower loss is better.
   */
  select: z.enum(SELECTIONS).default('loss'),
  /** Ends the run after so many dev scores in a row that are no better than the best; 0 = never. */
  patience: z.int().min(0).default(0),
  /** Steps between checkpoints; 0 = at the end only. */
  saveEvery: z.int().min(0).default(0),
  /** Checkpoints kept. */
  keep: count.default(2),
  shuffle: z.boolean().default(true),
  /** Seed of adapter initialisation, of the order of examples and of dropout's masks. */
  seed: z.int().min(0).default(0),
});

/** What a caller may give. */
export type TrainOptionsInput = z.input<typeof trainFields>;
/** With every default filled in. */
export type TrainOptions = z.output<typeof trainFields>;

export const trainOptionsSchema = z.preprocess((input, context) => {
  const given = input as Partial<TrainOptionsInput> | null;
  if (given?.method !== 'full') return input;
  for (const key of LORA_OPTIONS.filter((each) => given[each] !== undefined))
    context.addIssue({ code: 'custom', path: [key], message: ONLY_OF_LORA });
  if (given.baseDtype === 'int8' || given.baseDtype === 'nf4') {
    const message = 'full tuning needs the weights in f32, or on a card in bf16';
    context.addIssue({ code: 'custom', path: ['baseDtype'], message });
  }
  if (given.compute === 'int8') {
    const message = 'full tuning trains the weights themselves, in f32';
    context.addIssue({ code: 'custom', path: ['compute'], message });
  }
  return { ...given, learningRate: given.learningRate ?? FULL_LEARNING_RATE };
}, trainFields);

/** Why an option of LoRA cannot be given. */
export const ONLY_OF_LORA = 'is of LoRA adapters, and method is full; leave it out';

/** What is kept of a run's options: without those that its method knows nothing of. */
export function optionsOfMethod(options: TrainOptions): Partial<TrainOptions> {
  if (options.method === 'lora') return options;
  const others = Object.entries(options).filter(
    ([key]) => !(LORA_OPTIONS as readonly string[]).includes(key),
  );
  return Object.fromEntries(others);
}

/**
 * Fills in defaults and checks every value.
 *
 * @throws RangeError naming the option, what was expected and what came (TypeError where it is not an object)
 */
export function resolveTrainOptions(input: unknown): TrainOptions {
  if (typeof input !== 'object' || input === null) {
    throw new TypeError(`train options: expected an object, got ${input === null ? 'null' : typeof input}`);
  }
  const result = trainOptionsSchema.safeParse(input);
  if (result.success) return result.data;
  throw new RangeError(
    `train options: ${describeIssues(result.error, input, { known: Object.keys(trainFields.shape) })}`,
  );
}

/** What was given and counts for nothing beside another option, as `max_steps` overrules epochs elsewhere: a line each. */
export function overruled(given: Partial<TrainOptionsInput>): string[] {
  const lines: string[] = [];
  if (given.steps !== undefined && given.epochs !== undefined)
    lines.push('steps (--steps) is given, so epochs (--epochs) counts for nothing');
  if (given.batchTokens !== undefined && given.batchExamples !== undefined)
    lines.push(
      'batchTokens (--batch-tokens) is given, so batchExamples (--batch-examples) counts for nothing',
    );
  return lines;
}

/**
 * Refuses what would silently do nothing.
 *
 * @throws RangeError
 */
export function refuseIdleOptions(options: TrainOptions): void {
  const { dev, select, patience, evalEvery, template } = options;
  const refuse = (option: string, why: string): never => {
    throw new RangeError(`train options: ${option} ${why}`);
  };
  if (select === 'rouge-l' && dev === undefined)
    refuse('select', 'is rouge-l, which needs a dev set: give dev (--dev)');
  if (select === 'rouge-l' && template === 'none')
    refuse('select', 'is rouge-l, which compares responses; with template none there are only texts');
  if (patience > 0 && dev === undefined)
    refuse('patience', `is ${patience}, which needs a dev set: give dev (--dev)`);
  if (patience > 0 && evalEvery === 0)
    refuse(
      'patience',
      `is ${patience}, but the dev set is scored at the end only: give evalEvery (--eval-every)`,
    );
}
