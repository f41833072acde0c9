// A Hugging Face folder spreads its tokenizer over up to five files: tokenizer.json, tokenizer_config.json,
// special_tokens_map.json, generation_config.json and chat_template.jinja. This gathers them into one description.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MlitError } from '../native/errors';
import { shallow, shown } from '../native/untrusted';
import type { AddedToken } from './tokenizer-added';
import { checkTokenizerJson, type TokenizerJson } from './tokenizer-check';
import type { Stage } from './tokenizer-pipeline';
import { END_OF_TURN_TOKENS, mergeTriples, type TokenizerSpec } from './tokenizer-spec';

/** The small files beside it; every one may be absent. */
export interface TokenizerSideFiles {
  config?: Record<string, unknown>;
  specialTokens?: Record<string, unknown>;
  generation?: Record<string, unknown>;
  chatTemplate?: string;
}

/** Reads a folder's files. Only tokenizer.json must be there. */
export async function readTokenizerFolder(folder: string): Promise<TokenizerSpec> {
  const file = join(folder, 'tokenizer.json');
  const text = await readIfThere(file);
  if (text === undefined) {
    throw new MlitError(
      'FILE_NOT_FOUND',
      `${file}: there is no tokenizer.json in this model's folder; copy tokenizer.json, tokenizer_config.json and chat_template.jinja of the model that it was made from into it (where that has tokenizer.model alone, transformers' AutoTokenizer writes them: save_pretrained)`,
      { fields: { file } },
    );
  }
  const [config, specialTokens, generation, chatTemplate] = await Promise.all([
    readJson(join(folder, 'tokenizer_config.json')),
    readJson(join(folder, 'special_tokens_map.json')),
    readJson(join(folder, 'generation_config.json')),
    readIfThere(join(folder, 'chat_template.jinja')),
  ]);
  return specFromJson(parse(text, file) as TokenizerJson, file, {
    ...(config && { config }),
    ...(specialTokens && { specialTokens }),
    ...(generation && { generation }),
    ...(chatTemplate !== undefined && { chatTemplate }),
  });
}

/** Builds the description from the files' contents; `file` names the tokenizer.json in messages. */
export function specFromJson(
  json: TokenizerJson,
  file: string,
  side: TokenizerSideFiles = {},
): TokenizerSpec {
  if (typeof side !== 'object' || side === null) {
    throw new MlitError(
      'FILE_DAMAGED',
      `${file}: expected an object of the files beside it, got ${shown(side)}`,
      { fields: { file, value: shown(side) } },
    );
  }
  const model = checkTokenizerJson(json, file);
  const vocab = new Map(Object.entries(model.vocab));
  const rules = model.merges.map((rule): [string, string] => {
    if (typeof rule !== 'string') return rule;
    const space = rule.indexOf(' ', 1);
    return [rule.slice(0, space), rule.slice(space + 1)];
  });
  const merges = mergeTriples(rules, vocab, (rule, rank) => {
    throw new MlitError(
      'FILE_DAMAGED',
      `${file}: merge ${rank}, ${shown(rule)}, joins or makes a token that is not in model.vocab`,
      { fields: { file, field: 'model.merges', value: shown(rule) } },
    );
  });
  const addedTokens = (json.added_tokens ?? []).map(addedToken);
  for (const token of addedTokens) vocab.set(token.content, token.id);
  let last = -1;
  for (const id of vocab.values()) last = Math.max(last, id);
  const tokens = new Array<string | undefined>(last + 1).fill(undefined);
  for (const [token, id] of vocab) tokens[id] = token;

  const named = (name: string): number | undefined => {
    const value = side.config?.[name] ?? side.specialTokens?.[name];
    const content =
      typeof value === 'string' ? value : (value as { content?: unknown } | null | undefined)?.content;
    return typeof content === 'string' ? vocab.get(content) : undefined;
  };
  const templateBos = leadingSpecialToken(json.post_processor ?? null);
  const bosId = named('bos_token') ?? (templateBos === undefined ? undefined : vocab.get(templateBos));
  const special = new Set(addedTokens.filter((token) => token.special).map((token) => token.id));
  const turn = END_OF_TURN_TOKENS.map((token) => vocab.get(token)).filter(
    (id) => id !== undefined && special.has(id),
  );
  const eos = new Set<number>();
  const eosId = named('eos_token');
  if (eosId !== undefined) eos.add(eosId);
  for (const id of [side.generation?.eos_token_id ?? []].flat()) if (isId(id)) eos.add(id);
  for (const id of turn) eos.add(id as number);
  const stated = side.config?.add_bos_token;
  return {
    file,
    tokens,
    vocab,
    merges,
    unknownId: model.unk_token == null ? undefined : vocab.get(model.unk_token),
    fuseUnknown: model.fuse_unk ?? false,
    byteFallback: model.byte_fallback ?? false,
    ignoreMerges: model.ignore_merges ?? false,
    addedTokens,
    normalizer: json.normalizer ?? null,
    preTokenizer: json.pre_tokenizer ?? null,
    decoder: json.decoder ?? null,
    bosId,
    eosIds: [...eos],
    endOfTurnIds: turn as number[],
    padId: named('pad_token'),
    addsBos: bosId !== undefined && (typeof stated === 'boolean' ? stated : templateBos !== undefined),
    chatTemplate: side.chatTemplate ?? templateOf(side.config?.chat_template),
  };
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 31;
}

function addedToken(raw: Record<string, unknown>): AddedToken {
  const special = raw.special === true;
  return {
    id: raw.id as number,
    content: raw.content as string,
    special,
    normalized: typeof raw.normalized === 'boolean' ? raw.normalized : !special,
    lstrip: raw.lstrip === true,
    rstrip: raw.rstrip === true,
    singleWord: raw.single_word === true,
  };
}

/** The special token that a post-processor puts first, if it puts one there. */
function leadingSpecialToken(stage: Stage | null): string | undefined {
  if (stage === null) return undefined;
  if (stage.type === 'Sequence') {
    for (const child of (stage.processors as Stage[] | undefined) ?? []) {
      const found = leadingSpecialToken(child);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  if (stage.type !== 'TemplateProcessing') return undefined;
  const [first] = Array.isArray(stage.single)
    ? (stage.single as ({ SpecialToken?: { id?: unknown } } | null)[])
    : [];
  const id = first?.SpecialToken?.id;
  return typeof id === 'string' ? id : undefined;
}

/** A config holds one template, or a list of named ones of which `default` is meant. */
function templateOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return undefined;
  const list = value as ({ name?: unknown; template?: unknown } | null)[];
  const template = (list.find((one) => one?.name === 'default') ?? list[0])?.template;
  return typeof template === 'string' ? template : undefined;
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new MlitError('FILE_IO', `${file}: ${(cause as Error).message}`, { fields: { file }, cause });
  }
}

async function readJson(file: string): Promise<Record<string, unknown> | undefined> {
  const text = await readIfThere(file);
  return text === undefined ? undefined : asObject(parse(text, file), file);
}

function asObject(value: unknown, file: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw new MlitError('FILE_DAMAGED', `${file}: expected a JSON object, got ${shown(value)}`, {
    fields: { file },
  });
}

function parse(text: string, file: string): unknown {
  try {
    return shallow(JSON.parse(text));
  } catch (cause) {
    throw new MlitError('FILE_DAMAGED', `${file}: not valid JSON (${(cause as Error).message})`, {
      fields: { file },
      cause,
    });
  }
}
