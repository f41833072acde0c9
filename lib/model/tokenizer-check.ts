// A tokenizer.json comes from anywhere. Its form is checked here once, before memory is taken for its numbers and before a
// recursion goes down its stages, so that the readers behind may take it at its word.
import { MlitError } from '../native/errors';
import { isDeeper, shown } from '../native/untrusted';
import type { Stage } from './tokenizer-pipeline';

/** The parts of a tokenizer.json that are used here. */
export interface TokenizerJson {
  added_tokens?: Record<string, unknown>[];
  normalizer?: Stage | null;
  pre_tokenizer?: Stage | null;
  post_processor?: Stage | null;
  decoder?: Stage | null;
  model?: {
    type?: string;
    vocab?: Record<string, number>;
    merges?: (string | [string, string])[];
    unk_token?: string | null;
    fuse_unk?: boolean;
    byte_fallback?: boolean;
    ignore_merges?: boolean;
    continuing_subword_prefix?: string | null;
    end_of_word_suffix?: string | null;
  };
}

type Model = NonNullable<TokenizerJson['model']>;
/** A model with what a BPE tokenizer cannot do without. */
export type CheckedModel = Model & { vocab: Record<string, number>; merges: (string | [string, string])[] };

/** The stages of each field, and the key under which a Sequence has its own. */
const CHILDREN = {
  normalizer: 'normalizers',
  pre_tokenizer: 'pretokenizers',
  decoder: 'decoders',
  post_processor: 'processors',
} as const;

/** Levels of a whole file; the deepest ones in use have seven. */
const LEVELS = 32;

/** @throws MlitError `TOKENIZER_UNSUPPORTED` for another kind of model, `FILE_DAMAGED` naming the field, what was expected and what is there */
export function checkTokenizerJson(json: unknown, file: string): CheckedModel {
  const wrong = (field: string, expected: string, value: unknown): MlitError =>
    new MlitError('FILE_DAMAGED', `${file}: ${field} must be ${expected}, but is ${shown(value)}`, {
      fields: { file, field, expected, value: shown(value) },
    });
  if (!isObject(json)) throw wrong('the file', 'a JSON object', json);
  if (isDeeper(json, LEVELS)) throw wrong('the file', `nested at most ${LEVELS} levels`, json);
  const { model } = json;
  if (!isObject(model) || model.type !== 'BPE' || model.vocab == null || model.merges == null) {
    const type = isObject(model) ? model.type : model;
    throw new MlitError(
      'TOKENIZER_UNSUPPORTED',
      `${file}: model.type is ${shown(type ?? null)}; expected "BPE" with vocab and merges`,
      { fields: { file, field: 'model.type', value: shown(type ?? null), expected: 'BPE' } },
    );
  }
  for (const field of ['continuing_subword_prefix', 'end_of_word_suffix'] as const) {
    if (!model[field]) continue;
    throw new MlitError(
      'TOKENIZER_UNSUPPORTED',
      `${file}: model.${field} is not supported (got ${shown(model[field])})`,
      { fields: { file, field: `model.${field}`, value: shown(model[field]) } },
    );
  }
  for (const field of ['fuse_unk', 'byte_fallback', 'ignore_merges'] as const)
    if (model[field] != null && typeof model[field] !== 'boolean')
      throw wrong(`model.${field}`, 'true or false', model[field]);
  if (model.unk_token != null && typeof model.unk_token !== 'string')
    throw wrong('model.unk_token', 'a string', model.unk_token);

  const { vocab, merges } = model;
  const added = json.added_tokens ?? [];
  if (!isObject(vocab)) throw wrong('model.vocab', 'an object of ids', vocab);
  if (!Array.isArray(merges)) throw wrong('model.merges', 'a list', merges);
  if (!Array.isArray(added)) throw wrong('added_tokens', 'a list', added);
  // Ids become places in a list: one far beyond the others would take the memory of all those between.
  const entries = Object.entries(vocab);
  const largest = 2 * (entries.length + added.length) + 65_536;
  const isId = (id: unknown): boolean =>
    Number.isInteger(id) && (id as number) >= 0 && (id as number) < largest;
  const anId = `an id from 0 to ${largest - 1}`;
  for (const [token, id] of entries) if (!isId(id)) throw wrong(`model.vocab[${shown(token)}]`, anId, id);
  for (const [rank, rule] of merges.entries())
    if (!isRule(rule)) throw wrong(`model.merges[${rank}]`, 'two tokens', rule);
  for (const [i, token] of added.entries()) {
    if (!isObject(token)) throw wrong(`added_tokens[${i}]`, 'an object', token);
    if (!isId(token.id)) throw wrong(`added_tokens[${i}].id`, anId, token.id);
    if (typeof token.content !== 'string')
      throw wrong(`added_tokens[${i}].content`, 'a string', token.content);
  }
  for (const [field, children] of Object.entries(CHILDREN)) {
    const stage = json[field];
    if (stage != null) checkStage(stage, field, children, wrong);
  }
  return model as CheckedModel;
}

function checkStage(
  stage: unknown,
  field: string,
  children: string,
  wrong: (field: string, expected: string, value: unknown) => MlitError,
): void {
  if (!isObject(stage) || typeof stage.type !== 'string') throw wrong(field, 'an object with a type', stage);
  const { pattern } = stage;
  if (pattern != null) {
    const text = isObject(pattern) ? (pattern.String ?? pattern.Regex) : undefined;
    if (typeof text !== 'string') throw wrong(`${field}.pattern`, '{"String": …} or {"Regex": …}', pattern);
  }
  if (stage.type !== 'Sequence') return;
  const list = stage[children] ?? [];
  if (!Array.isArray(list)) throw wrong(`${field}.${children}`, 'a list', list);
  for (const [i, child] of list.entries()) checkStage(child, `${field}.${children}[${i}]`, children, wrong);
}

function isRule(rule: unknown): boolean {
  if (typeof rule === 'string') return true;
  return Array.isArray(rule) && rule.length === 2 && rule.every((side) => typeof side === 'string');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
