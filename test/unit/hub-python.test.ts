// One cache for two clients: what Python's huggingface_hub has fetched is used here, and what is fetched here is found by it,
// without a byte sent twice. Wants an interpreter with huggingface_hub, named by MLIT_PYTHON.
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resolveModel } from '../../lib/model/source';
import { commitOf, type FakeHub, startHub, stopAfterEach } from '../support/hub';

const python = process.env.MLIT_PYTHON ?? '';
const isThere = python !== '' && spawnSync(python, ['-c', 'import huggingface_hub']).status === 0;
if (!isThere)
  console.warn(
    'left out: MLIT_PYTHON names no interpreter with huggingface_hub, so the shared cache is not compared',
  );

let folder: string;
let hub: FakeHub;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hub-python-'));
  hub = await startHub(folder);
  hub.add('models/someone/tiny', {
    'config.json': '{}',
    'tokenizer.json': '{"a": 1}',
    'model.safetensors': Buffer.alloc(100_000, 'weights'),
  });
});
stopAfterEach(() => hub);
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** snapshot_download's path, as Python finds it; the hub of this test answers meanwhile. */
function pythonSnapshot(...args: string[]): Promise<string> {
  const code = `import sys, huggingface_hub as h; print(h.snapshot_download('someone/tiny'${args.map((arg) => `, ${arg}`).join('')}))`;
  const env = { ...process.env, HF_HUB_DISABLE_XET: '1', HF_HUB_DISABLE_TELEMETRY: '1' };
  return new Promise((resolve, reject) =>
    execFile(python, ['-c', code], { env }, (error, stdout) =>
      error ? reject(error) : resolve(stdout.trim()),
    ),
  );
}

describe.skipIf(!isThere)('the cache of Python’s huggingface_hub', () => {
  it('is read here', async () => {
    const path = await pythonSnapshot();
    hub.requests = [];
    expect(await resolveModel('hf:someone/tiny')).toMatchObject({ path, commit: commitOf('a') });
    expect(hub.transfers).toEqual([]);
  });

  it('is filled here', async () => {
    const { path } = await resolveModel('hf:someone/tiny');
    const blobs = readdirSync(join(path, '..', '..', 'blobs')).sort();
    hub.requests = [];
    expect(await pythonSnapshot('local_files_only=True')).toBe(path);
    expect(await pythonSnapshot()).toBe(path);
    expect(hub.transfers).toEqual([]);
    expect(readdirSync(join(path, '..', '..', 'blobs')).sort()).toEqual(blobs);
    expect(readFileSync(join(path, 'tokenizer.json'), 'utf8')).toBe('{"a": 1}');
  });
});
