// The folder of a run: run.yaml (every option as resolved and everything that was chosen), mixture.json, events.jsonl,
// checkpoints/, adapter/ or model/. One process at a time writes to it.
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { MlitError } from '../native/errors';
import { makeFolder, syncFolder, whyNotWritten, writeFileAtomic } from '../native/files';
import { FolderLock, LOCK_FILE, takeoverNote } from '../native/folder-lock';
import type { Compute, Recompute, WeightFormat } from '../native/types';
import { describeIssues } from '../text/issues';
import { parseYaml, toYaml } from '../text/yaml';
import type { BestSoFar } from './checkpoint';
import type { TrainEvent } from './events';
import { optionsOfMethod, RECOMPUTE, resolveTrainOptions, type TrainOptions } from './options';

/** What was chosen or found rather than asked for; a resumed run uses it or refuses. */
export interface RunChoices {
  version: string;
  /** `cpu` or `cuda:N`. */
  device: string;
  threads: number;
  isa: string;
  microTokens: number;
  recompute: Recompute;
  /** How the weights are kept: what `auto` came to. */
  baseDtype: WeightFormat;
  /** Arithmetic of the base's products: what `auto` came to. */
  compute: Compute;
  totalSteps: number;
  /** What the model is told by, see modelIdentity. */
  modelIdentity: string;
  /** Of a model given as `hf:…`: the commit that its revision stood at, and that a resumed run uses. */
  modelCommit?: string;
  /** Hash of the rendered training and dev examples, in order. */
  dataHash: string;
  /** When it was, ISO 8601; what a template's clock shows where it was not set. */
  startedAt: string;
}

const choicesSchema = z.looseObject({
  version: z.string(),
  device: z.string().default('cpu'),
  threads: z.int().min(1),
  isa: z.string(),
  microTokens: z.int().min(1),
  recompute: z.enum(RECOMPUTE),
  baseDtype: z.enum(['f32', 'bf16', 'int8', 'nf4']),
  compute: z.enum(['f32', 'int8']).default('f32'),
  totalSteps: z.int().min(0),
  modelIdentity: z.string(),
  modelCommit: z.string().optional(),
  dataHash: z.string(),
  startedAt: z.iso.datetime(),
});

export interface RunRecord {
  options: TrainOptions;
  chosen: RunChoices;
}

/** How a run came to its end, beside what it was started with. */
export interface RunEnd {
  step: number;
  /** Whether patience ended it before its last step. */
  early: boolean;
  best: BestSoFar | undefined;
}

export class RunDirectory {
  readonly path: string;
  #lock: FolderLock | undefined;
  #events: FileHandle | undefined;
  #created = false;

  private constructor(path: string) {
    this.path = path;
  }

  get checkpoints(): string {
    return join(this.path, 'checkpoints');
  }

  /**
   * Opens a folder for writing and locks it. A new run wants it absent or empty; a resumed one wants run.yaml in it.
   *
   * @throws MlitError `RUN_INVALID`, `RUN_LOCKED`, `FILE_IO`
   */
  static async open(
    path: string,
    resume: boolean,
    onNote?: ((note: string) => void) | undefined,
  ): Promise<RunDirectory> {
    const entries = await readdir(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      const what =
        error.code === 'ENOTDIR'
          ? `${path} is a file, or below one; a run wants a folder of its own: name another place`
          : `cannot read ${path}: ${error.message}`;
      throw new MlitError('FILE_IO', what, {
        fields: { file: path },
        cause: error,
      });
    });
    if (resume && !entries?.includes('run.yaml')) {
      throw new MlitError(
        'RUN_INVALID',
        `${path} holds no run to resume (no run.yaml); start one without --resume`,
        { fields: { file: path } },
      );
    }
    if (!resume) refuseOccupied(path, entries ?? []);
    await makeFolder(path);
    const directory = new RunDirectory(path);
    directory.#created = entries === undefined;
    directory.#lock = await FolderLock.acquire(path, 'RUN_LOCKED');
    const remark = takeoverNote(path, directory.#lock);
    if (remark !== undefined) onNote?.(remark);
    for (const entry of entries ?? []) {
      if (entry.includes('.tmp-')) await rm(join(path, entry), { recursive: true, force: true });
    }
    return directory;
  }

  async writeRecord(record: RunRecord & { ended?: RunEnd }): Promise<void> {
    await writeFileAtomic(
      join(this.path, 'run.yaml'),
      toYaml({ ...record, options: optionsOfMethod(record.options) }),
    );
  }

  /** @throws MlitError `RUN_INVALID` where run.yaml cannot be understood */
  async readRecord(): Promise<RunRecord> {
    return readRunRecord(this.path);
  }

  async recordEnd(end: RunEnd): Promise<void> {
    await this.writeRecord({ ...(await this.readRecord()), ended: end });
  }

  async writeMixture(mixture: unknown): Promise<void> {
    await writeFileAtomic(join(this.path, 'mixture.json'), `${JSON.stringify(mixture, null, 2)}\n`);
  }

  /**
   * Opens events.jsonl for appending, first dropping what was said after step `step` (a resumed run says it again), and the
   * dev score after it where that is due.
   */
  async openEvents(step: number, evalDue = false): Promise<void> {
    const path = join(this.path, 'events.jsonl');
    const text = await readFile(path, 'utf8').catch(() => '');
    const kept = text.split('\n').filter((line) => {
      try {
        const event = JSON.parse(line) as TrainEvent;
        if (event.type === 'end' || (event.type === 'eval' && event.step === step && evalDue)) return false;
        return event.step <= step;
      } catch {
        return false;
      }
    });
    await writeFileAtomic(path, kept.map((line) => `${line}\n`).join(''));
    this.#events = await open(path, 'a');
  }

  async appendEvent(event: TrainEvent): Promise<void> {
    try {
      await this.#events?.appendFile(`${JSON.stringify(event)}\n`);
    } catch (cause) {
      const file = join(this.path, 'events.jsonl');
      throw new MlitError('FILE_IO', `cannot write ${file}: ${whyNotWritten(cause)}`, {
        fields: { file },
        cause,
      });
    }
  }

  /** Publishes adapter/ or model/: a folder is written beside it and renamed over. What was there stays where that fails. */
  async publish(kind: 'adapter' | 'model', write: (folder: string) => Promise<void>): Promise<string> {
    const target = join(this.path, kind);
    const temporary = `${target}.tmp-${process.pid}`;
    const old = `${target}.tmp-old-${process.pid}`;
    try {
      await rm(temporary, { recursive: true, force: true });
      await mkdir(temporary);
      await write(temporary);
      await syncFolder(temporary);
      if (await stat(target).catch(() => undefined)) await rename(target, old);
      await rename(temporary, target);
      await syncFolder(this.path);
      await rm(old, { recursive: true, force: true });
      return target;
    } catch (cause) {
      await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
      await rename(old, target).catch(() => undefined);
      if (cause instanceof MlitError) throw cause;
      throw new MlitError('FILE_IO', `cannot write ${target}: ${whyNotWritten(cause)}`, {
        fields: { file: target },
        cause,
      });
    }
  }

  /** Takes back a new run that could not be made ready, so that the folder can be used for the next attempt. */
  async discard(): Promise<void> {
    for (const file of ['run.yaml', 'mixture.json']) await rm(join(this.path, file), { force: true });
    await this.close();
    if (this.#created) await rmdir(this.path).catch(() => undefined);
  }

  /** Ends writing and lets another process in. Idempotent. */
  async close(): Promise<void> {
    const events = this.#events;
    const lock = this.#lock;
    this.#events = undefined;
    this.#lock = undefined;
    if (events) {
      await events.sync();
      await events.close();
    }
    await lock?.release();
  }
}

/** @throws MlitError `RUN_INVALID` where a new run's folder has something in it */
export function refuseOccupied(path: string, entries: readonly string[]): void {
  if (entries.every((entry) => entry === LOCK_FILE || entry.includes('.tmp-'))) return;
  throw new MlitError(
    'RUN_INVALID',
    `${path} is not empty; choose another folder, or go on with the run in it by --resume`,
    { fields: { file: path } },
  );
}

export async function readRunRecord(path: string): Promise<RunRecord> {
  const file = join(path, 'run.yaml');
  try {
    const record = parseYaml(await readFile(file, 'utf8')) as Partial<RunRecord> | null;
    const options = resolveTrainOptions(record?.options);
    const chosen = choicesSchema.safeParse(record?.chosen);
    if (!chosen.success) throw new RangeError(`chosen: ${describeIssues(chosen.error, record?.chosen)}`);
    return { options, chosen: chosen.data as RunChoices };
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT')
      throw new MlitError(
        'RUN_INVALID',
        `${path} holds no run to go on with: there is no run.yaml in it; check the path, or leave --resume out to begin one`,
        { fields: { file }, cause },
      );
    throw new MlitError('RUN_INVALID', `${file} cannot be read: ${(cause as Error).message}`, {
      fields: { file },
      cause,
    });
  }
}
