// Where finished jobs are kept, so that nothing is done twice and a machine may die at any moment.
//
// A job writes into jobs/HASH.part. Committing it syncs those files, puts job.json beside them, renames the folder to
// jobs/HASH and appends a line to jobs.jsonl. A crash before the rename leaves HASH.part, in which the job goes on; after it,
// a complete folder without its line, which the next writer takes back by its job.json.
import { readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { MlitError } from '../../native/errors';
import { makeFolder, syncFolder, whyNotWritten, writeFileAtomic } from '../../native/files';
import { FolderLock, takeoverNote } from '../../native/folder-lock';
import { shallow, shortened, shown } from '../../native/untrusted';
import { packageVersion } from '../../native/version';
import { refuseUnknownOptions } from '../../text/options';
import { explainFullDisk } from './disk';
import { Experiments } from './experiments';
import { HASH, isFinishedJob, Journal, readJournal } from './journal';
import { findChange, JOB_FILE, sealOutputs } from './outputs';
import type { FinishedJob } from './types';

export { explainFullDisk } from './disk';

const STORE_VERSION = 1;

/** How a store is opened. */
export interface StoreOptions {
  /** True: makes the store where there is none and keeps other writers out until `close`. */
  write: boolean;
  signal?: AbortSignal | undefined;
  /** A line for people: a job that has to be done again, and why. */
  onNote?: ((note: string) => void) | undefined;
}

/** A folder of finished jobs: one process writes, any number read. */
export class Store implements AsyncDisposable {
  readonly folder: string;
  readonly experiments: Experiments;
  readonly #jobs = new Map<string, FinishedJob>();
  readonly #note: (note: string) => void;
  #lock: FolderLock | undefined;
  #journal: Journal | undefined;

  private constructor(folder: string, onNote: StoreOptions['onNote']) {
    this.folder = folder;
    this.experiments = new Experiments(folder);
    this.#note = onNote ?? (() => undefined);
  }

  /**
   * Opens a store. Reading works while another process writes, and sees what was finished at this moment.
   *
   * @throws MlitError `STORE_INVALID` (no store, a newer version, a damaged line), `STORE_LOCKED`, `FILE_IO`
   */
  static async open(folder: string, options: StoreOptions): Promise<Store> {
    refuseUnknownOptions('Store.open', options, { write: true, signal: true, onNote: true });
    const store = new Store(folder, options.onNote);
    try {
      await (options.write ? store.#openToWrite(options.signal) : store.#openToRead(options.signal));
      return store;
    } catch (error) {
      await store.close();
      throw await explainFullDisk(error, folder);
    }
  }

  async #openToRead(signal: AbortSignal | undefined): Promise<void> {
    if (!(await readVersion(this.folder))) {
      throw new MlitError(
        'STORE_INVALID',
        `${this.folder} holds no store (no store.json); \`mlit experiment run\` makes one`,
        { fields: { file: this.folder } },
      );
    }
    await this.#load(signal);
  }

  async #openToWrite(signal: AbortSignal | undefined): Promise<void> {
    await makeFolder(join(this.folder, 'jobs'));
    const exists = await readVersion(this.folder);
    this.#lock = await FolderLock.acquire(this.folder, 'STORE_LOCKED');
    const remark = takeoverNote(this.folder, this.#lock);
    if (remark !== undefined) this.#note(remark);
    for (const name of await readdir(this.folder)) {
      if (/^(store|progress)\.json\.tmp-/.test(name)) await rm(join(this.folder, name), { force: true });
    }
    if (!exists && !(await readVersion(this.folder))) {
      const record = { version: STORE_VERSION, created: new Date().toISOString(), packageVersion };
      await writeFileAtomic(join(this.folder, 'store.json'), `${JSON.stringify(record)}\n`);
    }
    const length = await this.#load(signal);
    this.#journal = await Journal.open(this.#journalPath, length);
    await this.#adopt(signal);
  }

  get #journalPath(): string {
    return join(this.folder, 'jobs.jsonl');
  }

  /** Reads the lines; a job whose files are gone or of another size is not finished. */
  async #load(signal: AbortSignal | undefined): Promise<number> {
    const { jobs, length } = await readJournal(this.#journalPath);
    for (const job of jobs) this.#jobs.set(job.hash, job);
    for (const job of this.#jobs.values()) {
      signal?.throwIfAborted();
      await this.#check(job, false);
    }
    return length;
  }

  /** Takes back complete folders that a crash parted from their line; `begin` removes others. */
  async #adopt(signal: AbortSignal | undefined): Promise<void> {
    for (const name of (await readdir(join(this.folder, 'jobs'))).sort()) {
      signal?.throwIfAborted();
      if (!HASH.test(name) || this.#jobs.has(name)) continue;
      const folder = this.#finalPath(name);
      const job = await readFile(join(folder, JOB_FILE), 'utf8')
        .then((text) => JSON.parse(text) as FinishedJob)
        .catch(() => undefined);
      if (
        job?.hash !== name ||
        !isFinishedJob(job) ||
        (await findChange(folder, job.outputs, true)) !== undefined
      )
        continue;
      await this.#journal!.append(job);
      this.#jobs.set(name, job);
    }
  }

  #finalPath(hash: string): string {
    return join(this.folder, 'jobs', hash);
  }

  #partPath(hash: string): string {
    return join(this.folder, 'jobs', `${hash}.part`);
  }

  /** A job's line, or undefined where it is not finished. */
  finished(hash: string): FinishedJob | undefined {
    return this.#jobs.get(hash);
  }

  /** In the order in which they were first finished. */
  jobs(): readonly FinishedJob[] {
    return [...this.#jobs.values()];
  }

  /** The folder that a job writes into: new, or with what an interrupted attempt left in it. */
  async begin(hash: string): Promise<string> {
    this.#journalToWrite();
    if (!HASH.test(hash)) throw new TypeError(`hash: expected hexadecimal digits, got '${hash}'`);
    if (this.#jobs.has(hash)) throw new RangeError(`job ${hash} is finished already`);
    const part = this.#partPath(hash);
    try {
      await rm(this.#finalPath(hash), { recursive: true, force: true });
      await makeFolder(part);
      return part;
    } catch (error) {
      throw await this.#failure(error, part);
    }
  }

  /**
   * Makes a begun job finished: its files are on the disk and its line in jobs.jsonl when this resolves. When it rejects, the
   * job is as it was, or is taken back by the next writer.
   *
   * @throws MlitError `FILE_IO`, with what is free where the disk is full
   */
  async commit(job: Omit<FinishedJob, 'version' | 'outputs'>): Promise<FinishedJob> {
    const journal = this.#journalToWrite();
    const part = this.#partPath(job.hash);
    try {
      const { hash, kind, description, startedAt, seconds, host, threads, summary } = job;
      const outputs = await sealOutputs(part);
      const line: FinishedJob = {
        version: 1,
        hash,
        kind,
        description,
        outputs,
        startedAt,
        seconds,
        host,
        threads,
        summary,
      };
      await writeFileAtomic(join(part, JOB_FILE), `${JSON.stringify(line)}\n`);
      await rename(part, this.#finalPath(hash));
      await syncFolder(join(this.folder, 'jobs'));
      await journal.append(line);
      this.#jobs.set(hash, line);
      return line;
    } catch (error) {
      throw await this.#failure(error, part);
    }
  }

  /** Removes what an unfinished job has written. */
  async abandon(hash: string): Promise<void> {
    this.#journalToWrite();
    await rm(this.#partPath(hash), { recursive: true, force: true });
  }

  /** Folder of a finished job. */
  jobFolder(hash: string): string {
    if (!this.#jobs.has(hash)) throw new RangeError(`job ${hash} is not finished`);
    return this.#finalPath(hash);
  }

  /** One output file of a finished job. */
  outputPath(hash: string, file: string): string {
    const job = this.#jobs.get(hash);
    if (job?.outputs[file] === undefined) {
      const known = job ? Object.keys(job.outputs).join(', ') : 'the job is not finished';
      throw new RangeError(`job ${hash} has no output ${file} (${known})`);
    }
    return join(this.#finalPath(hash), file);
  }

  /** Reads a finished job's files again. Where one is missing or changed the job is finished no longer, and a note says so. */
  async verify(hash: string): Promise<boolean> {
    const job = this.#jobs.get(hash);
    return job !== undefined && (await this.#check(job, true));
  }

  async #check(job: FinishedJob, deep: boolean): Promise<boolean> {
    const change = await findChange(this.#finalPath(job.hash), job.outputs, deep);
    if (change === undefined) return true;
    this.#jobs.delete(job.hash);
    this.#note(`the ${job.kind} job ${job.hash} has to be done again: ${change}`);
    return false;
  }

  #journalToWrite(): Journal {
    if (!this.#journal) throw new TypeError(`the store ${this.folder} is not open for writing`);
    return this.#journal;
  }

  async #failure(error: unknown, path: string): Promise<unknown> {
    const explained = await explainFullDisk(error, this.folder);
    if (explained instanceof MlitError) return explained;
    return new MlitError('FILE_IO', `cannot write ${path}: ${whyNotWritten(error)}`, {
      fields: { file: path },
      cause: error,
    });
  }

  /** Ends writing and lets another process in. Idempotent. */
  async close(): Promise<void> {
    const journal = this.#journal;
    const lock = this.#lock;
    this.#journal = undefined;
    this.#lock = undefined;
    await journal?.close();
    await lock?.release();
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** False where there is no store.json. */
async function readVersion(folder: string): Promise<boolean> {
  const file = join(folder, 'store.json');
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '')) return false;
    throw new MlitError('FILE_IO', `cannot read ${file}: ${(cause as Error).message}`, {
      fields: { file },
      cause,
    });
  }
  const invalid = (problem: string, version?: number): MlitError =>
    new MlitError('STORE_INVALID', `${file}: ${problem}`, {
      fields: { file, expected: STORE_VERSION, ...(version !== undefined && { version }) },
    });
  let record: { version?: unknown; packageVersion?: unknown } | null;
  try {
    record = shallow(JSON.parse(text)) as typeof record;
  } catch (error) {
    throw invalid(`${(error as Error).message}; put back the file, or choose another folder`);
  }
  const version = record?.version;
  if (typeof version !== 'number' || !Number.isInteger(version) || version < 1) {
    throw invalid(`version: expected ${STORE_VERSION}, found ${shown(version)}`);
  }
  if (version > STORE_VERSION) {
    throw invalid(
      `the store is of version ${version}, written by mlit-native ${shortened(String(record?.packageVersion))}; this is ${packageVersion} and reads version ${STORE_VERSION}. Update mlit-native, or choose another folder`,
      version,
    );
  }
  return true;
}
