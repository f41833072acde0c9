// What programs can say of one model's answers, a line an answer.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { measureAnswers } from '../../eval/measures/measure';
import type { AnswerLine } from '../../eval/measures/types';
import type { Assignment } from '../executor';
import type { MeasureDescription } from '../job';
import { readEvaluation } from './evaluation';
import type { Workshop } from './workshop';

export async function runMeasure(work: Assignment, shop: Workshop): Promise<Record<string, unknown>> {
  const { sample, evaluation } = work.job.description as MeasureDescription;
  const { examples } = await readEvaluation(work.job, shop);
  const answers = await readLines<AnswerLine>(join(work.inputs[sample]!, 'answers.jsonl'));
  const { lines, summary } = measureAnswers(answers, examples, {
    identify: await shop.identifier(),
    languages: evaluation.languages,
  });
  const text = lines.map((line) => `${JSON.stringify(line)}\n`);
  await writeFile(join(work.folder, 'measures.jsonl'), text.join(''));
  await writeFile(join(work.folder, 'summary.json'), `${JSON.stringify(summary, null, 2)}\n`);
  return { answers: lines.length };
}

async function readLines<T>(file: string): Promise<T[]> {
  const text = await readFile(file, 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);
}
