// A checkpoint is whole or not there: whatever fails or is damaged, the newest whole one is found and the rest is named.
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bestPath, latestCheckpoint, saveBest, saveCheckpoint } from '../../lib/train/checkpoint';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mlit-checkpoint-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const tensors = (text: string) => (path: string) => writeFile(path, text);

describe('checkpoints', () => {
  it('keeps the newest and gives back what was saved', async () => {
    for (const step of [3, 6, 9]) {
      await saveCheckpoint(folder, { step, best: { step: 3, loss: 1.5 } }, tensors(`state ${step}`), 2);
    }
    expect((await readdir(folder)).sort()).toEqual(['step-00000006', 'step-00000009']);
    const latest = await latestCheckpoint(folder);
    expect(latest?.state).toEqual({ step: 9, best: { step: 3, loss: 1.5 } });
    expect(await readFile(join(latest!.path, 'state.safetensors'), 'utf8')).toBe('state 9');
  });

  it('leaves nothing behind when writing fails', async () => {
    const failing = async (): Promise<void> => {
      throw new Error('disk full');
    };
    await expect(saveCheckpoint(folder, { step: 1 }, failing, 2)).rejects.toMatchObject({ code: 'FILE_IO' });
    expect(await readdir(folder)).toEqual([]);
    expect(await latestCheckpoint(folder)).toBeUndefined();
  });

  it('does not see a folder that was never published, and clears it away', async () => {
    await saveCheckpoint(folder, { step: 1 }, tensors('one'), 2);
    await mkdir(join(folder, '.tmp-step-00000002-999'));
    await writeFile(join(folder, '.tmp-step-00000002-999', 'state.safetensors'), 'half');
    expect((await latestCheckpoint(folder))?.state.step).toBe(1);
    expect(await readdir(folder)).toEqual(['step-00000001']);
  });

  it.each([
    ['state.safetensors', 'sta'],
    ['trainer.json', '{"step":7}'],
    ['manifest.json', '{"files":{'],
    ['manifest.json', '{}'],
  ])('names %s where its bytes are not those that were written', async (file, bytes) => {
    const path = await saveCheckpoint(folder, { step: 1 }, tensors('state'), 2);
    await writeFile(join(path, file), bytes);
    await expect(latestCheckpoint(folder)).rejects.toMatchObject({
      code: 'FILE_DAMAGED',
      message: expect.stringContaining(file),
    });
  });

  it('says what a state with the right hash of the wrong content should have been', async () => {
    const path = await saveCheckpoint(folder, { step: 1 }, tensors('state'), 2);
    const manifest = JSON.parse(await readFile(join(path, 'manifest.json'), 'utf8'));
    const text = '{"step":1,"best":{"step":-2,"loss":"low"}}';
    await writeFile(join(path, 'trainer.json'), text);
    manifest.files['trainer.json'] = createHash('sha256').update(text).digest('hex');
    await writeFile(join(path, 'manifest.json'), JSON.stringify(manifest));
    await expect(latestCheckpoint(folder)).rejects.toThrow(
      /trainer\.json cannot be used \(best\.step: expected .*-2.*; best\.loss: expected a number, got/,
    );
  });

  it('names a missing file', async () => {
    const path = await saveCheckpoint(folder, { step: 1 }, tensors('state'), 2);
    await rm(join(path, 'state.safetensors'));
    await expect(latestCheckpoint(folder)).rejects.toMatchObject({ code: 'FILE_DAMAGED' });
  });

  it('keeps one best adapter and does not write the same step twice', async () => {
    let writes = 0;
    const adapter = async (path: string): Promise<void> => {
      writes += 1;
      await writeFile(join(path, 'adapter_config.json'), '{}');
    };
    await saveBest(folder, 5, adapter);
    await saveBest(folder, 10, adapter);
    await saveBest(folder, 10, adapter);
    expect(writes).toBe(2);
    expect(await readdir(folder)).toEqual(['best-00000010']);
    expect((await readdir(bestPath(folder, 10))).sort()).toEqual(['adapter_config.json', 'manifest.json']);
  });
});
