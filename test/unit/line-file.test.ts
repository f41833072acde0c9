// Files of lines that grow, whoever's: what is a whole line, wherever the file ends, and what a write that failed leaves.
import { readFileSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { LineFile, wholeLines } from '../../lib/native/line-file';
import { scratch } from '../support/fixtures';

const folder = scratch();

it('has its whole lines, wherever it is cut off', () => {
  const bytes = Buffer.from('één\n\nthree\n');
  const ends = [...bytes.keys()].filter((at) => bytes[at] === 10).map((at) => at + 1);
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const { lines, length } = wholeLines(bytes.subarray(0, cut));
    const whole = ends.filter((end) => end <= cut);
    expect(lines).toEqual(['één', '', 'three'].slice(0, whole.length));
    expect(length).toBe(whole.at(-1) ?? 0);
  }
});

it('has no line in blocks that were reserved and not filled, but for one with others behind it, which is damaged', () => {
  expect(wholeLines(Buffer.from('one\n\0\0\0\n'))).toEqual({ lines: ['one'], length: 4 });
  expect(wholeLines(Buffer.from('one\n\0\0\0\ntwo\n')).lines).toEqual(['one', '\0\0\0', 'two']);
});

it('is cut off to its whole lines, then grows; what could not be written whole is not in it', async () => {
  const path = join(folder, 'lines.jsonl');
  writeFileSync(path, 'one\ntw');
  const file = await LineFile.open(path);
  onTestFinished(() => file.close());
  await file.keep(wholeLines(readFileSync(path)).length);
  await file.append(['two', 'three']);
  expect(readFileSync(path, 'utf8')).toBe('one\ntwo\nthree\n');
  const handle = await open(path);
  onTestFinished(() => handle.close());
  const full = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
  const spy = vi.spyOn(Object.getPrototypeOf(handle), 'sync').mockRejectedValueOnce(full);
  onTestFinished(() => spy.mockRestore());
  await expect(file.append(['four'])).rejects.toBe(full);
  expect(readFileSync(path, 'utf8')).toBe('one\ntwo\nthree\n');
  await file.append(['five']);
  expect(readFileSync(path, 'utf8')).toBe('one\ntwo\nthree\nfive\n');
});
