// jobs.jsonl, the truth about what is finished: a line a job, on the disk before anyone relies on it. A line that a killed
// process left half written is cut off by the next writer; everything before it stands.
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { MlitError } from '../../native/errors';
import { shallow, shown } from '../../native/untrusted';
import type { FinishedJob } from './types';

/** What a job is called by: hexadecimal digits. */
export const HASH = /^[0-9a-f]{8,64}$/;

export interface JournalContents {
  jobs: FinishedJob[];
  /** Bytes up to the end of the last whole line. */
  length: number;
  torn: boolean;
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
  const jobs: FinishedJob[] = [];
  let start = 0;
  for (let line = 1; start < bytes.length; line += 1) {
    const end = bytes.indexOf(10, start);
    if (end < 0) break;
    const text = bytes.toString('utf8', start, end);
    // Blocks that a machine which lost power had reserved, not filled.
    if (text.includes('\0') && bytes.indexOf(10, end + 1) < 0) break;
    jobs.push(parseLine(text, file, line));
    start = end + 1;
  }
  return { jobs, length: start, torn: start < bytes.length };
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
  readonly #file: FileHandle;
  #length: number;

  private constructor(file: FileHandle, length: number) {
    this.#file = file;
    this.#length = length;
  }

  /** Cuts off what is behind `length`. */
  static async open(path: string, length: number): Promise<Journal> {
    const file = await open(path, 'a');
    const { size } = await file.stat();
    if (size > length) {
      await file.truncate(length);
      await file.sync();
    }
    return new Journal(file, length);
  }

  /** On the disk when it resolves; as it was before when it rejects. */
  async append(job: FinishedJob): Promise<void> {
    const line = Buffer.from(`${JSON.stringify(job)}\n`);
    try {
      await this.#file.appendFile(line);
      await this.#file.sync();
      this.#length += line.length;
    } catch (error) {
      await this.#file.truncate(this.#length).catch(() => undefined);
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}
