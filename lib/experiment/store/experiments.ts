// experiments/NAME/ of a store: the file that an experiment was started from, the graph of its jobs, its report.
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { MlitError } from '../../native/errors';
import { makeFolder, writeFileAtomic } from '../../native/files';
import { shallow, shown } from '../../native/untrusted';
import { explainFullDisk } from './disk';
import type { ExperimentGraph } from './types';

const NAME = /^[\p{L}\p{N}_][\p{L}\p{N}._-]*$/u;

export class Experiments {
  readonly #root: string;

  constructor(store: string) {
    this.#root = join(store, 'experiments');
  }

  /** Names, sorted. */
  async list(): Promise<string[]> {
    const entries = await readdir(this.#root, { withFileTypes: true }).catch(() => []);
    return entries
      .filter((entry) => entry.isDirectory() && NAME.test(entry.name))
      .map((entry) => entry.name)
      .sort();
  }

  folder(name: string): string {
    if (NAME.test(name)) return join(this.#root, name);
    throw new RangeError(`name: expected letters, digits, '.', '_' and '-', got '${name}'`);
  }

  /** Writes each file whole or not at all; paths are relative to the experiment's folder. */
  async write(name: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
    const folder = this.folder(name);
    try {
      for (const [file, contents] of Object.entries(files)) {
        await makeFolder(dirname(join(folder, file)));
        await writeFileAtomic(join(folder, file), contents);
      }
    } catch (error) {
      throw await explainFullDisk(error, this.#root);
    }
  }

  /** A file's text; undefined where there is none. */
  async read(name: string, file: string): Promise<string | undefined> {
    const path = join(this.folder(name), file);
    return readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return undefined;
      throw new MlitError('FILE_IO', `cannot read ${path}: ${cause.message}`, {
        fields: { file: path },
        cause,
      });
    });
  }

  /**
   * graph.json; undefined where there is none.
   *
   * @throws MlitError `STORE_INVALID`
   */
  async graph(name: string): Promise<ExperimentGraph | undefined> {
    const text = await this.read(name, 'graph.json');
    if (text === undefined) return undefined;
    const file = join(this.folder(name), 'graph.json');
    let problem: string;
    try {
      const graph = shallow(JSON.parse(text)) as ExperimentGraph;
      if (graph?.version === 1 && Array.isArray(graph.models)) return graph;
      problem = `expected an experiment's graph of version 1, found version ${shown(graph?.version)}`;
    } catch (error) {
      problem = (error as Error).message;
    }
    throw new MlitError('STORE_INVALID', `${file}: ${problem}; run the experiment again to write it anew`, {
      fields: { file },
    });
  }
}
