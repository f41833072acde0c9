// One file of token ids for all contestants: the library renders the records once, so that everybody trains on and
// answers the very same tokens.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { root, SetupError } from '../scripts/setup/common.mjs';
import { exportFloat32 } from './exports.mjs';
import { contest, contestantPath } from './process.mjs';

const folder = join(root, 'runs', 'bench');

/** The data that was asked for, else real conversations where MLIT_DATA_DIR has them, else the quickstart's. */
export async function findData(given) {
  if (given !== undefined) return given;
  const real = process.env.MLIT_DATA_DIR && join(process.env.MLIT_DATA_DIR, 'train-oasst.jsonl');
  if (real && existsSync(real)) return real;
  const { buildData } = await import('../examples/quickstart/data.mjs');
  return buildData(join(folder, 'data')).train;
}

/**
 * Renders the first `count` records that have something to learn within `maxLength` tokens, and with `forPeers` names the folder of the same
 * weights for them.
 * @returns {Promise<{ path: string, data: string, model: object, records: { length: number, supervised: number }[] }>}
 */
export async function prepareWork({ model, data, count, maxLength, threads, name, forPeers = false }) {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}.json`);
  const source = await findData(data);
  const args = [
    '--model',
    model,
    '--data',
    source,
    '--count',
    count,
    '--max-length',
    maxLength,
    '--out',
    path,
  ];
  const result = await contest(process.execPath, [contestantPath('render.mjs'), ...args], { threads });
  if (result.failed) throw new SetupError(`The records could not be rendered: ${result.failed}`);
  const work = JSON.parse(readFileSync(path, 'utf8'));
  if (forPeers) {
    work.peerModel = await exportFloat32(work.model, 'safetensors');
    writeFileSync(path, JSON.stringify(work));
  }
  return { ...result, path, file: work.model, data: basename(source) };
}
