// One JSON value to one Example: recognises the three conversation forms in use, and says exactly what is missing.

import type { ChatTurn } from '../model/template';
import { MlitError } from '../native/errors';
import { shown } from '../native/untrusted';
import { type Example, place, type RecordSource } from './example';

/**
 * What a record must have: an answer, only a prompt to answer (an answer that is there is left out), a prompt
 * with its reference answer where there is one, or a plain text.
 */
export type RecordNeed = 'response' | 'prompt' | 'reference' | 'text';

export type RecordForm = 'instruction' | 'messages' | 'conversations' | 'text';

export interface RecordOptions {
  need: RecordNeed;
  /** Renames: wanted field → the name it has in the file, e.g. `{response: 'output'}`. */
  field: Readonly<Record<string, string>>;
}

/** Fields that `field` may rename. */
export const RECORD_FIELDS = [
  'id',
  'lang',
  'parallel_id',
  'system',
  'instruction',
  'input',
  'response',
  'messages',
  'conversations',
  'text',
  'adapter',
] as const;

type RecordField = (typeof RECORD_FIELDS)[number];
type Json = Record<string, unknown>;

const ROLES: Readonly<Record<string, string>> = {
  system: 'system',
  developer: 'system',
  user: 'user',
  human: 'user',
  assistant: 'assistant',
  gpt: 'assistant',
  model: 'assistant',
};

/** The form of a record, or undefined where it has none of the fields. */
export function recordForm(record: Json, options: RecordOptions): RecordForm | undefined {
  const has = (field: RecordField): boolean => record[options.field[field] ?? field] != null;
  if (options.need === 'text' && has('text')) return 'text';
  if (has('messages')) return 'messages';
  if (has('conversations')) return 'conversations';
  if (has('instruction')) return 'instruction';
  return has('text') ? 'text' : undefined;
}

/**
 * Turns one parsed record into an Example.
 *
 * @throws MlitError `DATA_INVALID` with the record's place, the field, what was expected and what is there
 */
export function toExample(
  value: unknown,
  options: RecordOptions,
  source: RecordSource,
  stem: string,
): Example {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw problem(source, `expected a JSON object, got ${describe(value)}`);
  }
  const record = value as Json;
  const name = (field: RecordField): string => options.field[field] ?? field;
  const form = recordForm(record, options);
  const example: Example = { id: `${stem}:${source.line}`, lang: 'und', turns: [], source };

  const id = record[name('id')];
  if (typeof id === 'string' ? id !== '' : typeof id === 'number') example.id = String(id);
  else if (id != null) throw wrong(source, name('id'), 'a string or a number', id);
  const lang = optionalString(record, name('lang'), source);
  if (lang !== undefined && lang !== '') example.lang = lang;
  const parallel = record[name('parallel_id')];
  if (parallel != null) example.parallelId = String(parallel);
  const adapter = record[name('adapter')];
  if (adapter != null) {
    if (!Number.isInteger(adapter) || (adapter as number) < 0) {
      throw wrong(source, name('adapter'), 'a whole number from 0', adapter);
    }
    example.adapter = adapter as number;
  }
  const origin = originOf(record);
  if (origin !== undefined) example.origin = origin;
  if (record.checks != null) example.checks = record.checks;
  if (record.labels != null) example.labels = record.labels;

  if (options.need === 'text') {
    const text = optionalString(record, name('text'), source);
    if (text === undefined)
      throw missing(source, record, name('text'), 'text', 'template none takes a record’s text as it stands');
    example.text = text;
    return example;
  }
  switch (form) {
    case 'messages':
      example.turns = listTurns(record, name('messages'), ['role', 'content'], source);
      break;
    case 'conversations':
      example.turns = listTurns(record, name('conversations'), ['from', 'value'], source);
      break;
    case 'instruction':
      example.turns = instructionTurns(record, name, options.need, source);
      break;
    default:
      throw missing(
        source,
        record,
        name('instruction'),
        'instruction',
        'a record has instruction (+ input) and response, or messages, or conversations',
      );
  }
  const system = optionalString(record, name('system'), source) ?? '';
  if (system !== '' && example.turns[0]?.role !== 'system')
    example.turns.unshift({ role: 'system', content: system });
  if (options.need === 'response' && !example.turns.some((turn) => turn.role === 'assistant')) {
    throw problem(source, 'the conversation has no assistant turn, so there is no answer in it');
  }
  if (options.need === 'prompt') {
    while (example.turns.at(-1)?.role === 'assistant') example.turns.pop();
  }
  if (!example.turns.some((turn) => turn.role === 'user'))
    throw problem(source, 'the conversation has no user turn');
  return example;
}

/** What a record says of where it comes from; anything but a string is somebody else's field of that name. */
function originOf(record: Json): Example['origin'] {
  const { source, translation, translation_system: system } = record;
  const origin: NonNullable<Example['origin']> = {};
  if (typeof source === 'string') origin.source = source;
  if (typeof translation === 'string') origin.translation = translation;
  else if (typeof system === 'string') origin.translation = system;
  return Object.keys(origin).length === 0 ? undefined : origin;
}

function instructionTurns(
  record: Json,
  name: (field: RecordField) => string,
  need: RecordNeed,
  source: RecordSource,
): ChatTurn[] {
  const instruction = optionalString(record, name('instruction'), source) as string;
  const input = optionalString(record, name('input'), source) ?? '';
  const turns = [{ role: 'user', content: input === '' ? instruction : `${instruction}\n\n${input}` }];
  const response = optionalString(record, name('response'), source);
  if (response !== undefined) turns.push({ role: 'assistant', content: response });
  else if (need === 'response')
    throw missing(source, record, name('response'), 'response', 'the answer to the instruction');
  return turns;
}

function listTurns(record: Json, field: string, keys: [string, string], source: RecordSource): ChatTurn[] {
  const list = record[field];
  if (!Array.isArray(list) || list.length === 0)
    throw wrong(source, field, 'a non-empty array of turns', list);
  return list.map((turn: unknown, index) => {
    const where = `${field}[${index}]`;
    if (turn === null || typeof turn !== 'object') throw wrong(source, where, 'an object', turn);
    const entry = turn as Json;
    const stated = entry[keys[0]];
    const role = typeof stated === 'string' && Object.hasOwn(ROLES, stated) ? ROLES[stated] : undefined;
    if (role === undefined)
      throw wrong(source, `${where}.${keys[0]}`, `one of ${Object.keys(ROLES).join(', ')}`, stated);
    if (role === 'system' && index > 0)
      throw problem(source, `${where}: a system turn is only understood at the start`);
    const content = textOf(entry[keys[1]]);
    if (content === undefined) throw wrong(source, `${where}.${keys[1]}`, 'a string', entry[keys[1]]);
    return { role, content };
  });
}

/** A string, or the text parts of a multi-part content. */
function textOf(content: unknown): string | undefined {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return undefined;
  const parts = content.map((part: unknown) => (part as { type?: string; text?: unknown } | null) ?? {});
  if (!parts.every((part) => part.type === 'text' && typeof part.text === 'string')) return undefined;
  return parts.map((part) => part.text).join('');
}

function optionalString(record: Json, field: string, source: RecordSource): string | undefined {
  const value = record[field];
  if (value == null) return undefined;
  if (typeof value !== 'string') throw wrong(source, field, 'a string', value);
  return value;
}

const LIKELY_NAMES: Readonly<Record<string, readonly string[]>> = {
  response: ['output', 'completion', 'answer', 'target', 'chosen'],
  instruction: ['prompt', 'question', 'query', 'inputs'],
  text: ['content', 'instruction'],
};

function missing(source: RecordSource, record: Json, field: string, wanted: string, why: string): MlitError {
  const there = Object.keys(record);
  const likely = LIKELY_NAMES[wanted]?.find((name) => typeof record[name] === 'string');
  const hint =
    likely !== undefined
      ? `. If "${likely}" is meant, use --field ${wanted}=${likely}`
      : there.length === 1 && /[;\t|]/.test(there[0]!)
        ? '. The columns of a CSV are parted by commas, those of a .tsv by tabs'
        : '';
  return new MlitError(
    'DATA_INVALID',
    `${place(source)}: the field "${field}" is missing (${why}); the record has ${listed(there) || 'no fields'}${hint}`,
    { fields: { ...source, field } },
  );
}

function listed(names: readonly string[]): string {
  const short = names.slice(0, 20).map((name) => (name.length > 40 ? `${name.slice(0, 39)}…` : name));
  return short.join(', ') + (names.length > 20 ? ` and ${names.length - 20} others` : '');
}

function wrong(source: RecordSource, field: string, expected: string, got: unknown): MlitError {
  return new MlitError(
    'DATA_INVALID',
    `${place(source)}: ${field} must be ${expected}, got ${describe(got)}`,
    {
      fields: { ...source, field, expected },
    },
  );
}

function problem(source: RecordSource, what: string): MlitError {
  return new MlitError('DATA_INVALID', `${place(source)}: ${what}`, { fields: { ...source } });
}

function describe(value: unknown): string {
  return value === undefined ? 'nothing' : shown(value);
}
