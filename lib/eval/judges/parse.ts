// What a judge wrote, read strictly: an answer that is not in the form that was asked for is no verdict, and never a tie.
import { type JudgeProtocol, RUBRICS } from '../verdicts';
import type { MachineRubric } from './wording';

/** Why an answer is no verdict. The first of them that applies. */
export const OUT_OF_FORM = {
  filtered: 'the endpoint withheld the answer',
  cut: 'cut at the limit of its length',
  empty: 'empty',
  noVerdict: 'no verdict on the last line',
  tie: 'a tie, where one has to be chosen',
  noRating: 'no rating on the last line',
} as const;

/** An answer as the endpoint gave it. */
export interface JudgeAnswer {
  text: string;
  /** As in `stop`, `length`, `content_filter`; empty where the endpoint gave none. */
  finishReason: string;
}

type Read<T> = { value: T } | { reason: string };

/** The choice on the last line. */
export function parseVerdict(answer: JudgeAnswer, protocol: JudgeProtocol): Read<'first' | 'second' | 'tie'> {
  const line = lastLine(answer);
  if (typeof line !== 'string') return line;
  const letter = /^verdict: ?(a|b|tie)\.?$/i.exec(line)?.[1]?.toLowerCase();
  if (letter === undefined) return { reason: OUT_OF_FORM.noVerdict };
  if (letter !== 'tie') return { value: letter === 'a' ? 'first' : 'second' };
  return protocol === 'tie' ? { value: 'tie' } : { reason: OUT_OF_FORM.tie };
}

/** The numbers on the last line. */
export function parseRating(answer: JudgeAnswer, rubric: MachineRubric): Read<Record<string, number>> {
  const line = lastLine(answer);
  if (typeof line !== 'string') return line;
  const read = RUBRICS[rubric].safeParse(
    rubric === 'helpfulness-1-6' ? { helpfulness: ratingNumber(line) } : jsonOf(line),
  );
  return read.success ? { value: read.data } : { reason: OUT_OF_FORM.noRating };
}

function ratingNumber(line: string): number | undefined {
  const digit = /^rating: ?([1-6])\.?$/i.exec(line)?.[1];
  return digit === undefined ? undefined : Number(digit);
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** The last line that has anything on it, without the stars, ticks and hashes by which models set off what matters. */
function lastLine({ text, finishReason }: JudgeAnswer): string | { reason: string } {
  if (finishReason === 'content_filter') return { reason: OUT_OF_FORM.filtered };
  if (finishReason === 'length') return { reason: OUT_OF_FORM.cut };
  const lines = text.split(/\r?\n/).map((line) => line.replace(/^\s*#+|[*`]/g, '').trim());
  return lines.findLast((line) => line !== '') ?? { reason: OUT_OF_FORM.empty };
}
