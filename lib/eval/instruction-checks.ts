// Instructions that a program can check (as IFEval's, Zhou et al., 2023), for twelve languages: lengths by Unicode's own
// segmentation, letter case only in scripts that have it, and the language by the rule that measures use.
import { z } from 'zod';
import { MlitError } from '../native/errors';
import { DEFAULT_LANGUAGES, inAnotherScript, languageOfAnswer, UNDECIDED } from '../text/answer-language';
import type { Identify } from '../text/identify';
import { describeValue, valueAt } from '../text/issues';
import { refuseUnknownOptions } from '../text/options';
import { LANGUAGE_SCRIPTS } from '../text/scripts';
import { fold, foldWords, segments, words } from '../text/segment';
import { setLanguages } from './measures/languages';

const bounds = { min: z.int().min(0).optional(), max: z.int().min(0).optional() };

function counted<T extends string>(type: T) {
  return z
    .strictObject({ type: z.literal(type), ...bounds })
    .refine(({ min, max }) => min !== undefined || max !== undefined, 'expected min, max or both')
    .refine(({ min, max }) => (min ?? 0) <= (max ?? Number.POSITIVE_INFINITY), 'min is over max');
}
const text = z.string().refine((value) => fold(value) !== '', 'expected a text that is not blank');

/** One check. In a record: `checks: [{"type": "words", "max": 50}, {"type": "language", "lang": "fi"}]`. */
export const instructionCheckSchema = z.discriminatedUnion('type', [
  /** Words by Unicode's rules and the language's dictionary. */
  counted('words'),
  counted('sentences'),
  /** As people count them (grapheme clusters), blanks at the ends aside. */
  counted('characters'),
  /** Blocks between blank lines. */
  counted('paragraphs'),
  /** Lines that begin with a bullet or a number. */
  counted('list-items'),
  /** No lower-case letter; not applicable in scripts without case. */
  z.strictObject({ type: z.literal('uppercase') }),
  z.strictObject({ type: z.literal('lowercase') }),
  /** Anywhere, also inside a word (inflected forms count), case aside; `min` times, default 1. */
  z.strictObject({ type: z.literal('contains'), text, min: z.int().min(1).optional() }),
  /** Not as a whole word or words, case aside; in scripts without blanks: nowhere. */
  z.strictObject({ type: z.literal('excludes'), text }),
  /** Case and blanks at the ends aside; quotation marks around the whole answer do not count. */
  z.strictObject({ type: z.literal('starts-with'), text }),
  z.strictObject({ type: z.literal('ends-with'), text }),
  z.strictObject({ type: z.literal('language'), lang: z.string().min(2) }),
  /** All of it is JSON; one code fence around it is allowed. */
  z.strictObject({ type: z.literal('json') }),
]);

/** One verifiable demand on an answer, as a record of checks spells it. */
export type InstructionCheck = z.output<typeof instructionCheckSchema>;

/** What some checks need beside the answer. */
export interface CheckContext {
  /** Language of the prompt: finds words and sentences, and says whether its script has case. Default `und`. */
  lang?: string;
  /** For the language of answers in Latin script. */
  identify?: Identify | undefined;
  /** Languages that an answer may be in. Default: the twelve of the paper. */
  languages?: readonly string[];
  /** Also passes where it does without asterisks, its first line or its last line (IFEval's loose accuracy). Default no. */
  loose?: boolean;
}

/** Whether an answer passes a check; null where that can’t be told. */
export interface CheckResult {
  /** `null`: not applicable, or not to be decided. */
  pass: boolean | null;
  /** What was found, for people: `61 words, expected at most 50`. */
  reason: string;
}

/**
 * Reads the `checks` field of a record.
 *
 * @param where the record, for messages: `eval.jsonl:3: record "x"`
 * @throws MlitError `DATA_INVALID` naming the place, the check's number and what is wrong with it
 */
export function parseInstructionChecks(value: unknown, where: string): InstructionCheck[] {
  const parsed = z.array(instructionCheckSchema).min(1).safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const at = issue!.path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  const known = instructionCheckSchema.options.map((option) => [...option.shape.type.values][0]).join(', ');
  const hint = at.endsWith('.type') ? `; a check’s type is one of ${known}` : '';
  throw new MlitError(
    'DATA_INVALID',
    `${where}: checks${at}: ${describeValue(issue!, valueAt(value, issue!.path))}${hint}`,
    {
      fields: { field: `checks${at}` },
    },
  );
}

/** Checks one response by one check. */
export function checkInstruction(
  response: string,
  check: InstructionCheck,
  context: CheckContext = {},
): CheckResult {
  refuseUnknownOptions('checkInstruction', context, {
    lang: true,
    identify: true,
    languages: true,
    loose: true,
  });
  const strict = checkOnce(response, check, context);
  if (context.loose !== true || strict.pass !== false) return strict;
  for (const variant of looseVariants(response)) {
    const result = checkOnce(variant, check, context);
    if (result.pass === true) return { pass: true, reason: `${result.reason} (loosely)` };
  }
  return strict;
}

function checkOnce(response: string, check: InstructionCheck, context: CheckContext): CheckResult {
  const lang = context.lang ?? 'und';
  switch (check.type) {
    case 'words':
      return within(words(response, lang).length, 'words', check);
    case 'sentences':
      return within(sentenceCount(response, lang), 'sentences', check);
    case 'characters':
      return within(segments(response.trim(), 'grapheme', lang).length, 'characters', check);
    case 'paragraphs':
      return within(blocks(response), 'paragraphs', check);
    case 'list-items':
      return within(listItems(response), 'list items', check);
    case 'uppercase':
      return inCase(response, lang, /[\p{Ll}\p{Lt}]/u, 'lower-case');
    case 'lowercase':
      return inCase(response, lang, /[\p{Lu}\p{Lt}]/u, 'upper-case');
    case 'contains': {
      const times = fold(response).split(fold(check.text)).length - 1;
      const min = check.min ?? 1;
      return { pass: times >= min, reason: `“${check.text}” ${times} times, expected at least ${min}` };
    }
    case 'excludes': {
      const there = hasWords(response, check.text);
      return { pass: !there, reason: `“${check.text}” is ${there ? '' : 'not '}there` };
    }
    case 'starts-with':
      return atAnEnd(response, check.text, 'start');
    case 'ends-with':
      return atAnEnd(response, check.text, 'end');
    case 'language':
      return inLanguage(response, check.lang, context);
    case 'json':
      return isJson(response);
  }
}

function within(
  count: number,
  unit: string,
  { min, max }: { min?: number | undefined; max?: number | undefined },
): CheckResult {
  const pass = count >= (min ?? 0) && count <= (max ?? Number.POSITIVE_INFINITY);
  const expected =
    min === max
      ? `exactly ${min}`
      : [min !== undefined && `at least ${min}`, max !== undefined && `at most ${max}`]
          .filter(Boolean)
          .join(' and ');
  return { pass, reason: `${count} ${unit}, expected ${expected}` };
}

/** Sentences with at least one letter or digit, so that a closing bracket of marks is none. */
function sentenceCount(response: string, lang: string): number {
  return segments(response, 'sentence', lang).filter((sentence) => /[\p{L}\p{N}]/u.test(sentence)).length;
}

function blocks(response: string): number {
  return response.split(/(?:\r?\n[\t \u3000]*){2,}/u).filter((block) => block.trim() !== '').length;
}

/** Bullets; digits of any script with a stop, bracket or ideographic comma; Chinese numerals likewise. */
const LIST_ITEM =
  /^\s*(?:[-*+•‣◦▪–—·]\s+|[(（]?(?:\p{Nd}{1,3}|[一二三四五六七八九十]{1,3})(?:[.):]\s+|[）、．]\s*))\S/u;

function listItems(response: string): number {
  return response.split(/\r?\n/u).filter((line) => LIST_ITEM.test(line)).length;
}

/** Scripts with two cases, of those that languages here are written in. (Georgian has them, and uses one.) */
const CASED: ReadonlySet<string> = new Set(['Latn', 'Cyrl', 'Grek', 'Armn']);

function inCase(response: string, lang: string, other: RegExp, name: string): CheckResult {
  const script = LANGUAGE_SCRIPTS[lang.split('-')[0]!] ?? 'Latn';
  if (!CASED.has(script)) return { pass: null, reason: `the script of ${lang} has no case` };
  if (!/[\p{Lu}\p{Ll}\p{Lt}]/u.test(response))
    return { pass: false, reason: 'there is no letter that has case' };
  const found = response.match(other)?.[0];
  return found === undefined
    ? { pass: true, reason: `no ${name} letter` }
    : { pass: false, reason: `“${found}” is a ${name} letter` };
}

const NO_BLANKS = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/u;

function hasWords(response: string, wanted: string): boolean {
  const folded = foldWords(wanted);
  if (folded === '') return fold(response).includes(fold(wanted));
  if (NO_BLANKS.test(folded)) return foldWords(response).includes(folded);
  return ` ${foldWords(response)} `.includes(` ${folded} `);
}

function atAnEnd(response: string, wanted: string, end: 'start' | 'end'): CheckResult {
  const folded = fold(response).replace(/^["“”„«»'‘’]+|["“”„«»'‘’]+$/gu, '');
  const own = fold(wanted).replace(/^["“”„«»'‘’]+|["“”„«»'‘’]+$/gu, '');
  const target = own === '' ? fold(wanted) : own;
  const pass = end === 'start' ? folded.startsWith(target) : folded.endsWith(target);
  return { pass, reason: `${pass ? 'has' : 'does not have'} “${wanted}” at its ${end}` };
}

function inLanguage(response: string, wanted: string, context: CheckContext): CheckResult {
  const codes = [...new Set([wanted, ...(context.languages ?? DEFAULT_LANGUAGES)])];
  const { rules, rule, shown, identify } = setLanguages(codes, [], context.identify);
  const found = languageOfAnswer(response, { languages: rules, identify, expected: rule(wanted) });
  const lang = shown(found.lang, wanted);
  if (lang === UNDECIDED)
    return inAnotherScript(response, rule(wanted))
      ? { pass: false, reason: `it is in a script that ${wanted} is not written in` }
      : { pass: null, reason: 'its language is undecided' };
  return { pass: lang === wanted, reason: `it is in ${lang}, expected ${wanted}` };
}

function isJson(response: string): CheckResult {
  const bare = response
    .trim()
    .replace(/^```\w*\s*\n/u, '')
    .replace(/\n\s*```$/u, '');
  try {
    JSON.parse(bare);
    return { pass: true, reason: 'it is JSON' };
  } catch (error) {
    return { pass: false, reason: `it is not JSON: ${(error as Error).message}` };
  }
}

function looseVariants(response: string): string[] {
  const lines = response.split('\n');
  const cuts = [
    response,
    lines.slice(1).join('\n').trim(),
    lines.slice(0, -1).join('\n').trim(),
    lines.slice(1, -1).join('\n').trim(),
  ];
  return cuts.flatMap((cut) => [cut, cut.replaceAll('*', '')]).filter((cut) => cut !== '');
}
