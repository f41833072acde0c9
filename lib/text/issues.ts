// What a schema found wrong, in the words of the rest: which key, what was expected, what came.
import type { z } from 'zod';
import { shortened, shown } from '../native/untrusted';
import { unknownOption } from './options';
import { didYouMean } from './suggest';

type Issue = z.core.$ZodIssue;

const TYPES: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
  null: 'null',
};

/** How keys are called in the sentences. */
export interface IssueWords {
  /** Of the top level's keys: those that may be given, for one that may not. */
  known?: readonly string[];
  /** What the caller typed for a key of the top level. Default: the key. */
  name?: (key: string) => string;
}

/** Of mistakes in words; a file may have as many as it has lines. */
const NAMED = 5;

/**
 * The first five mistakes in words, and how many others there are.
 *
 * @param describe a mistake's sentence; `key` where the mistake is a key that there is none of, each of an issue a mistake of its own
 */
export function describeFirst(
  issues: readonly Issue[],
  describe: (issue: Issue, key: string | undefined) => string,
): string {
  const mistakes = issues.flatMap((issue): [Issue, string?][] =>
    issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [issue, key]) : [[issue]],
  );
  const others = mistakes.length - NAMED;
  const named = mistakes.slice(0, NAMED).map(([issue, key]) => describe(issue, key));
  return named.join('; ') + (others > 0 ? `; and ${others} ${others === 1 ? 'other' : 'others'}` : '');
}

/** A sentence for each of the first issues, with the value that was given. */
export function describeIssues(
  { issues }: { issues: readonly Issue[] },
  input: unknown,
  words: IssueWords = {},
): string {
  return describeFirst(issues, (issue, key) => describeIssue(issue, key, input, words));
}

function describeIssue(issue: Issue, key: string | undefined, input: unknown, words: IssueWords): string {
  const path = placeOf(issue.path, words);
  const start = path === '' ? '' : `${path}: `;
  if (key !== undefined) {
    const known = issue.path.length === 0 ? words.known : undefined;
    return `${start}${known ? unknownOption(key, known) : `there is no key '${shortened(key)}' here`}`;
  }
  return start + describeValue(issue, valueAt(input, issue.path));
}

/** What stands at an issue's place. */
export function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (at as Record<PropertyKey, unknown> | null | undefined)?.[key],
    value,
  );
}

/** What is wrong with one value: `expected at least 1, got 0`. */
export function describeValue(issue: Issue, value: unknown): string {
  if (value === undefined) return 'is needed, but was not given';
  if (issue.code === 'custom') return issue.message;
  const meant =
    issue.code === 'invalid_value' && typeof value === 'string'
      ? didYouMean(value, issue.values.map(String))
      : '';
  return `expected ${expectedOf(issue)}, got ${shown(value)}${meant}`;
}

/** `train.rank`, `messages[2].role`. */
function placeOf(path: readonly PropertyKey[], { name = (key) => key }: IssueWords): string {
  return path
    .map((key, at) => {
      if (typeof key === 'number') return `[${key}]`;
      const word = shortened(String(key));
      return at === 0 ? name(word) : `.${word}`;
    })
    .join('');
}

/** What would have been right. */
function expectedOf(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return TYPES[issue.expected] ?? issue.expected;
    case 'invalid_value':
      return `${issue.values.length > 1 ? 'one of ' : ''}${issue.values.map(String).join(', ')}`;
    case 'too_small':
      return boundOf(issue.origin, Number(issue.minimum), issue.inclusive ? 'at least' : 'more than');
    case 'too_big':
      return boundOf(issue.origin, Number(issue.maximum), issue.inclusive ? 'at most' : 'less than');
    case 'invalid_format':
      // What a schema of ours says instead of the library's own sentence is the expectation.
      return issue.message.startsWith('Invalid ') ? formatOf(issue) : issue.message;
    case 'invalid_union':
      return alternatives(issue.errors) || 'another value';
    case 'invalid_key':
    case 'invalid_element':
      return issue.issues[0] ? expectedOf(issue.issues[0]) : 'another value';
    default:
      return issue.message;
  }
}

function alternatives(errors: readonly (readonly Issue[])[]): string {
  return [...new Set(errors.flatMap(([first]) => (first ? [expectedOf(first)] : [])))].join(' or ');
}

function boundOf(origin: string, bound: number, how: string): string {
  if (origin === 'string') return bound === 1 ? 'a text that is not empty' : `${how} ${bound} characters`;
  if (origin === 'array' || origin === 'set')
    return bound === 1 ? `${how} one entry` : `${how} ${bound} entries`;
  return `${how} ${bound}`;
}

function formatOf({ format, pattern }: { format: string; pattern?: string | undefined }): string {
  if (format === 'datetime') return 'a time such as 2026-01-31T12:00:00Z';
  return pattern === undefined ? `text of the form ${format}` : `text that matches ${pattern}`;
}
