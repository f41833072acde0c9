// A file of lines that grows: a line is on the disk before anyone relies on it, and of a write that failed or was cut off by a crash
// nothing is taken for a line. Who writes, and what a line holds, is its owner's business.
import { type FileHandle, open } from 'node:fs/promises';

/** The whole lines of a file, and where they end. */
export interface WholeLines {
  /** In their order, without their ends; numbered from 1 by their places. */
  lines: string[];
  /** Bytes up to the end of the last whole line. */
  length: number;
}

/** Half a line at the end is passed over: somebody may be writing it at this moment, or was killed over it. */
export function wholeLines(bytes: Buffer): WholeLines {
  const lines: string[] = [];
  let start = 0;
  while (start < bytes.length) {
    const end = bytes.indexOf(10, start);
    if (end < 0) break;
    const text = bytes.toString('utf8', start, end);
    // Blocks that a machine which lost power had reserved, not filled.
    if (text.includes('\0') && bytes.indexOf(10, end + 1) < 0) break;
    lines.push(text);
    start = end + 1;
  }
  return { lines, length: start };
}

/** The one who appends; two at once would cut off each other's lines, so its owner holds a lock. */
export class LineFile {
  readonly #file: FileHandle;
  #length = 0;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Makes the file where there is none. Nothing may be appended before {@link keep}. @throws the system's error */
  static async open(path: string): Promise<LineFile> {
    return new LineFile(await open(path, 'a'));
  }

  /** Cuts off what is behind the whole lines, where there is anything. @param length of {@link WholeLines} */
  async keep(length: number): Promise<void> {
    const { size } = await this.#file.stat();
    if (size > length) {
      await this.#file.truncate(length);
      await this.#file.sync();
    }
    this.#length = length;
  }

  /**
   * Lines without their ends. They are on the disk when it resolves; the file is as it was before when it rejects. One call at a time.
   *
   * @throws the system's error
   */
  async append(lines: readonly string[]): Promise<void> {
    const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
    try {
      await this.#file.appendFile(bytes);
      await this.#file.sync();
      this.#length += bytes.length;
    } catch (error) {
      await this.#file.truncate(this.#length).catch(() => undefined);
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}
