// `mlit pull`: fetches a model before it is needed, a named one into this library's cache, one of the hub into the hub's.
import type { Command } from 'commander';
import { isHubReference } from '../model/hub/reference';
import { pullModel } from '../model/pull';
import { resolveModel } from '../model/source';
import { fetchProgress, note, Progress, printJson, printLine, size } from './output';
import { abortOnSignals } from './signals';

export function addPull(program: Command): void {
  program
    .command('pull')
    .description('fetch a model; what came is checked by its hash, and the path is printed')
    .argument('<name>', 'as in gemma-3-270m, or hf:owner/name[@revision][:FILE.gguf]')
    .option('--json', 'one JSON value')
    .action(async (name: string, flags: { json?: boolean }) => {
      const { signal, release } = abortOnSignals();
      try {
        const pulled = await (isHubReference(name) ? pullFromHub(name, signal) : pullNamed(name, signal));
        await (flags.json ? printJson({ name, ...pulled }) : printLine(pulled.path));
      } finally {
        release();
      }
    });
}

async function pullFromHub(name: string, signal: AbortSignal): Promise<{ path: string; commit?: string }> {
  const { path, commit } = await resolveModel(name, { signal, onNote: note, onFetch: fetchProgress() });
  return { path, ...(commit !== undefined && { commit }) };
}

async function pullNamed(
  name: string,
  signal: AbortSignal,
): Promise<{ path: string; source: string; sha256: string }> {
  const progress = new Progress(`pull ${name}`);
  try {
    const { path, source, model } = await pullModel(name, {
      signal,
      onProgress: ({ source: from, doneBytes, totalBytes }) =>
        progress.update(doneBytes / totalBytes, `${size(doneBytes)} of ${size(totalBytes)} from ${from}`),
    });
    progress.end();
    const { licence } = model;
    if (source !== 'cache') note(`licence: ${licence.name}, ${licence.url}; by fetching you accept it`);
    return { path, source, sha256: model.sha256 };
  } finally {
    progress.end();
  }
}
