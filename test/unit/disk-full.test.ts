// A disk that fills up in the middle of a run: what was saved before stays as it was, the error names the file, and with room
// again the run ends in the bytes of one that never met it. A limit on the size of files stands for the full disk.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { Trainer, type TrainerOptions } from '../../lib/index';
import { makeFolder, writeFileAtomic } from '../../lib/native/files';
import { fixture, root, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();
const options = {
  model: fixture('smol-tiny', 'model'),
  data: [writeRecords(join(folder, 'train.jsonl'), 48)],
  rank: 4,
  learningRate: 1e-2,
  batchExamples: 8,
  saveEvery: 2,
  threads: 2,
} satisfies Partial<TrainerOptions>;

async function train(
  out: string,
  more: Partial<TrainerOptions> = {},
  until = Number.POSITIVE_INFINITY,
): Promise<void> {
  await using trainer = await Trainer.create({ ...options, out, ...more });
  const run = trainer.start();
  for await (const event of run) if (event.type === 'step' && event.step === until) break;
  await run.done;
}

/** Resumes in a process that can write no file longer than `bytes`. */
function resumeLimited(out: string, bytes: number): { code: number | null; stderr: string } {
  const command = [process.execPath, join(root, 'bin', 'mlit.mjs'), 'train', '--out', out, '--resume'];
  const { status, stderr } = spawnSync('prlimit', [`--fsize=${bytes}`, ...command], { encoding: 'utf8' });
  return { code: status, stderr };
}

const adapter = (out: string): string =>
  createHash('sha256')
    .update(readFileSync(join(out, 'adapter', 'adapter_model.safetensors')))
    .digest('hex');

/** Every file below, by path, with its hash. */
function snapshot(path: string): Record<string, string> {
  const files = readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((file) =>
    statSync(join(path, file)).isFile(),
  );
  return Object.fromEntries(
    files.sort().map((file) => [
      file,
      createHash('sha256')
        .update(readFileSync(join(path, file)))
        .digest('hex'),
    ]),
  );
}

let whole: string;
beforeAll(async () => {
  whole = join(folder, 'whole');
  await train(whole);
});

describe.skipIf(spawnSync('prlimit', ['--version']).status !== 0)('a disk that fills up', () => {
  it('while a checkpoint is written leaves the one before, and the run goes on from it', async () => {
    const out = join(folder, 'checkpoint');
    await train(out, {}, 2);
    const checkpoints = join(out, 'checkpoints');
    const before = snapshot(checkpoints);
    const { size } = statSync(join(checkpoints, 'step-00000002', 'state.safetensors'));
    for (const bytes of [size >> 1, size - 1]) {
      const { code, stderr } = resumeLimited(out, bytes);
      expect(code).toBe(1);
      expect(stderr).toContain('state.safetensors');
      expect(stderr).toContain('would exceed the size');
      expect(snapshot(checkpoints)).toEqual(before);
    }
    await train(out, { resume: true });
    expect(adapter(out)).toBe(adapter(whole));
  });

  it('while an event is written ends the run with its name, and the run goes on', async () => {
    const out = join(folder, 'events');
    await train(out, { saveEvery: 0 }, 2);
    const { size } = statSync(join(out, 'events.jsonl'));
    const { code, stderr } = resumeLimited(out, size);
    expect(code).toBe(1);
    expect(stderr).toContain('events.jsonl');
    await train(out, { saveEvery: 0, resume: true });
    expect(adapter(out)).toBe(adapter(whole));
  });

  it('before the first step says so of run.yaml', () => {
    const out = join(folder, 'no-room-at-all');
    const { model, data } = options;
    const command = ['train', '--out', out, '--model', model, '--data', data[0]!];
    const { status, stderr } = spawnSync(
      'prlimit',
      ['--fsize=300', process.execPath, join(root, 'bin', 'mlit.mjs'), ...command],
      { encoding: 'utf8' },
    );
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /cannot write \S*run\.yaml: the file would be longer .*run the same again \(EFBIG\) \[FILE_IO\]/,
    );
    expect(stderr).not.toContain('File too large');
  });
});

describe('a file that cannot be written', () => {
  it.each([
    ['ENOSPC', 'the disk is full; make room and run the same again (ENOSPC)'],
    ['EDQUOT', 'the disk quota is used up; make room and run the same again (EDQUOT)'],
    [
      'EACCES',
      'this user may not write there; change the rights of its folder, or name another place (EACCES)',
    ],
    ['EROFS', 'the file system is mounted read-only; name another place (EROFS)'],
    ['EIO', 'EIO: as the system says it'],
  ])('is named with what to do: %s', async (code, said) => {
    const file = join(folder, 'table.csv');
    writeFileSync(file, 'before');
    // The system's error on the second piece of what is written.
    const pieces = function* (): Generator<string> {
      yield 'half';
      throw Object.assign(new Error(`${code}: as the system says it`), { code });
    };
    await expect(writeFileAtomic(file, pieces())).rejects.toMatchObject({
      code: 'FILE_IO',
      message: `cannot write ${file}: ${said}`,
      fields: { file },
    });
    expect(readFileSync(file, 'utf8')).toBe('before');
    expect(readdirSync(folder).filter((name) => name.includes('.tmp-'))).toEqual([]);
  });

  it('has a file where a folder is wanted, or too long a name', async () => {
    const file = join(folder, 'plain');
    writeFileSync(file, '');
    await expect(writeFileAtomic(join(file, 'below'), '')).rejects.toThrow(
      /a part of that path is a file; name another place/,
    );
    await expect(makeFolder(join(folder, 'x'.repeat(300)))).rejects.toThrow(
      /longer than the file system allows/,
    );
  });
});
