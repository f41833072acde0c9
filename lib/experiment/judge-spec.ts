// Who judges an experiment's answers: `judge` of its file, in the words of `mlit compare --judge`. A model by its name alone, or with
// what it may cost; several as a list.
import { z } from 'zod';
import { type JudgeName, parseJudgeName } from '../eval/judges/judge-name';
import { JUDGE_PROTOCOLS } from '../eval/verdicts';
import { printable } from '../native/untrusted';

const count = z.int().min(1);

const one = z.strictObject({
  /** `openai:MODEL@URL` or `local:MODEL`. */
  name: z.string().min(1),
  /** `forced`: it has to choose, as in the paper; `tie`: it may say that neither is better. */
  protocol: z.enum(JUDGE_PROTOCOLS).default('forced'),
  /** Requests to an endpoint at once. */
  concurrency: count.default(8),
  /** Requests to an endpoint in one run; the next run goes on. Default: no limit. */
  maxCalls: count.optional(),
  /** Tokens that an endpoint may charge in one run. Default: no limit. */
  maxTokens: count.optional(),
  /** Tokens of one answer of an endpoint, its reasoning included. */
  maxNewTokens: count.default(2048),
});

/** One judge of an experiment, every default filled in. */
export type JudgeSpec = z.output<typeof one>;

/** A judge as a file may name it. */
export type JudgeInput = string | z.input<typeof one>;

/** What a judge may have besides its name. */
export const JUDGE_SHAPE = one.shape;

/** One judge or several as a list of mappings; what is neither stays as it is, for the schema to say so. */
export function judgeList(value: unknown): unknown {
  if (value === undefined) return undefined;
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.map((each) => (typeof each === 'string' ? { name: each } : each));
}

const list = z.preprocess(judgeList, z.array(one).min(1)).superRefine((judges, context) => {
  const seen = new Set<string>();
  for (const { name, protocol } of judges) {
    const problem = whyNoJudge(name);
    if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
    const key = `${name} ${protocol}`;
    if (seen.has(key)) context.addIssue({ code: 'custom', message: `'${printable(name)}' is there twice` });
    seen.add(key);
  }
});

/** `judge` of an experiment: one or several; a judge has one name and protocol. */
export const judgesSchema = list as unknown as z.ZodType<JudgeSpec[], JudgeInput | readonly JudgeInput[]>;

/** A judge that is a model, as `mlit compare --judge` takes it. */
export type ModelJudgeName = Exclude<JudgeName, { kind: 'program' }>;

/** @throws RangeError for a name that {@link judgesSchema} refuses */
export function modelJudge(name: string): ModelJudgeName {
  const judge = parseJudgeName(name);
  if (judge.kind !== 'program') return judge;
  throw new RangeError(
    `'${name}' is a program, whose scores stand in every experiment's tables; expected a model: local:MODEL, openai:MODEL@URL`,
  );
}

function whyNoJudge(name: string): string | undefined {
  try {
    modelJudge(name);
    return undefined;
  } catch (error) {
    if (error instanceof RangeError) return error.message.replace(/^judge: /, '');
    throw error;
  }
}
