// `mlit pull`: fetches a named model into the user's cache.
import type { Command } from 'commander';
import { pullModel } from '../model/pull';
import { note, Progress, printJson, printLine, size } from './output';
import { abortOnSignals } from './signals';

export function addPull(program: Command): void {
  program
    .command('pull')
    .description('fetch a named model; sources in order, SHA-256 checked')
    .argument('<name>', 'as in gemma-3-270m')
    .option('--json', 'one JSON value')
    .action(async (name: string, flags: { json?: boolean }) => {
      const { signal, release } = abortOnSignals();
      const progress = new Progress(`pull ${name}`);
      try {
        const pulled = await pullModel(name, {
          signal,
          onProgress: ({ source, doneBytes, totalBytes }) =>
            progress.update(
              doneBytes / totalBytes,
              `${size(doneBytes)} of ${size(totalBytes)} from ${source}`,
            ),
        });
        progress.end();
        const { licence } = pulled.model;
        if (pulled.source !== 'cache')
          note(`licence: ${licence.name}, ${licence.url}; by fetching you accept it`);
        const { path, source } = pulled;
        await (flags.json ? printJson({ name, path, source, sha256: pulled.model.sha256 }) : printLine(path));
      } finally {
        progress.end();
        release();
      }
    });
}
