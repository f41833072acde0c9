// What the two endpoints have in common: how tokens are drawn by OpenAI's names, what an answer costs, and one road from pieces
// to a body, whole or as a stream of events.
import { randomBytes } from 'node:crypto';
import type { Job, Piece } from './answers';
import type { ChatParameters, CompletionParameters } from './parameters';

/** An endpoint's request, ready to be answered. */
export interface Exchange {
  job: Job;
  stream: boolean;
  includeUsage: boolean;
  /** Of the objects that are sent. */
  head: { id: string; created: number; model: string; system_fingerprint: string };
  /** A whole answer. */
  body: (pieces: AsyncIterable<Piece>) => Promise<object>;
  /** The same as objects to be sent one by one, usage left out. */
  chunks: (pieces: AsyncIterable<Piece>) => AsyncGenerator<object, void, void>;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
}

export function usageOf({ prompts }: Job, drawn: number): Usage {
  const prompt = prompts.reduce((sum, each) => sum + each.length, 0);
  return { prompt_tokens: prompt, completion_tokens: drawn, total_tokens: prompt + drawn };
}

export function newId(kind: 'chatcmpl' | 'cmpl'): string {
  return `${kind}-${randomBytes(12).toString('hex')}`;
}

export function samplingOf(given: ChatParameters | CompletionParameters): Job['sampling'] {
  return {
    temperature: given.temperature,
    topP: given.top_p,
    topK: Math.max(given.top_k, 0),
    minP: given.min_p,
    stop: given.stop,
  };
}

/** The chunks of an exchange, with what they cost behind them where that was asked for. */
export async function* withUsage(
  { job, head, chunks, includeUsage }: Exchange,
  pieces: AsyncIterable<Piece>,
  object: string,
): AsyncGenerator<object, void, void> {
  let drawn = 0;
  const counted = async function* (): AsyncGenerator<Piece, void, void> {
    for await (const piece of pieces) {
      if (piece.type === 'end') drawn += piece.drawn;
      yield piece;
    }
  };
  for await (const chunk of chunks(counted())) yield includeUsage ? { ...chunk, usage: null } : chunk;
  if (includeUsage) yield { ...head, object, choices: [], usage: usageOf(job, drawn) };
}
