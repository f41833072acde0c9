// The experiment file: a dozen lines of YAML that say what is asked, of which model and with which data. Everything else has
// a default, and every default is written out into the store.
import { readFile } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { BASE_DTYPES, DEVICE_PATTERN } from '../model/model';
import { isTemplateFile } from '../model/template';
import { MlitError } from '../native/errors';
import { shortened } from '../native/untrusted';
import { describeFirst, describeIssues } from '../text/issues';
import { meantOption } from '../text/options';
import { parseYaml } from '../text/yaml';
import { trainFields } from '../train/options';
import { JUDGE_SHAPE, judgeList, judgesSchema } from './judge-spec';

/** Which experiments there are, by name. */
export const PROTOCOLS = [
  'monolingual',
  'pinch',
  'languages',
  'pairs',
  'similarity',
  'pretraining-share',
  'custom',
] as const;
/** Name of an experiment’s protocol. */
export type Protocol = (typeof PROTOCOLS)[number];

const count = z.int().min(1);
const files = z
  .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
  .transform((value) => (typeof value === 'string' ? [value] : value));
const language = z.string().min(1);

/**
 * How models are tuned: options of `mlit train` that an experiment may fix, the same for every arm. Those of a dev set have no default
 * here: a job without one is called what it was called before there were any.
 */
const trainSchema = trainFields
  .pick({
    rank: true,
    alpha: true,
    rslora: true,
    dropout: true,
    target: true,
    learningRate: true,
    schedule: true,
    warmupSteps: true,
    weightDecay: true,
    maxGradNorm: true,
    epochs: true,
    steps: true,
    batchExamples: true,
    batchTokens: true,
    microTokens: true,
    maxLength: true,
    maxPrompt: true,
    maxResponse: true,
    truncate: true,
    lossNorm: true,
    recompute: true,
    shuffle: true,
  })
  .extend({
    /** Items taken out of every mixture, which are trained on no more. */
    dev: z.int().min(1).optional(),
    evalEvery: trainFields.shape.evalEvery.unwrap().optional(),
    select: trainFields.shape.select.unwrap().optional(),
    patience: trainFields.shape.patience.unwrap().optional(),
  });

/** How models answer: options of `mlit sample`. */
const sampleSchema = z.strictObject({
  maxNewTokens: count.default(256),
  temperature: z.number().min(0).default(0),
  topP: z.number().gt(0).max(1).default(1),
  topK: z.int().min(0).default(0),
  minP: z.number().min(0).max(1).default(0),
  stop: z.array(z.string().min(1)).default([]),
});

export const experimentSchema = z.strictObject({
  /** Folder name of its results. Default: the file's name. */
  name: z
    .string()
    .regex(/^[\p{L}\p{N}_][\p{L}\p{N}._-]*$/u, 'letters, digits, dots, dashes and underscores only')
    .optional(),
  protocol: z.enum(PROTOCOLS),
  /** GGUF file, Hugging Face folder, or a name that `mlit pull` knows. */
  model: z.string().min(1),
  /** Training data, parallel or not: a file or several. */
  data: files,
  /** Prompts, with reference responses where there are any: a file or several. Shares no item with `data`. */
  eval: files,
  field: z.record(z.string(), z.string()).default({}),
  template: z.string().min(1).default('auto'),
  system: z.string().optional(),
  /** Languages of the protocol. Default: the twelve of the paper (E1, E2, E5), its six (E3, E4), its seven (E6). */
  languages: z.array(language).min(1).optional(),
  /** Languages evaluated in. Default: the protocol's languages, and for `pinch` and `languages` all that `eval` has. */
  evalLanguages: z.array(language).min(1).optional(),
  /** The language that the rest of the budget is in. */
  hub: language.default('en'),
  /** The budget of every mixture, in examples. Default: the paper's 4,640. */
  examples: count.default(4640),
  /** `pinch`: the shares compared, in percent; 'count:40' is a number of examples not in the hub's language. */
  ticks: z
    .array(
      z.union([z.number().min(0).max(100), z.string().regex(/^count:\d+$/, "a percentage, or 'count:N'")]),
    )
    .min(1)
    .optional(),
  /** `languages`: how many seeded orders. Default 3. */
  orders: count.default(3),
  /** `custom`: arm → mixture in one line, or `base` for the model as it is. */
  arms: z.record(z.string().regex(/^[\w.-]+$/), z.string().min(1)).optional(),
  /** `pretraining-share`: language → share of the pretraining data, in percent. */
  shares: z.record(language, z.number().min(0)).optional(),
  /**
   * What answers are compared with, side by side: the model tuned on the prompt's language alone (instruction-following
   * score IF_L), the one tuned on the hub's language alone, or nothing.
   */
  against: z.enum(['monolingual', 'hub', 'none']).default('monolingual'),
  /** Models that judge every arm's answers beside those of what `against` names: `openai:MODEL@URL`, `local:MODEL`. Default: none. */
  judge: judgesSchema.optional(),
  /** Items of `eval` that are used, chosen by the seed. Default: all. */
  evalItems: count.optional(),
  policy: z.enum(['disjoint', 'overlap', 'nested']).default('disjoint'),
  train: trainSchema.prefault({}),
  sample: sampleSchema.prefault({}),
  /** Repetitions, with seeds `seed`, `seed` + 1, …; each has its own mixtures, and arms are paired by it. */
  seeds: count.default(1),
  seed: z.int().min(0).default(0),
  /** Also evaluate the base model as it is. */
  base: z.boolean().default(true),
  /** `auto`, `cpu`, `cuda` or `cuda:N`, as in `mlit train`. */
  device: z.string().regex(DEVICE_PATTERN, 'auto, cpu, cuda or cuda:N').default('auto'),
  threads: z.union([z.literal('auto'), count]).default('auto'),
  baseDtype: z.enum(BASE_DTYPES).default('auto'),
  /** Arithmetic of the base's products, as in `mlit train`; no `auto`, whose trial may end one way today and another tomorrow. */
  compute: z.enum(['f32', 'int8']).default('f32'),
  /** The folder of jobs and results, shared by experiments that may share jobs. */
  store: z.string().min(1).default('runs'),
});

/** What an experiment’s file may say. */
export type ExperimentInput = z.input<typeof experimentSchema>;
/** With every default filled in; paths absolute or relative to the working folder. */
export type ExperimentSpec = z.output<typeof experimentSchema> & { name: string };

/** @throws MlitError `EXPERIMENT_INVALID` naming every mistake, with the key that was probably meant */
export function resolveExperiment(input: unknown, where = 'experiment'): ExperimentSpec {
  const result = experimentSchema.safeParse(withJudgeList(input));
  if (!result.success) {
    throw new MlitError('EXPERIMENT_INVALID', `${where}: ${explain(result.error, withJudgeList(input))}`, {
      fields: { file: where },
    });
  }
  const { protocol } = result.data;
  const idle = Object.entries(ONLY_FOR).filter(
    ([key, only]) => result.data[key as keyof typeof ONLY_FOR] !== undefined && protocol !== only,
  );
  if (idle.length > 0) {
    const sentences = idle.map(
      ([key, only]) => `'${key}' is for protocol '${only}', and this is '${protocol}'`,
    );
    throw new MlitError('EXPERIMENT_INVALID', `${where}: ${sentences.join('; ')}`, {
      fields: { file: where, field: idle[0]![0] },
    });
  }
  if (result.data.judge !== undefined && result.data.against === 'none') {
    throw new MlitError(
      'EXPERIMENT_INVALID',
      `${where}: judge: answers are judged beside those of what 'against' names, and this is 'none'; write against: monolingual or hub, or leave out judge`,
      { fields: { file: where, field: 'judge' } },
    );
  }
  return { ...result.data, name: result.data.name ?? 'experiment' };
}

/** So that mistakes are found where they are: a judge that is named alone is a list of one. */
function withJudgeList(input: unknown): unknown {
  if (typeof input !== 'object' || input === null || !('judge' in input)) return input;
  return { ...input, judge: judgeList(input.judge) };
}

/** Keys that one protocol reads: elsewhere they would be passed over without a word. */
const ONLY_FOR = { ticks: 'pinch', arms: 'custom', shares: 'pretraining-share' } as const;

/** Reads a YAML file; paths in it are relative to it. */
export async function readExperiment(
  file: string,
  overrides: Partial<ExperimentInput> = {},
): Promise<ExperimentSpec> {
  let value: unknown;
  try {
    value = parseYaml(await readFile(file, 'utf8'));
  } catch (cause) {
    const { syscall, code, message } = cause as NodeJS.ErrnoException;
    const missing = code === 'ENOENT';
    throw new MlitError(
      missing ? 'FILE_NOT_FOUND' : syscall !== undefined ? 'FILE_IO' : 'EXPERIMENT_INVALID',
      `${file}: ${missing ? 'there is no such file' : `${syscall !== undefined ? 'cannot be read' : 'not YAML'}: ${message}`}`,
      { fields: { file }, cause },
    );
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new MlitError('EXPERIMENT_INVALID', `${file}: expected a mapping of keys and values`, {
      fields: { file },
    });
  }
  const spec = resolveExperiment({ name: nameOf(file), ...value, ...overrides }, file);
  const beside = (path: string): string => (isAbsolute(path) ? path : join(dirname(file), path));
  // A file may be given with its language, as `fi=translations.jsonl`.
  const local = (entry: string): string => {
    const [, code = '', path] = /^([A-Za-z][A-Za-z0-9-]*=)?(.*)$/s.exec(entry)!;
    return path!.startsWith('hf:') ? entry : code + beside(path!);
  };
  return {
    ...spec,
    data: spec.data.map(local),
    eval: spec.eval.map(local),
    model: isPath(spec.model) ? local(spec.model) : spec.model,
    ...(spec.judge !== undefined && {
      judge: spec.judge.map((judge) => {
        const path = /^local:(.*)$/s.exec(judge.name)?.[1];
        return path !== undefined && isPath(path) ? { ...judge, name: `local:${beside(path)}` } : judge;
      }),
    }),
    template: isTemplateFile(spec.template) ? beside(spec.template) : spec.template,
    store: overrides.store === undefined ? beside(spec.store) : spec.store,
  };
}

const isPath = (model: string): boolean => /[/\\]|\.gguf$/.test(model);

/** The file's name with dashes for what a folder's name here can't have, as `my-pinch` for `my pinch.yaml`. */
function nameOf(file: string): string {
  const stem = basename(file).replace(/\.ya?ml$/i, '');
  const name = stem.normalize('NFC').replace(/[^\p{L}\p{N}._-]+/gu, '-');
  return name.replace(/^[^\p{L}\p{N}_]+/u, '') || 'experiment';
}

function explain(error: z.ZodError, input: unknown): string {
  // Unknown keys first: what else is wrong often comes of them.
  const unknown = (issue: z.core.$ZodIssue): boolean => issue.code === 'unrecognized_keys';
  const issues = [...error.issues.filter(unknown), ...error.issues.filter((issue) => !unknown(issue))];
  return describeFirst(issues, (issue, key) => {
    if (key === undefined) return describeIssues({ issues: [issue] }, input);
    const inside = issue.path.join('.');
    const known = Object.keys(
      inside === 'train'
        ? trainSchema.shape
        : inside === 'sample'
          ? sampleSchema.shape
          : inside.startsWith('judge.')
            ? JUDGE_SHAPE
            : experimentSchema.shape,
    );
    const place = inside === '' ? '' : `${inside}: `;
    const meant = meantOption(key, known);
    const hint = meant === undefined ? '' : `; did you mean '${meant}'?`;
    return `${place}there is no key '${shortened(key)}'${hint}`;
  });
}
