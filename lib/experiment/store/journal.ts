// jobs.jsonl, the truth about what is finished: a line a job, on the disk before anyone relies on it. A line that a killed
// process left half written is cut off by the next writer; everything before it stands.
import { readFile } from 'node:fs/promises';
import { MlitError } from '../../native/errors';
import { LineFile, wholeLines } from '../../native/line-file';
import { shallow, shown } from '../../native/untrusted';
import type { FinishedJob } from './types';

/** What a job is called by: hexadecimal digits. */
export const HASH = /^[0-9a-f]{8,64}$/;

export interface JournalContents {
  jobs: FinishedJob[];
  /** Bytes up to the end of the last whole line. */
  length: number;
}

/** @throws MlitError `STORE_INVALID` naming the line, where one that is not the last can't be understood */
export async function readJournal(file: string): Promise<JournalContents> {
  const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return Buffer.alloc(0);
    throw new MlitError('FILE_IO', `cannot read ${file}: ${error.message}`, {
      fields: { file },
      cause: error,
    });
  });
  const { lines, length } = wholeLines(bytes);
  return { jobs: lines.map((text, at) => parseLine(text, file, at + 1)), length };
}

function parseLine(text: string, file: string, line: number): FinishedJob {
  let problem: string;
  try {
    const job = shallow(JSON.parse(text)) as FinishedJob | null;
    if (job?.version === 1 && isFinishedJob(job)) return job;
    problem = `expected a finished job of version 1, found ${job?.version === 1 ? shown(job) : `version ${shown(job?.version)}`}`;
  } catch (error) {
    problem = (error as Error).message;
  }
  throw new MlitError(
    'STORE_INVALID',
    `${file}:${line}: ${problem}; remove the line, and its job is taken back from its folder or done again`,
    { fields: { file, line } },
  );
}

/** Whether a line has what the store relies on; outputs lie inside the job's folder. */
export function isFinishedJob(job: FinishedJob): boolean {
  if (typeof job.hash !== 'string' || !HASH.test(job.hash) || typeof job.kind !== 'string') return false;
  if (typeof job.outputs !== 'object' || job.outputs === null || Array.isArray(job.outputs)) return false;
  return Object.entries(job.outputs).every(
    ([path, file]) =>
      !path.startsWith('/') &&
      !path.split('/').includes('..') &&
      !path.includes('\0') &&
      typeof file?.bytes === 'number' &&
      typeof file.sha256 === 'string',
  );
}

/** The one who appends. */
export class Journal {
  readonly #lines: LineFile;

  private constructor(lines: LineFile) {
    this.#lines = lines;
  }

  /** Cuts off what is behind `length`. */
  static async open(path: string, length: number): Promise<Journal> {
    const lines = await LineFile.open(path);
    await lines.keep(length);
    return new Journal(lines);
  }

  /** On the disk when it resolves; as it was before when it rejects. */
  append(job: FinishedJob): Promise<void> {
    return this.#lines.append([JSON.stringify(job)]);
  }

  close(): Promise<void> {
    return this.#lines.close();
  }
}
