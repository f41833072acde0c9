// Checkpoints that are whole or not there: a folder is filled under a temporary name, its manifest of hashes written last,
// and renamed; a resumed run trusts only what its manifest vouches for.
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { MlitError } from '../native/errors';
import { makeFolder, sha256File, syncFolder, whyNotWritten, writeFileAtomic } from '../native/files';
import { shown } from '../native/untrusted';
import { describeIssues } from '../text/issues';

const STEP_NAME = /^step-(\d{8})$/;
export const MANIFEST = 'manifest.json';
const BEST_NAME = /^best-(\d{8})$/;

export interface BestSoFar {
  step: number;
  loss: number;
  /** Where the adapter is chosen by it. */
  rougeL?: number;
}

/** What a run needs besides tensors to go on. */
export interface TrainerState {
  step: number;
  best?: BestSoFar;
  /** Dev scores since the best. */
  sinceBest?: number;
  /** The dev set's score after `step` is due: the run was stopped before it was there. */
  evalDue?: true;
}

const count = z.int().min(0);
const stateSchema = z.looseObject({
  step: count,
  best: z.looseObject({ step: count, loss: z.number(), rougeL: z.number().optional() }).optional(),
  sinceBest: count.optional(),
  evalDue: z.literal(true).optional(),
});

export interface Checkpoint {
  path: string;
  state: TrainerState;
}

const name = (kind: 'step' | 'best', step: number): string => `${kind}-${String(step).padStart(8, '0')}`;

/**
 * Fills a folder of checkpoints/ by `write` and publishes it atomically. One of the same name stays as it is: the same step
 * of the same run has the same bytes.
 */
async function publish(
  folder: string,
  entry: string,
  write: (temporary: string) => Promise<void>,
): Promise<string> {
  const target = join(folder, entry);
  const temporary = join(folder, `.tmp-${entry}-${process.pid}`);
  await makeFolder(folder);
  try {
    if ((await readdir(folder)).includes(entry)) return target;
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary);
    await write(temporary);
    const files: Record<string, string> = {};
    for (const file of (await readdir(temporary)).sort())
      files[file] = await sha256File(join(temporary, file));
    await writeFileAtomic(join(temporary, MANIFEST), `${JSON.stringify({ files }, null, 2)}\n`);
    await rename(temporary, target);
    await syncFolder(folder);
    return target;
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true });
    if (cause instanceof MlitError) throw cause;
    throw new MlitError('FILE_IO', `cannot write checkpoint ${target}: ${whyNotWritten(cause)}`, {
      fields: { file: target },
      cause,
    });
  }
}

/** Writes checkpoints/step-N: the session's state and the trainer's; then drops all but the newest `keep`. */
export async function saveCheckpoint(
  folder: string,
  state: TrainerState,
  saveTensors: (path: string) => Promise<void>,
  keep: number,
): Promise<string> {
  const path = await publish(folder, name('step', state.step), async (temporary) => {
    await saveTensors(join(temporary, 'state.safetensors'));
    await writeFileAtomic(join(temporary, 'trainer.json'), `${JSON.stringify(state)}\n`);
  });
  const steps = (await listSteps(folder, STEP_NAME)).slice(0, -keep);
  for (const step of steps) await rm(join(folder, name('step', step)), { recursive: true, force: true });
  return path;
}

/** Writes checkpoints/best-N, a folder as it will be published with a manifest beside it; then drops older ones. */
export async function saveBest(
  folder: string,
  step: number,
  save: (path: string) => Promise<void>,
): Promise<string> {
  const path = await publish(folder, name('best', step), save);
  for (const other of await listSteps(folder, BEST_NAME)) {
    if (other < step) await rm(join(folder, name('best', other)), { recursive: true, force: true });
  }
  return path;
}

export function bestPath(folder: string, step: number): string {
  return join(folder, name('best', step));
}

/**
 * The newest checkpoint, verified, or undefined where there is none. What a killed process left half written is removed.
 *
 * @throws MlitError `FILE_DAMAGED` naming the file whose bytes are not those of its manifest
 */
export async function latestCheckpoint(folder: string): Promise<Checkpoint | undefined> {
  const entries = await readdir(folder).catch(() => [] as string[]);
  for (const entry of entries) {
    if (entry.startsWith('.tmp-')) await rm(join(folder, entry), { recursive: true, force: true });
  }
  const step = (await listSteps(folder, STEP_NAME)).at(-1);
  if (step === undefined) return undefined;
  const path = join(folder, name('step', step));
  await verify(path);
  return { path, state: await readState(path, step) };
}

/** Its bytes are those of the manifest; what they say may still be of another version, or of no run. */
async function readState(path: string, step: number): Promise<TrainerState> {
  const file = join(path, 'trainer.json');
  try {
    const content: unknown = JSON.parse(await readFile(file, 'utf8'));
    const { data: state, error } = stateSchema.safeParse(content);
    if (error) throw new TypeError(describeIssues(error, content));
    if (state.step !== step) throw new RangeError(`step is ${state.step}, but the folder's is ${step}`);
    return state as TrainerState;
  } catch (cause) {
    throw new MlitError(
      'FILE_DAMAGED',
      `checkpoint ${path} is damaged: trainer.json cannot be used (${(cause as Error).message.slice(0, 300)}). Remove the folder to go on from the checkpoint before it.`,
      { fields: { file }, cause },
    );
  }
}

async function listSteps(folder: string, pattern: RegExp): Promise<number[]> {
  const entries = await readdir(folder).catch(() => [] as string[]);
  return entries
    .flatMap((entry) => pattern.exec(entry)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

async function verify(path: string): Promise<void> {
  const damaged = (file: string, why: string): MlitError =>
    new MlitError(
      'FILE_DAMAGED',
      `checkpoint ${path} is damaged: ${file} ${why}. Remove the folder to go on from the checkpoint before it.`,
      { fields: { file: join(path, file) } },
    );
  let manifest: { files: Record<string, string> };
  try {
    manifest = JSON.parse(await readFile(join(path, MANIFEST), 'utf8')) as typeof manifest;
    for (const name of ['state.safetensors', 'trainer.json'])
      if (typeof manifest.files?.[name] !== 'string') throw new Error(`no entry for ${name}`);
    const foreign = Object.keys(manifest.files).find((name) => basename(name) !== name);
    if (foreign !== undefined)
      throw new Error(`an entry for ${shown(foreign)}, which is no name of a file in it`);
  } catch (cause) {
    throw damaged(MANIFEST, `cannot be read (${(cause as Error).message})`);
  }
  for (const [file, expected] of Object.entries(manifest.files)) {
    const actual = await sha256File(join(path, file)).catch(() => undefined);
    if (actual === undefined) throw damaged(file, 'is missing');
    if (actual !== expected) throw damaged(file, 'does not have the SHA-256 that its manifest says');
  }
}
