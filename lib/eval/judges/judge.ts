// What a judge is to the rest: somebody who is shown a prompt with two answers, first and second, and says which is better.
// Whose answers they are, both orders, what is asked already and what it adds up to are the caller's business.
import type { ChatTurn } from '../../model/template';
import type { JudgeProtocol } from '../verdicts';

/** Two answers to one prompt, in the order in which they are read. */
export interface JudgeQuestion {
  /** The caller's name for it; comes back with the reply. */
  key: string;
  /** The conversation that is answered; ends with the user's turn. */
  turns: readonly ChatTurn[];
  first: string;
  second: string;
}

/** What a judge says of one question, or why it says nothing. */
export interface JudgeReply {
  key: string;
  /** The better answer; null where what came back was out of form. */
  choice: 'first' | 'second' | 'tie' | null;
  /** Why it is null. */
  reason?: string;
  /**
   * Nothing came back that could be out of form: the question is still to be asked. It has no choice then, and is never taken for
   * an answer.
   */
  failed?: string;
  /** What the endpoint said that it was, in this response. */
  model?: string;
  /** Tokens charged for this reply, prompt and answer. */
  tokens?: number;
}

/** What asking has cost so far. */
export interface JudgeSpending {
  /** Requests sent, those that were sent again included. */
  calls: number;
  /** Tokens charged, prompt and answer, as far as responses say. */
  tokens: number;
  /** The limit that was reached, where one was. */
  reached?: 'calls' | 'tokens';
}

/** Somebody who prefers one answer to another. */
export interface Judge extends AsyncDisposable {
  /** As verdicts name it: `openai:MODEL@HOST`, `local:MODEL`. */
  readonly name: string;
  readonly protocol: JudgeProtocol;
  /** Version of the wording that it is asked by: verdicts of another are not its own. */
  readonly wording: string;
  /** What asking has cost since it was made. */
  readonly spending: JudgeSpending;
  /**
   * Replies as they come, in any order. Ends early, without a reply to each question, where a limit is reached.
   *
   * @throws MlitError `JUDGE_FAILED` where it can't be asked at all; the signal's reason
   */
  ask(
    questions: readonly JudgeQuestion[],
    options?: { signal?: AbortSignal | undefined },
  ): AsyncIterable<JudgeReply>;
  /** Idempotent. */
  dispose(): Promise<void>;
}
