// The words of a recipe: one line of text, or a mapping in YAML, to a checked MixtureSpec, and back to one canonical line, so
// that a recipe reads the same in a flag, a file and a manifest.
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { isMlitError, MlitError } from '../../native/errors';
import { shortened, shown } from '../../native/untrusted';
import { describeFirst, describeValue } from '../../text/issues';
import { checkLanguageCode, isLanguageCode } from '../../text/language-codes';
import { didYouMean } from '../../text/suggest';
import { parseYaml } from '../../text/yaml';
import type { MixtureInput, MixtureSpec } from './types';

/** What was meant by a code that is none takes milliseconds to find: `whyNoCode` does, for the first mistakes alone. */
const NO_CODE = 'no language code';
const code = z.string().refine(isLanguageCode, NO_CODE);
const codes = z.array(code).superRefine((list, context) => {
  const seen = new Set<string>();
  const twice = list.find((value) => seen.size === seen.add(value).size);
  if (twice !== undefined)
    context.addIssue({ code: 'custom', message: `'${shortened(twice)}' is named twice` });
});
const listed = (least: number) =>
  z.preprocess((value) => (typeof value === 'string' ? splitList(value) : value), codes.min(least));
const byLanguage = (value: z.ZodNumber) => z.record(code, value);

const common = {
  n: z.int().min(1).optional(),
  policy: z.enum(['disjoint', 'overlap', 'nested']).default('disjoint'),
  seed: z.int().min(0).default(0),
};

const SCHEMAS = {
  mono: z.strictObject({ kind: z.literal('mono'), language: code, ...common }),
  pinch: z.strictObject({
    kind: z.literal('pinch'),
    count: z.int().min(0).optional(),
    percent: z.number().min(0).max(100).optional(),
    languages: listed(1),
    hub: code.default('en'),
    ...common,
  }),
  uniform: z.strictObject({ kind: z.literal('uniform'), languages: listed(1), ...common }),
  prefix: z.strictObject({ kind: z.literal('prefix'), order: listed(1), k: z.int().min(1), ...common }),
  pair: z.strictObject({ kind: z.literal('pair'), a: code, b: code, ...common }),
  explicit: z.strictObject({
    kind: z.literal('explicit'),
    counts: byLanguage(z.int().min(0)),
    hub: code.optional(),
    policy: common.policy,
    seed: common.seed,
  }),
  weights: z.strictObject({ kind: z.literal('weights'), weights: byLanguage(z.number().min(0)), ...common }),
  temperature: z.strictObject({
    kind: z.literal('temperature'),
    temperature: z.number().positive(),
    languages: listed(1),
    ...common,
  }),
};

type Kind = keyof typeof SCHEMAS;
/** The generators by name. */
export const MIXTURE_KINDS = Object.keys(SCHEMAS) as Kind[];

/** The key under which a generator's text has languages as keys of their own: `explicit:en=440,fi=40`. */
const MAPS: Partial<Record<Kind, string>> = { explicit: 'counts', weights: 'weights' };
const TEXTS = new Set(['language', 'languages', 'hub', 'order', 'a', 'b', 'policy']);

/**
 * Reads a recipe from its line (`pinch:count=40,languages=ar+cs+zh,hub=en,n=480,policy=disjoint,seed=1`) or a mapping of the
 * same keys with `kind`. Defaults are filled in; sets of languages are sorted. With `n` given here, the result has it.
 *
 * @throws MlitError `MIXTURE_INVALID` naming every mistake, with the key or generator that was probably meant
 */
export function parseMixtureSpec(value: unknown, defaults: { n: number }): MixtureSpec;
export function parseMixtureSpec(value: unknown): MixtureInput;
export function parseMixtureSpec(value: unknown, defaults: { n?: number } = {}): MixtureInput {
  const name = typeof value === 'string' ? ` '${shortened(value, 120)}'` : '';
  const input = typeof value === 'string' ? fromText(value) : value;
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    throw invalid(`mixture: expected KIND:key=value,… or a mapping with kind, got ${shown(value)}`);
  }
  const { kind } = input as { kind?: unknown };
  if (typeof kind !== 'string' || !Object.hasOwn(SCHEMAS, kind)) {
    const meant = typeof kind === 'string' ? didYouMean(kind, MIXTURE_KINDS) : '';
    throw invalid(
      `mixture${name}: kind: expected one of ${MIXTURE_KINDS.join(', ')}, got ${shown(kind)}${meant}`,
    );
  }
  const schema = SCHEMAS[kind as Kind] as z.ZodType<MixtureInput>;
  const result = schema.safeParse(input);
  if (!result.success) throw invalid(`mixture${name}: ${explain(result.error, kind as Kind, input)}`);
  const spec = normalised(result.data, name);
  return defaults.n === undefined || spec.kind === 'explicit' ? spec : { ...spec, n: spec.n ?? defaults.n };
}

/** Reads what `--mix` may be: a recipe in one line, or the path of a YAML file (`.yaml`, `.yml`) with its keys. */
export async function readMixtureSpec(textOrFile: string): Promise<MixtureInput> {
  if (!/\.ya?ml$/i.test(textOrFile)) return parseMixtureSpec(textOrFile);
  let value: unknown;
  try {
    value = parseYaml(await readFile(textOrFile, 'utf8'));
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new MlitError(
      missing ? 'FILE_NOT_FOUND' : 'MIXTURE_INVALID',
      `${textOrFile}: ${missing ? 'there is no such file' : `cannot be read: ${(cause as Error).message}`}`,
      { fields: { file: textOrFile }, cause },
    );
  }
  try {
    return parseMixtureSpec(value);
  } catch (cause) {
    if (!isMlitError(cause)) throw cause;
    throw new MlitError(cause.code, `${textOrFile}: ${cause.message}`, {
      fields: { ...cause.fields, file: textOrFile },
      cause,
    });
  }
}

/** The recipe's canonical line: keys in a fixed order, defaults written out, sets of languages sorted. */
export function formatMixtureSpec(spec: MixtureInput): string {
  const parts: string[] = [];
  const add = (key: string, value: string | number | undefined): void => {
    if (value !== undefined) parts.push(`${key}=${value}`);
  };
  const addMap = (map: Readonly<Record<string, number>>): void => {
    for (const language of Object.keys(map).sort()) add(language, map[language]);
  };
  switch (spec.kind) {
    case 'mono':
      add('language', spec.language);
      break;
    case 'pinch':
      if ('count' in spec) add('count', spec.count);
      else add('percent', spec.percent);
      add(
        'languages',
        [...spec.languages]
          .filter((each) => each !== spec.hub)
          .sort()
          .join('+'),
      );
      add('hub', spec.hub);
      break;
    case 'uniform':
      add('languages', [...spec.languages].sort().join('+'));
      break;
    case 'prefix':
      add('order', spec.order.join('+'));
      add('k', spec.k);
      break;
    case 'pair': {
      const [a, b] = [spec.a, spec.b].sort();
      add('a', a);
      add('b', b);
      break;
    }
    case 'explicit':
      addMap(spec.counts);
      add('hub', spec.hub);
      break;
    case 'weights':
      addMap(spec.weights);
      break;
    case 'temperature':
      add('temperature', spec.temperature);
      add('languages', [...spec.languages].sort().join('+'));
      break;
  }
  if (spec.kind !== 'explicit') add('n', spec.n);
  add('policy', spec.policy ?? 'disjoint');
  add('seed', spec.seed ?? 0);
  return `${spec.kind}:${parts.join(',')}`;
}

/** Every language that a recipe names, the hub included, sorted. */
export function languagesOf(spec: MixtureInput): string[] {
  switch (spec.kind) {
    case 'mono':
      return [spec.language];
    case 'pinch':
      return [...new Set([...spec.languages, spec.hub])].sort();
    case 'prefix':
      return spec.order.slice(0, spec.k).sort();
    case 'pair':
      return [spec.a, spec.b].sort();
    case 'explicit':
      return Object.keys(spec.counts).sort();
    case 'weights':
      return Object.keys(spec.weights).sort();
    default:
      return [...spec.languages].sort();
  }
}

function fromText(text: string): Record<string, unknown> {
  const colon = text.indexOf(':');
  const kind = (colon < 0 ? text : text.slice(0, colon)).trim();
  const map = Object.hasOwn(MAPS, kind) ? MAPS[kind as Kind] : undefined;
  const input: Record<string, unknown> = { kind };
  const counts: Record<string, unknown> = {};
  const keys = new Set<string>();
  for (const part of colon < 0 ? [] : text.slice(colon + 1).split(',')) {
    if (part.trim() === '') continue;
    const equals = part.indexOf('=');
    const key = part.slice(0, equals < 0 ? undefined : equals).trim();
    const value = part.slice(equals + 1).trim();
    if (equals <= 0 || value === '') {
      throw invalid(
        `mixture '${shortened(text, 120)}': expected key=value between commas, got '${shortened(part)}' (languages are joined by +)`,
      );
    }
    if (key === 'kind' || keys.has(key))
      throw invalid(`mixture '${shortened(text, 120)}': '${shortened(key)}' is given twice`);
    keys.add(key);
    const read = TEXTS.has(key) ? value : numberOr(value);
    if (map !== undefined && !Object.hasOwn(SCHEMAS[kind as Kind].shape, key)) counts[key] = read;
    else input[key] = read;
  }
  return map === undefined ? input : { ...input, [map]: counts };
}

function numberOr(value: string): number | string {
  const number = Number(value);
  return value.trim() === '' || Number.isNaN(number) ? value : number;
}

function splitList(text: string): string[] {
  return text.split('+').map((part) => part.trim());
}

function normalised(spec: MixtureInput, name: string): MixtureInput {
  const defined = Object.fromEntries(
    Object.entries(spec).filter(([, value]) => value !== undefined),
  ) as unknown as MixtureInput;
  switch (defined.kind) {
    case 'pinch': {
      if ('count' in defined === 'percent' in defined)
        throw invalid(
          `mixture${name}: pinch: expected one of count and percent, got ${'count' in defined ? 'both' : 'neither'}`,
        );
      const languages = defined.languages.filter((each) => each !== defined.hub).sort();
      if (languages.length === 0)
        throw invalid(`mixture${name}: languages: expected some besides the hub '${defined.hub}'`);
      return { ...defined, languages };
    }
    case 'pair': {
      if (defined.a === defined.b) throw invalid(`mixture${name}: a and b are both '${defined.a}'`);
      const [a, b] = [defined.a, defined.b].sort() as [string, string];
      return { ...defined, a, b };
    }
    case 'prefix':
      if (defined.k > defined.order.length)
        throw invalid(
          `mixture${name}: k: expected at most ${defined.order.length}, the length of order, got ${defined.k}`,
        );
      return defined;
    case 'uniform':
    case 'temperature':
      return { ...defined, languages: [...defined.languages].sort() };
    case 'explicit':
    case 'weights': {
      const map = defined.kind === 'explicit' ? defined.counts : defined.weights;
      if (!Object.values(map).some((value) => value > 0))
        throw invalid(`mixture${name}: ${defined.kind}: expected at least one language with more than 0`);
      return defined;
    }
    default:
      return defined;
  }
}

function explain(error: z.ZodError, kind: Kind, input: unknown): string {
  const shape = Object.keys(SCHEMAS[kind].shape).filter((key) => key !== 'kind');
  return describeFirst(error.issues, (issue, unknown) => {
    if (unknown !== undefined)
      return `${kind} has no key '${shortened(unknown)}'${didYouMean(unknown, shape)} (its keys: ${shape.join(', ')})`;
    const path = issue.path.join('.');
    const map = MAPS[kind];
    const key = String(issue.path.at(-1) ?? '');
    const why = (message: string, value: unknown): string =>
      message === NO_CODE ? whyNoCode(String(value)) : message;
    if (map !== undefined && path.startsWith(`${map}.`)) {
      const inner =
        issue.code === 'invalid_key'
          ? why(issue.issues[0]?.message ?? NO_CODE, key)
          : describeValue(issue, (input as Record<string, Record<string, unknown>>)[map]?.[key]);
      return `'${shortened(key)}': ${inner}${issue.code === 'invalid_key' ? didYouMean(key, shape) : ''}`;
    }
    let value: unknown = input;
    for (const step of issue.path) {
      const inside = typeof value === 'string' ? splitList(value) : value;
      value = (inside as Record<PropertyKey, unknown> | undefined)?.[step];
    }
    return issue.code === 'custom' && value !== undefined
      ? `${path}: ${why(issue.message, value)} (got ${shown(value)})`
      : `${path}: ${describeValue(issue, value)}`;
  });
}

function whyNoCode(value: string): string {
  try {
    checkLanguageCode(value, '');
    return NO_CODE;
  } catch (error) {
    if (!isMlitError(error)) throw error;
    return error.message.replace(/^: /, '');
  }
}

function invalid(message: string): MlitError {
  return new MlitError('MIXTURE_INVALID', message);
}
