// Files of JSON lines that grow while people or paid machines work: a line is on the disk before anyone relies on it, one
// process at a time writes, and a line that a killed process left half written is cut off by the next writer.
import { readFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { z } from 'zod';
import { MlitError } from '../native/errors';
import { makeFolder, whyNotWritten } from '../native/files';
import { FolderLock } from '../native/folder-lock';
import { LineFile, wholeLines } from '../native/line-file';
import { shallow } from '../native/untrusted';
import { describeIssues } from '../text/issues';

/** What a file's lines are, for reading and for messages. */
export interface LineKind<S extends z.ZodType> {
  schema: S;
  /** As in `a verdict`. */
  name: string;
}

/** The whole lines of a file with their numbers from 1. */
export interface ReadLines<T> {
  lines: { value: T; line: number }[];
  /** Bytes up to the end of the last whole line. */
  length: number;
}

/**
 * Reads a file that may be written to at this moment: half a line at its end is passed over.
 *
 * @throws MlitError `FILE_NOT_FOUND`, `FILE_IO`; `DATA_INVALID` with file, line and field for a whole line that is not of its
 * kind
 */
export async function readSyncedLines<S extends z.ZodType>(
  file: string,
  kind: LineKind<S>,
): Promise<ReadLines<z.output<S>>> {
  const bytes = await readFile(file).catch((cause: NodeJS.ErrnoException) => {
    const code = cause.code === 'ENOENT' ? 'FILE_NOT_FOUND' : 'FILE_IO';
    throw new MlitError(code, `cannot read ${file}: ${cause.message}`, { fields: { file }, cause });
  });
  const { lines, length } = wholeLines(bytes);
  const numbered = lines.map((text, at) => ({ text, line: at + 1 })).filter(({ text }) => text.trim() !== '');
  return {
    length,
    lines: numbered.map(({ text, line }) => ({ value: parseLine(text, { file, line }, kind), line })),
  };
}

function parseLine<S extends z.ZodType>(
  text: string,
  { file, line }: { file: string; line: number },
  { schema, name }: LineKind<S>,
): z.output<S> {
  let value: unknown;
  try {
    value = shallow(JSON.parse(text));
  } catch (cause) {
    throw new MlitError(
      'DATA_INVALID',
      `${file}:${line}: expected ${name} as one JSON object on this line (${(cause as Error).message})`,
      { fields: { file, line }, cause },
    );
  }
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  const field = read.error.issues[0]?.path.join('.') ?? '';
  throw new MlitError(
    'DATA_INVALID',
    `${file}:${line}: this is not ${name}: ${describeIssues(read.error, value)}`,
    { fields: { file, line, field } },
  );
}

/** The one who appends to such a file. */
export class SyncedLines<S extends z.ZodType> implements AsyncDisposable {
  /** As they stood in the file when it was opened. */
  readonly before: ReadLines<z.output<S>>['lines'];
  readonly file: string;
  readonly #kind: LineKind<S>;
  readonly #lines: LineFile;
  readonly #lock: FolderLock;
  #queue: Promise<void> = Promise.resolve();
  /** What waits to be written, in one go. */
  #batch: { text: string[]; written: Promise<void> } | undefined;
  #closed: Promise<void> | undefined;

  private constructor(
    file: string,
    kind: LineKind<S>,
    open: { before: ReadLines<z.output<S>>; lines: LineFile; lock: FolderLock },
  ) {
    this.file = file;
    this.before = open.before.lines;
    this.#kind = kind;
    this.#lines = open.lines;
    this.#lock = open.lock;
  }

  /**
   * Opens a file, or makes it and its folders; half a line at its end is cut off.
   *
   * @throws MlitError `STORE_LOCKED` where another process writes to it; `DATA_INVALID` for a line that is not of its kind; `FILE_IO`
   */
  static async open<S extends z.ZodType>(file: string, kind: LineKind<S>): Promise<SyncedLines<S>> {
    const path = resolve(file);
    const folder = dirname(path);
    await makeFolder(folder);
    const lock = await FolderLock.acquire(folder, 'STORE_LOCKED', `.${basename(path)}.lock`);
    let lines: LineFile | undefined;
    try {
      lines = await LineFile.open(path).catch((cause) => {
        throw notWritten(file, cause);
      });
      const before = await readSyncedLines(file, kind);
      await lines.keep(before.length);
      return new SyncedLines(file, kind, { before, lines, lock });
    } catch (error) {
      await lines?.close();
      await lock.release();
      throw error;
    }
  }

  /**
   * Appends lines; they are on the disk when it resolves, and none of them is in the file when it rejects. Calls may overlap: what
   * waits is written together, in the order of the calls.
   *
   * @throws MlitError `FILE_IO`; RangeError for a value that is not of the file's kind
   */
  async append(values: readonly z.input<S>[]): Promise<void> {
    const { schema, name } = this.#kind;
    const text = values.map((value) => {
      const checked = schema.safeParse(value);
      if (!checked.success)
        throw new RangeError(`${this.file}: this is not ${name}: ${describeIssues(checked.error, value)}`);
      return JSON.stringify(value);
    });
    if (this.#closed !== undefined) throw new RangeError(`${this.file}: it was closed`);
    this.#batch ??= this.#newBatch();
    this.#batch.text.push(...text);
    await this.#batch.written;
  }

  #newBatch(): { text: string[]; written: Promise<void> } {
    const text: string[] = [];
    const written = this.#queue.then(() => {
      this.#batch = undefined;
      return this.#write(text);
    });
    this.#queue = written.catch(() => undefined);
    return { text, written };
  }

  async #write(text: readonly string[]): Promise<void> {
    if (text.length === 0) return;
    await this.#lines.append(text).catch((cause) => {
      throw notWritten(this.file, cause);
    });
  }

  /** Waits for what was appended, and lets another process write. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#queue.then(async () => {
      await this.#lines.close();
      await this.#lock.release();
    });
    return this.#closed;
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Where a file's lines of another kind belong: `verdicts.jsonl` → `verdicts.qualifications.jsonl`. */
export function besideFile(file: string, what: string): string {
  return join(dirname(file), `${basename(file).replace(/\.jsonl$/, '')}.${what}.jsonl`);
}

function notWritten(file: string, cause: unknown): MlitError {
  return new MlitError('FILE_IO', `cannot write ${file}: ${whyNotWritten(cause)}`, {
    fields: { file },
    cause,
  });
}
