// Files of verdicts by judges and people, as a report takes them in beside what its experiment's own judges said.
import { stat } from 'node:fs/promises';
import { type Qualification, qualificationsFile, readQualifications } from '../eval/judges/qualification';
import { lastWords } from '../eval/people';
import { readVerdicts, type VerdictLine } from '../eval/verdicts';
import { isMlitError } from '../native/errors';

/** Verdicts, people at their last word, and what planted pairs said of who gave them: nothing where nobody was tried. */
export interface JudgeFiles {
  verdicts: VerdictLine[];
  qualifications: Qualification[];
}

/** @throws MlitError `FILE_NOT_FOUND`, `FILE_IO`, `DATA_INVALID` with file and line */
export async function readJudgeFiles(files: readonly string[]): Promise<JudgeFiles> {
  const read: JudgeFiles = { verdicts: [], qualifications: [] };
  for (const file of files) {
    read.verdicts = [...read.verdicts, ...lastWords(await readVerdicts(file))];
    read.qualifications.push(...(await qualificationsBeside(file)));
  }
  return read;
}

/** None where there is no such file. */
async function qualificationsBeside(verdicts: string): Promise<Qualification[]> {
  return readQualifications(verdicts).catch((error: unknown) => {
    if (isMlitError(error) && error.code === 'FILE_NOT_FOUND') return [];
    throw error;
  });
}

/** What changes when one of the files does. */
export async function judgeFilesVersion(files: readonly string[]): Promise<string> {
  const all = files.flatMap((file) => [file, qualificationsFile(file)]);
  const versions = await Promise.all(
    all.map(async (file) => {
      const info = await stat(file).catch(() => undefined);
      return info && [info.size, info.mtimeMs];
    }),
  );
  return JSON.stringify(versions);
}
