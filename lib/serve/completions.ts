// `/v1/completions`: texts or token ids as they stand, gone on with; with `echo` and `logprobs` also how likely the prompt itself
// is, which is what evaluation harnesses ask for.
import type { Tokenizer } from '../model/tokenizer';
import type { PromptLogprobs } from '../sample/sampler';
import { ApiError } from './api-error';
import { type Exchange, newId, samplingOf, usageOf } from './endpoint';
import { completionLogprobs } from './logprobs';
import { completionParameters } from './parameters';
import { lengthOf, promptTokens, type ToldToken } from './told-tokens';

interface Context {
  tokenizer: Tokenizer;
  /** Ids that the model knows: those below it. */
  vocabulary: number;
  fingerprint: string;
  /** Refuses a number of answers that is too many. */
  refuseTooMany: (answers: number) => void;
}

/** @throws ApiError 400 for parameters that are wrong */
export function completionExchange(
  body: unknown,
  { tokenizer, vocabulary, fingerprint, refuseTooMany }: Context,
): Exchange {
  const given = completionParameters(body);
  const { n, echo } = given;
  const list = listed(given.prompt);
  refuseTooMany(list.length * n);
  const prompts = promptsOf(list, tokenizer, vocabulary);
  const top = given.logprobs ?? 0;
  const head = {
    id: newId('cmpl'),
    created: Math.floor(Date.now() / 1000),
    model: given.model,
    system_fingerprint: fingerprint,
  };
  const logprobs = (tokens: readonly ToldToken[]): object | null =>
    given.logprobs === undefined ? null : completionLogprobs(tokenizer, tokens, top);
  const promptAt = (index: number): Prompt => prompts[Math.floor(index / n)] as Prompt;
  const echoed = (index: number, { logprobs, topLogprobs }: PromptLogprobs): ToldToken[] =>
    promptTokens(tokenizer, promptAt(index).tokens, logprobs, topLogprobs);
  const wantsScores = echo && given.logprobs !== undefined;

  const exchange: Exchange = {
    job: {
      model: given.model,
      prompts: prompts.map(({ tokens }) => tokens),
      n,
      maxTokens: given.max_tokens,
      sampling: { ...samplingOf(given), topLogprobs: top, promptLogprobs: wantsScores },
      seed: given.seed,
      // Who asks how likely a prompt is (max_tokens 1) cuts the last token off and counts on its being there.
      tellsEnd: true,
      starts: prompts.map(({ text }) => (echo ? lengthOf(text) : 0)),
    },
    stream: given.stream,
    includeUsage: given.stream_options.include_usage,
    head,
    async body(pieces) {
      const answers = Array.from({ length: prompts.length * n }, (_, index) => ({
        text: echo ? promptAt(index).text : '',
        tokens: [] as ToldToken[],
        reason: 'stop',
      }));
      let drawn = 0;
      for await (const piece of pieces) {
        const answer = answers[piece.index] as (typeof answers)[number];
        answer.tokens.push(...(piece.type === 'prompt' ? echoed(piece.index, piece.scores) : piece.tokens));
        if (piece.type === 'text') answer.text += piece.text;
        if (piece.type === 'end') [answer.reason, drawn] = [piece.reason, drawn + piece.drawn];
      }
      const choices = answers.map(({ text, tokens, reason }, index) => ({
        index,
        text,
        logprobs: logprobs(tokens),
        finish_reason: reason,
      }));
      return { ...head, object: 'text_completion', choices, usage: usageOf(exchange.job, drawn) };
    },
    async *chunks(pieces) {
      const chunk = (
        index: number,
        text: string,
        tokens: readonly ToldToken[],
        reason: string | null,
      ): object => ({
        ...head,
        object: 'text_completion',
        choices: [
          { index, text, logprobs: tokens.length > 0 ? logprobs(tokens) : null, finish_reason: reason },
        ],
      });
      if (echo && !wantsScores) {
        for (let index = 0; index < prompts.length * n; index += 1)
          yield chunk(index, promptAt(index).text, [], null);
      }
      for await (const piece of pieces) {
        if (piece.type === 'text') yield chunk(piece.index, piece.text, piece.tokens, null);
        else if (piece.type === 'end') yield chunk(piece.index, '', piece.tokens, piece.reason);
        else yield chunk(piece.index, promptAt(piece.index).text, echoed(piece.index, piece.scores), null);
      }
    },
  };
  return exchange;
}

interface Prompt {
  text: string;
  tokens: Int32Array;
}

function listed(given: string | string[] | number[] | number[][]): (string | number[])[] {
  const list = typeof given === 'string' || typeof given[0] === 'number' ? [given] : given;
  return list as (string | number[])[];
}

function promptsOf(list: readonly (string | number[])[], tokenizer: Tokenizer, vocabulary: number): Prompt[] {
  return list.map((each) => {
    if (typeof each === 'string') return { text: each, tokens: tokenizer.encode(each) };
    const unknown = each.find((id) => id >= vocabulary);
    if (unknown !== undefined) {
      throw new ApiError(400, `'prompt' has the id ${unknown}; this model's go to ${vocabulary - 1}`, {
        param: 'prompt',
        code: 'invalid_value',
      });
    }
    const own = each[0] === tokenizer.bosId ? each.slice(1) : each;
    return { text: tokenizer.decode(own), tokens: Int32Array.from(each) };
  });
}
