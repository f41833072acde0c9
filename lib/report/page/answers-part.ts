// A stream of answers as a part of the page: packed, with the section that shows them.
import type { StoredAnswers } from '../../experiment/answers';
import type { Html } from '../../page/html';
import { type JudgedPair, packAnswers } from './answer-packer';
import { answersSection, noAnswers } from './answers-section';

/** The section, and the packed blocks that stand behind everything else. */
export interface AnswersPart {
  section: Html;
  blocks?: Html;
}

/** Reads all answers once. */
export async function answersPart(
  { models, of }: StoredAnswers,
  options: { judged?: readonly JudgedPair[]; signal?: AbortSignal | undefined } = {},
): Promise<AnswersPart> {
  const missing = of - models.length;
  const unfinished =
    missing === 0
      ? undefined
      : `${missing} of ${of} models ${missing === 1 ? 'is' : 'are'} not finished and left out.`;
  if (models.length === 0) return { section: noAnswers(unfinished ?? 'The experiment has no models.') };
  const packed = await packAnswers(models, options);
  return { section: answersSection(packed, unfinished), blocks: packed.blocks };
}
