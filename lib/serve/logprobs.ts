// Log-probabilities in the two forms of OpenAI's API: columns for completions, an entry a token for chat.
import type { Tokenizer } from '../model/tokenizer';
import type { ToldToken } from './told-tokens';

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A token's text; `bytes:\xe2\x82` where it is no whole characters. */
export function tokenText(tokenizer: Tokenizer, id: number): string {
  const bytes = tokenizer.tokenBytes(id);
  try {
    return strict.decode(bytes);
  } catch {
    return `bytes:${Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`;
  }
}

/** Of `/v1/completions`. */
export interface CompletionLogprobs {
  tokens: string[];
  token_logprobs: (number | null)[];
  /** By the tokens' texts, the token itself among them; null where none were asked for. */
  top_logprobs: (Record<string, number> | null)[] | null;
  text_offset: number[];
}

export function completionLogprobs(
  tokenizer: Tokenizer,
  tokens: readonly ToldToken[],
  top: number,
): CompletionLogprobs {
  return {
    tokens: tokens.map(({ id }) => tokenText(tokenizer, id)),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: top === 0 ? null : tokens.map((token) => likeliest(tokenizer, token)),
    text_offset: tokens.map(({ offset }) => offset),
  };
}

function likeliest(tokenizer: Tokenizer, { id, logprob, top }: ToldToken): Record<string, number> | null {
  if (logprob === null) return null;
  const entries = top.map((each) => [tokenText(tokenizer, each.token), each.logprob] as const);
  // Two tokens of one text: the likelier one stands. No prototype, as a token may be called anything.
  const all: Record<string, number> = Object.create(null);
  for (const [text, value] of [...entries, [tokenText(tokenizer, id), logprob] as const]) all[text] ??= value;
  return all;
}

interface ChatToken {
  token: string;
  logprob: number;
  bytes: number[];
}

/** Of `/v1/chat/completions`. */
export interface ChatLogprobs {
  content: (ChatToken & { top_logprobs: ChatToken[] })[];
  refusal: null;
}

export function chatLogprobs(tokenizer: Tokenizer, tokens: readonly ToldToken[]): ChatLogprobs {
  const entry = (id: number, logprob: number): ChatToken => ({
    token: tokenText(tokenizer, id),
    logprob,
    bytes: [...tokenizer.tokenBytes(id)],
  });
  return {
    content: tokens.map(({ id, logprob, top }) => ({
      ...entry(id, logprob ?? 0),
      top_logprobs: top.map((each) => entry(each.token, each.logprob)),
    })),
    refusal: null,
  };
}
