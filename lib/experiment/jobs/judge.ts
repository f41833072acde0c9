// One model's answers judged beside another's: planted pairs first, then the answers, each in both orders, and nothing that this
// judge was asked before in any experiment of the store. A judgement is finished when every question has its answer.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { itemOf } from '../../data/hold-out';
import type { Judge } from '../../eval/judges/judge';
import { type AnswerPair, type JudgedPairs, judgePairs, promptTurns } from '../../eval/judges/judge-pairs';
import type { VerdictMemory } from '../../eval/judges/memory';
import { plantPairs, qualifyJudge } from '../../eval/judges/planted';
import { isMlitError, MlitError } from '../../native/errors';
import { printable } from '../../native/untrusted';
import type { Assignment, JobProgress } from '../executor';
import type { JudgeDescription } from '../job';
import { readEvaluation } from './evaluation';
import type { Workshop } from './workshop';

export async function runJudge(
  work: Assignment,
  shop: Workshop,
  onProgress: (progress: Omit<JobProgress, 'hash'>) => void,
): Promise<Record<string, unknown>> {
  const { judge: key, a, b, languages } = work.job.description as JudgeDescription;
  const { examples } = await readEvaluation(work.job, shop);
  const [left, right] = [await readAnswers(work.inputs[a]!), await readAnswers(work.inputs[b]!)];
  const wanted = new Set(languages);
  const pairs = examples
    .filter(({ lang }) => wanted.has(lang))
    .map((example): AnswerPair => {
      const { id, lang } = example;
      const texts = { a: left.get(recordKey(id, lang))!, b: right.get(recordKey(id, lang))! };
      return { id, item: itemOf(example), lang, sample: 0, turns: promptTurns(example), ...texts };
    });
  const planted = plantPairs(examples, languages);
  const { judge, memory } = await shop.judge(key, work);
  const common = (from: number, to: number, what: string) => ({
    judge,
    memory,
    signal: shop.signal,
    onProgress: ({
      done,
      total,
      spending: { calls, tokens },
    }: { done: number; total: number } & Spent): void =>
      onProgress({
        fraction: from + (to - from) * (total === 0 ? 1 : done / total),
        detail: `${what} ${done}/${total}${calls === 0 ? '' : `  ${calls} calls, ${tokens} tokens`}`,
      }),
  });
  const share = planted.length / Math.max(1, planted.length + pairs.length);
  const { qualifications, judged: planting } = await qualifyJudge(planted, common(0, share, 'planted'));
  const judging = await judgePairs(pairs, { ...common(share, 1, 'asked'), names: { a, b } });
  refuseUnasked(judge, planting, judging);
  const lines = (values: readonly unknown[]): string =>
    values.map((value) => `${JSON.stringify(value)}\n`).join('');
  await writeFile(join(work.folder, 'verdicts.jsonl'), lines(judging.verdicts));
  await writeFile(join(work.folder, 'qualifications.jsonl'), lines(qualifications));
  const { identical, outOfForm, models, asked, known } = judging;
  return { judge: judge.name, pairs: pairs.length, identical, asked, known, outOfForm, models };
}

type Spent = { spending: Judge['spending'] };

/** Those of one model, by record. */
async function readAnswers(folder: string): Promise<Map<string, string>> {
  const text = await readFile(join(folder, 'answers.jsonl'), 'utf8');
  const lines = text.split('\n').filter((line) => line !== '');
  const answers = lines.map((line) => JSON.parse(line) as { id: string; lang: string; response: string });
  return new Map(answers.map(({ id, lang, response }) => [recordKey(id, lang), response]));
}

const recordKey = (id: string, lang: string): string => JSON.stringify([id, lang]);

/** @throws MlitError `JUDGE_LIMIT`, `JUDGE_FAILED` where a question is open; the answers of the others are in the memory */
function refuseUnasked(judge: Judge, ...parts: readonly JudgedPairs[]): void {
  const unasked = parts.reduce((sum, part) => sum + part.unasked, 0);
  if (unasked === 0) return;
  const { calls, tokens, reached } = judge.spending;
  if (reached !== undefined) {
    const limit = reached === 'calls' ? `maxCalls (${calls} calls)` : `maxTokens (${tokens} tokens)`;
    throw new MlitError('JUDGE_LIMIT', `stopped at ${limit}: ${unasked} questions are not answered`, {
      fields: { judge: judge.name, unasked, calls, tokens },
    });
  }
  const reasons = parts.flatMap(({ failed }) => Object.entries(failed));
  const why = [...new Set(reasons.map(([reason]) => printable(reason)))].join(', ');
  throw new MlitError('JUDGE_FAILED', `${unasked} questions were not answered: ${why}`, {
    fields: { judge: judge.name, unasked },
  });
}

/** Whether a failure is the judge's own, which keeps nobody else from going on. */
export function isJudgeFailure(error: unknown): error is MlitError {
  return isMlitError(error) && (error.code === 'JUDGE_LIMIT' || error.code === 'JUDGE_FAILED');
}

/** A judge with what it said before. */
export interface SeatedJudge {
  judge: Judge;
  memory: VerdictMemory;
}
