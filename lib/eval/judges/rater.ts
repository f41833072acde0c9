// What a rater is to the rest: somebody who is shown a prompt with one answer and gives it the numbers of a rubric. Whose answer it
// is, what is known already and what it adds up to are the caller's business.
import { FACETS } from '../verdicts';
import type { JudgeSpending } from './judge';
import type { MachineRubric, RatedMaterial } from './wording';

/** The numbers of a rubric and their bounds. */
export const RATED: Readonly<
  Record<MachineRubric, { names: readonly string[]; range: readonly [number, number] }>
> = {
  'helpfulness-1-6': { names: ['helpfulness'], range: [1, 6] },
  'facets-0-2': { names: FACETS, range: [0, 2] },
};

/** One answer to one prompt; `turns` end with the user's. */
export interface RatingQuestion extends RatedMaterial {
  /** The caller's name for it; comes back with the reply. */
  key: string;
}

/** The numbers of a rubric, by name. */
export type RatingNumbers = Record<string, number>;

/** What a rater gives one answer, or why it gives nothing. */
export interface RatingReply {
  key: string;
  /** Whole numbers; null where what came back was out of form. */
  rating: RatingNumbers | null;
  /** Why it is null. */
  reason?: string;
  /** The mean of each number over how likely the rater finds it, where that is known. */
  expected?: RatingNumbers;
  /** Nothing came back: the question is still to be asked. */
  failed?: string;
  /** What the endpoint said that it was, in this response. */
  model?: string;
  /** Tokens charged for this reply, prompt and answer. */
  tokens?: number;
}

/** Somebody who rates answers by a rubric. */
export interface Rater extends AsyncDisposable {
  /** As ratings name it: `openai:MODEL@HOST`, `local:MODEL`. */
  readonly name: string;
  readonly rubric: MachineRubric;
  /** Version of the wording that it is asked by: ratings of another are not its own. */
  readonly wording: string;
  /** What asking has cost since it was made. */
  readonly spending: JudgeSpending;
  /**
   * Replies as they come, in any order. Ends early, without a reply to each question, where a limit is reached.
   *
   * @throws MlitError `JUDGE_FAILED` where it can't be asked at all; the signal's reason
   */
  ask(
    questions: readonly RatingQuestion[],
    options?: { signal?: AbortSignal | undefined },
  ): AsyncIterable<RatingReply>;
  /** Idempotent. */
  dispose(): Promise<void>;
}
