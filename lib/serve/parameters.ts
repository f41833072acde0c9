// What the two endpoints take. Everything of OpenAI's API that would change an answer and is not done here is refused by its
// name; what changes none (who asks, where it is billed) is taken and passed over.
import { z } from 'zod';
import { describeValue, valueAt } from '../text/issues';
import { didYouMean } from '../text/suggest';
import { ApiError } from './api-error';

/** Texts that end an answer, at most. OpenAI takes four; evaluation harnesses send a few more. */
const MAX_STOPS = 16;
/** Answers to one prompt, at most. */
const MAX_ANSWERS = 128;

const count = z.int().min(1);

/** Reads a list up to its first mistake: it may have millions of entries, and each wrong one would be told of. */
function listOf<S extends z.ZodType>(entry: S, list = z.array(z.unknown()).min(1)) {
  return list.transform((values, context): z.output<S>[] => {
    const read: z.output<S>[] = [];
    for (const [at, value] of values.entries()) {
      const { data, error } = entry.safeParse(value);
      if (error !== undefined) {
        const issue = error.issues[0]!;
        context.issues.push({ ...issue, input: value, path: [at, ...issue.path] } as z.core.$ZodRawIssue);
        return z.NEVER;
      }
      read.push(data as z.output<S>);
    }
    return read;
  });
}
const sampling = {
  model: z.string().min(1),
  temperature: z.number().min(0).default(1),
  top_p: z.number().gt(0).max(1).default(1),
  top_k: z.int().min(-1).default(0),
  min_p: z.number().min(0).max(1).default(0),
  n: count.max(MAX_ANSWERS).default(1),
  seed: z.int().optional(),
  stop: z
    .union([
      z
        .string()
        .min(1)
        .transform((text) => [text]),
      listOf(z.string().min(1), z.array(z.unknown()).max(MAX_STOPS)),
    ])
    .default([]),
  stream: z.boolean().default(false),
  stream_options: z
    .strictObject({ include_usage: z.boolean().default(false), include_obfuscation: z.boolean().optional() })
    .default({ include_usage: false }),
};

const content = z.union([
  z.string(),
  listOf(z.object({ type: z.literal('text'), text: z.string() }), z.array(z.unknown())).transform((parts) =>
    parts.map(({ text }) => text).join(''),
  ),
]);

const chatSchema = z.strictObject({
  ...sampling,
  messages: listOf(
    z.object({ role: z.enum(['system', 'developer', 'user', 'assistant']), content }).transform((turn) => ({
      role: turn.role === 'developer' ? 'system' : turn.role,
      content: turn.content,
    })),
  ),
  max_tokens: count.optional(),
  max_completion_tokens: count.optional(),
  logprobs: z.boolean().default(false),
  top_logprobs: z.int().min(0).max(20).default(0),
});

const ids = listOf(z.int().min(0));
const completionSchema = z.strictObject({
  ...sampling,
  prompt: z.union([z.string(), listOf(z.string()), ids, listOf(ids)]),
  max_tokens: z.int().min(0).default(16),
  logprobs: z.int().min(0).max(5).optional(),
  echo: z.boolean().default(false),
  best_of: count.optional(),
});

/** A request to `/v1/chat/completions`, checked. */
export type ChatParameters = z.output<typeof chatSchema>;
/** A request to `/v1/completions`, checked. */
export type CompletionParameters = z.output<typeof completionSchema>;

/** Taken and passed over: they change no answer. */
const PASSED_OVER = [
  'user',
  'metadata',
  'store',
  'service_tier',
  'safety_identifier',
  'prompt_cache_key',
  'prompt_cache_retention',
];

const isEmpty = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.keys(value).length === 0;

/** Parameters that are not done, with the values that ask for nothing. */
const NOT_DONE: Readonly<Record<string, (value: unknown) => boolean>> = {
  tools: isEmpty,
  tool_choice: (value) => value === 'none' || value === 'auto',
  parallel_tool_calls: () => true, // of tools, which are refused
  functions: isEmpty,
  function_call: (value) => value === 'none' || value === 'auto',
  response_format: (value) => (value as { type?: unknown })?.type === 'text',
  logit_bias: isEmpty,
  presence_penalty: (value) => value === 0,
  frequency_penalty: (value) => value === 0,
  modalities: (value) => Array.isArray(value) && value.every((each) => each === 'text'),
  audio: () => false,
  prediction: () => false,
  reasoning_effort: (value) => value === 'none',
  verbosity: () => false,
  web_search_options: () => false,
  suffix: (value) => value === '',
};

/** @throws ApiError 400 for the first parameter that is wrong, unknown or not done */
export function chatParameters(body: unknown): ChatParameters {
  const given = check(chatSchema, body);
  if (given.top_logprobs > 0 && !given.logprobs) {
    throw wrong('top_logprobs', 'is told with log-probabilities alone: set logprobs to true');
  }
  if (given.max_tokens !== undefined && given.max_completion_tokens !== undefined) {
    throw wrong('max_tokens', 'and max_completion_tokens mean the same: give one of them');
  }
  return given;
}

/** @throws ApiError 400 for the first parameter that is wrong, unknown or not done */
export function completionParameters(body: unknown): CompletionParameters {
  const given = check(completionSchema, body);
  if (given.best_of !== undefined && given.best_of !== given.n) {
    throw wrong('best_of', 'is not supported: this server keeps all answers that it draws');
  }
  return given;
}

function check<S extends z.ZodObject>(schema: S, body: unknown): z.output<S> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new ApiError(400, 'the body has to be an object of parameters');
  }
  const known = Object.keys(schema.shape);
  const given: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(body)) {
    if (value === null || PASSED_OVER.includes(name)) continue;
    if (known.includes(name)) {
      given[name] = value;
    } else if (!Object.hasOwn(NOT_DONE, name)) {
      throw wrong(name, `is no parameter of this endpoint${didYouMean(name, known)}`, 'unknown_parameter');
    } else if (!NOT_DONE[name]?.(value)) {
      throw wrong(name, 'is not supported by this server', 'unsupported_parameter');
    }
  }
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const issue = result.error.issues[0] as z.core.$ZodIssue;
  const param = issue.path.reduce<string>(
    (path, key) =>
      typeof key === 'number' ? `${path}[${key}]` : path === '' ? String(key) : `${path}.${String(key)}`,
    '',
  );
  const missing = valueAt(given, issue.path) === undefined;
  throw wrong(
    param,
    describeValue(issue, valueAt(given, issue.path)),
    missing ? 'missing_required_parameter' : 'invalid_value',
  );
}

function wrong(param: string, what: string, code = 'invalid_value'): ApiError {
  const shown = param.slice(0, 80); // it may be anything that a client has sent
  return new ApiError(400, `'${shown}' ${what}`, { param: shown, code });
}
