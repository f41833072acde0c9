// Reports and stores that cannot be written: the error names the file, what was there stays, and nothing half written is left.

import { chmodSync, mkdirSync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { Store } from '../../lib/experiment/store/store';
import { renderReport, writeReport } from '../../lib/report/write-report';
import { scratch } from '../support/fixtures';
import { results } from '../support/report-results';

const folder = scratch();
chmodSync(folder, 0o755);
const NOBODY = 65534;

/** Every file below, with its text. */
async function contents(path: string): Promise<[string, string][]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(
    files.sort().map(async (file) => [file, await readFile(file, 'utf8')] as [string, string]),
  );
}

/** Without the rights of root, which may write everywhere. */
async function asNobody(work: () => Promise<unknown>): Promise<void> {
  const isRoot = process.getuid!() === 0;
  if (isRoot) process.seteuid!(NOBODY);
  try {
    await work();
  } finally {
    if (isRoot) process.seteuid!(0);
  }
}

/** The disk is full when the `nth` file is written, in the middle of it. */
async function onFullDisk(nth: number, work: () => Promise<unknown>): Promise<void> {
  const handle = await open(join(folder, '.'), 'r');
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  const write = prototype.writeFile;
  let files = 0;
  const spy = vi.spyOn(prototype, 'writeFile').mockImplementation(async function (
    this: FileHandle,
    data: Parameters<FileHandle['writeFile']>[0],
  ) {
    files += 1;
    if (files < nth) return write.call(this, data);
    await this.write('half');
    throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  });
  try {
    await work();
  } finally {
    spy.mockRestore();
  }
}

describe('a report', () => {
  const other = { ...results, warnings: [...results.warnings, 'another'] };

  it('on a disk that fills up leaves the one that was there, and names the file', async () => {
    const place = join(folder, 'full', 'report');
    const written = await writeReport(results, place);
    const before = await contents(join(folder, 'full'));
    expect(before.map(([file]) => file)).toEqual(written);
    for (const nth of [1, 4]) {
      const file = [...(await renderReport(results)).keys()][nth - 1]!;
      await onFullDisk(nth, async () => {
        await expect(writeReport(other, place)).rejects.toMatchObject({
          code: 'FILE_IO',
          message: `cannot write ${join(place, file)}: the disk is full; make room and run the same again (ENOSPC)`,
          fields: { file: join(place, file) },
        });
      });
      expect(await contents(join(folder, 'full'))).toEqual(before);
    }
    await writeReport(other, place);
    expect(await contents(join(folder, 'full'))).not.toEqual(before);
  });

  it('in a folder without the right to write names it', async () => {
    const closed = join(folder, 'closed');
    mkdirSync(closed, { mode: 0o555 });
    await renderReport(results); // loads what it draws with
    await asNobody(async () => {
      await expect(writeReport(results, join(closed, 'report'))).rejects.toMatchObject({
        code: 'FILE_IO',
        message: expect.stringMatching(/closed\/report.*: this user may not write there; .*\(EACCES\)/),
      });
    });
    expect(await readdir(closed)).toEqual([]);
  });

  it('where a file stands in its place, or above it, names that', async () => {
    const file = join(folder, 'file');
    await writeFile(file, 'mine');
    for (const place of [file, join(file, 'report')]) {
      await expect(writeReport(results, place)).rejects.toMatchObject({
        code: 'FILE_IO',
        message: expect.stringMatching(/cannot write the report .*file.*a part of that path is a file/),
      });
    }
    expect(await readFile(file, 'utf8')).toBe('mine');
    expect((await readdir(folder)).filter((name) => name.includes('.part-'))).toEqual([]);
  });
});

describe('a store', () => {
  const files = (text: string) => ({ 'experiment.yaml': text, 'graph.json': `{"text": "${text}"}` });

  it('on a disk that fills up keeps each file of an experiment as it was, and names the one', async () => {
    const place = join(folder, 'store');
    await using store = await Store.open(place, { write: true });
    await store.experiments.write('one', files('before'));
    const before = await contents(place);
    for (const [nth, name] of [
      [1, 'experiment.yaml'],
      [2, 'graph.json'],
    ] as const) {
      await onFullDisk(nth, async () => {
        await expect(store.experiments.write('one', files('before'))).rejects.toMatchObject({
          code: 'FILE_IO',
          message: expect.stringMatching(new RegExp(`is full.*one/${name}: ENOSPC`)),
        });
      });
      expect(await contents(place)).toEqual(before);
    }
    await store.experiments.write('one', files('after'));
    expect(await contents(place)).not.toEqual(before);
  });

  it('in a folder without the right to write names it, and leaves nothing', async () => {
    const closed = join(folder, 'closed-store');
    mkdirSync(closed, { mode: 0o555 });
    await asNobody(async () => {
      for (const place of [closed, join(closed, 'store')])
        await expect(Store.open(place, { write: true })).rejects.toMatchObject({
          code: 'FILE_IO',
          message: expect.stringMatching(/closed-store.*: this user may not write there/),
        });
    });
    expect(await readdir(closed)).toEqual([]);
  });

  it.each(['.', 'jobs', 'experiments'])('where a file stands in the place of %s names that', async (at) => {
    const place = join(folder, `blocked-${at.length}`);
    if (at === '.') await writeFile(place, 'mine');
    else {
      await mkdir(place);
      await writeFile(join(place, at), 'mine');
    }
    const writing = async () => {
      await using store = await Store.open(place, { write: true });
      await store.experiments.write('one', files('x'));
    };
    await expect(writing()).rejects.toMatchObject({
      code: 'FILE_IO',
      message: expect.stringMatching(new RegExp(`${join(place, at)}.* is a file`)),
    });
    expect(await readFile(join(place, at), 'utf8')).toBe('mine');
  });

  it('where a folder stands in the place of its journal names that', async () => {
    const place = join(folder, 'journal');
    await mkdir(join(place, 'jobs.jsonl'), { recursive: true });
    await expect(Store.open(place, { write: true })).rejects.toMatchObject({
      code: 'FILE_IO',
      message: expect.stringContaining(join(place, 'jobs.jsonl')),
    });
    expect(await readdir(place)).not.toContain('run.lock');
  });
});
