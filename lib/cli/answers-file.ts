// Files of answers as `mlit sample` prints them, for the commands that judge and rate them.
import { basename } from 'node:path';
import { z } from 'zod';
import { jsonValues } from '../data/read';
import type { AnswerLine } from '../eval/measures/types';
import { MlitError } from '../native/errors';
import { describeIssues } from '../text/issues';

const answerSchema = z.object({
  id: z.union([z.string().min(1), z.number()]).transform(String),
  lang: z.string().default('und'),
  sample: z.int().min(0).default(0),
  response: z.string(),
  tokens: z.array(z.number()).default([]),
  finishReason: z.string().default(''),
});

/** @throws MlitError `DATA_INVALID` naming file, line and field; `DATA_EMPTY` */
export async function readAnswers(file: string, signal: AbortSignal): Promise<AnswerLine[]> {
  const answers: AnswerLine[] = [];
  for await (const { value, line } of jsonValues(file, file, signal)) {
    const read = answerSchema.safeParse(value);
    if (!read.success) {
      const field = read.error.issues[0]?.path.join('.') ?? '';
      throw new MlitError(
        'DATA_INVALID',
        `${file}:${line}: ${describeIssues(read.error, value)}; an answer is a line of \`mlit sample\`: id, sample, response`,
        { fields: { file, line, field } },
      );
    }
    answers.push(read.data);
  }
  if (answers.length === 0)
    throw new MlitError('DATA_EMPTY', `${file}: there are no answers in this file`, { fields: { file } });
  return answers;
}

/** What a file's model is called where nothing else is said: the file's name without its endings. */
export function modelNameOf(file: string): string {
  return basename(file).replace(/\.jsonl?(?:\.gz)?$/, '') || file;
}
