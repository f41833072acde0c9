// `/v1/chat/completions`: messages through the model's template, the assistant's turn as the answer.
import { renderPrompt } from '../data/render';
import type { ChatTemplate } from '../model/template';
import type { Tokenizer } from '../model/tokenizer';
import { isMlitError } from '../native/errors';
import type { Piece } from './answers';
import { ApiError } from './api-error';
import { type Exchange, newId, samplingOf, usageOf } from './endpoint';
import { type ChatLogprobs, chatLogprobs } from './logprobs';
import { type ChatParameters, chatParameters } from './parameters';
import type { ToldToken } from './told-tokens';

interface Context {
  tokenizer: Tokenizer;
  template: ChatTemplate;
  fingerprint: string;
}

/** @throws ApiError 400 for parameters that are wrong, and for messages that the template does not take */
export function chatExchange(body: unknown, { tokenizer, template, fingerprint }: Context): Exchange {
  const given = chatParameters(body);
  const prompt = promptOf(given, tokenizer, template);
  const head = {
    id: newId('chatcmpl'),
    created: Math.floor(Date.now() / 1000),
    model: given.model,
    system_fingerprint: fingerprint,
  };
  const end = template.end.ids.at(-1);
  const logprobs = (tokens: readonly ToldToken[]): ChatLogprobs | null =>
    given.logprobs ? chatLogprobs(tokenizer, tokens) : null;
  const exchange: Exchange = {
    job: {
      model: given.model,
      prompts: [prompt],
      n: given.n,
      maxTokens: given.max_completion_tokens ?? given.max_tokens,
      sampling: {
        ...samplingOf(given),
        topLogprobs: given.top_logprobs,
        ...(end !== undefined && { endOfTurnIds: [end] }),
      },
      seed: given.seed,
      tellsEnd: false,
    },
    stream: given.stream,
    includeUsage: given.stream_options.include_usage,
    head,
    async body(pieces) {
      const answers = Array.from({ length: given.n }, () => ({
        text: '',
        tokens: [] as ToldToken[],
        reason: 'stop',
      }));
      let drawn = 0;
      for await (const piece of pieces) {
        if (piece.type === 'prompt') continue;
        const answer = answers[piece.index] as (typeof answers)[number];
        answer.tokens.push(...piece.tokens);
        if (piece.type === 'text') answer.text += piece.text;
        else [answer.reason, drawn] = [piece.reason, drawn + piece.drawn];
      }
      const choices = answers.map(({ text, tokens, reason }, index) => ({
        index,
        message: { role: 'assistant', content: text, refusal: null },
        logprobs: logprobs(tokens),
        finish_reason: reason,
      }));
      return { ...head, object: 'chat.completion', choices, usage: usageOf(exchange.job, drawn) };
    },
    async *chunks(pieces) {
      const chunk = (
        index: number,
        delta: object,
        tokens: readonly ToldToken[],
        reason: string | null,
      ): object => ({
        ...head,
        object: 'chat.completion.chunk',
        choices: [
          { index, delta, logprobs: tokens.length > 0 ? logprobs(tokens) : null, finish_reason: reason },
        ],
      });
      for (let index = 0; index < given.n; index += 1)
        yield chunk(index, { role: 'assistant', content: '', refusal: null }, [], null);
      for await (const piece of pieces) yield* pieceChunks(piece, chunk);
    },
  };
  return exchange;
}

function* pieceChunks(
  piece: Piece,
  chunk: (index: number, delta: object, tokens: readonly ToldToken[], reason: string | null) => object,
): Generator<object> {
  if (piece.type === 'text') yield chunk(piece.index, { content: piece.text }, piece.tokens, null);
  if (piece.type === 'end') yield chunk(piece.index, {}, piece.tokens, piece.reason);
}

function promptOf({ messages }: ChatParameters, tokenizer: Tokenizer, template: ChatTemplate): Int32Array {
  try {
    return renderPrompt(messages, { tokenizer, template }).tokens;
  } catch (error) {
    if (isMlitError(error)) {
      throw new ApiError(400, error.message, { param: 'messages', code: 'invalid_value' });
    }
    throw error;
  }
}
