// A folder has one writer, also when many processes find the lock of a dead one at the same moment.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FolderLock, mayLive, takeoverNote, thisProcess } from '../../lib/native/folder-lock';
import { bundle } from '../support/bundle';

const module = await bundle('lib/native/folder-lock.ts');
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mlit-lock-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const gone = (): string =>
  JSON.stringify({ pid: spawnSync(process.execPath, ['-e', '']).pid, host: hostname() });

/** Waits for a line on stdin, tries once to lock the folder of that line, says the outcome, holds what it has. */
const CONTENDER = `
  import { FolderLock } from ${JSON.stringify(module)};
  import { createInterface } from 'node:readline';
  const held = [];
  console.log('ready');
  for await (const folder of createInterface({ input: process.stdin })) {
    try { held.push(await FolderLock.acquire(folder, 'RUN_LOCKED')); console.log('won'); }
    catch (error) { console.log(error.code ?? String(error)); }
  }`;

class Contender {
  readonly child: ChildProcess;
  #lines: string[] = [];
  #wake: () => void = () => undefined;

  constructor() {
    this.child = spawn(process.execPath, ['--input-type=module', '-e', CONTENDER], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.child.stdout!.on('data', (chunk: Buffer) => {
      this.#lines.push(...chunk.toString().trim().split('\n'));
      this.#wake();
    });
  }

  async line(): Promise<string> {
    while (this.#lines.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.#lines.shift()!;
  }
}

describe('FolderLock', () => {
  it('names the holder, and lets in when released', async () => {
    const lock = await FolderLock.acquire(folder, 'STORE_LOCKED');
    await expect(FolderLock.acquire(folder, 'STORE_LOCKED')).rejects.toMatchObject({
      code: 'STORE_LOCKED',
      message: expect.stringContaining(`"pid":${process.pid}`),
    });
    await lock.release();
    await lock.release();
    expect(await readdir(folder)).toEqual([]);
    await (await FolderLock.acquire(folder, 'STORE_LOCKED')).release();
  });

  it.each([
    ['a dead process', gone, /^.*: the process that worked here before \(\{"pid":\d+.*taken over$/],
    ['nobody', () => '{"pid', /before \(unnamed\)/],
    ['one who never wrote a name', () => '', /before \(unnamed\)/],
  ])('takes over the lock of %s, says so and leaves nothing beside it', async (_, text, said) => {
    expect(takeoverNote(folder, await FolderLock.acquire(folder, 'RUN_LOCKED'))).toBeUndefined();
    await writeFile(join(folder, 'run.lock'), text());
    const lock = await FolderLock.acquire(folder, 'RUN_LOCKED');
    expect(takeoverNote(folder, lock)).toMatch(said);
    expect(await readdir(folder)).toEqual(['run.lock']);
    await lock.release();
    expect(await readdir(folder)).toEqual([]);
  });

  it('takes over after one who died while taking over', async () => {
    const file = join(folder, 'run.lock');
    let path = file;
    for (let claims = 0; claims < 3; claims += 1) {
      const text = gone();
      await writeFile(path, text);
      const { ino, mtimeMs } = await stat(path);
      const key = createHash('sha256').update(`${ino} ${mtimeMs} ${text}`).digest('hex').slice(0, 32);
      path = `${file}.tmp-after-${key}`;
    }
    const first = await readFile(file, 'utf8');
    const lock = await FolderLock.acquire(folder, 'RUN_LOCKED');
    expect(await readFile(file, 'utf8')).not.toBe(first);
    expect(await readdir(folder)).toEqual(['run.lock']);
    await lock.release();
  });

  it('sees the owner at the end of a chain that is not tidied up yet', async () => {
    const file = join(folder, 'run.lock');
    const text = gone();
    await writeFile(file, text);
    const { ino, mtimeMs } = await stat(file);
    const key = createHash('sha256').update(`${ino} ${mtimeMs} ${text}`).digest('hex').slice(0, 32);
    await writeFile(`${file}.tmp-after-${key}`, JSON.stringify(thisProcess()));
    await expect(FolderLock.acquire(folder, 'RUN_LOCKED')).rejects.toMatchObject({
      code: 'RUN_LOCKED',
      message: expect.stringContaining(`"pid":${process.pid}`),
    });
  });

  it('respects the lock of another host', async () => {
    await writeFile(join(folder, 'run.lock'), JSON.stringify({ pid: 1, host: 'elsewhere' }));
    await expect(FolderLock.acquire(folder, 'RUN_LOCKED')).rejects.toMatchObject({ code: 'RUN_LOCKED' });
  });

  it('leaves alone a lock that somebody else has made since', async () => {
    const lock = await FolderLock.acquire(folder, 'RUN_LOCKED');
    const other = JSON.stringify({ pid: 1, host: 'elsewhere' });
    await writeFile(join(folder, 'run.lock'), other);
    await lock.release();
    expect(await readFile(join(folder, 'run.lock'), 'utf8')).toBe(other);
  });

  it('says which file it cannot write', async () => {
    await expect(FolderLock.acquire(join(folder, 'missing'), 'RUN_LOCKED')).rejects.toMatchObject({
      code: 'FILE_IO',
      message: expect.stringContaining('missing'),
    });
  });

  it('knows a later process of the same number', () => {
    const self = thisProcess();
    expect(mayLive(self)).toBe(true);
    expect(mayLive({ ...self, started: self.started! - 1 })).toBe(false);
    expect(mayLive(JSON.parse(gone()))).toBe(false);
  });

  it('gives a stale lock to exactly one of many processes', { timeout: 60_000 }, async () => {
    const contenders = Array.from({ length: 20 }, () => new Contender());
    try {
      for (const each of contenders) expect(await each.line()).toBe('ready');
      const stale = gone();
      for (let round = 0; round < 30; round += 1) {
        const contested = await mkdtemp(join(folder, 'round-'));
        await writeFile(join(contested, 'run.lock'), stale);
        for (const each of contenders) each.child.stdin!.write(`${contested}\n`);
        const said = await Promise.all(contenders.map((each) => each.line()));
        expect(said.sort()).toEqual([...Array<string>(19).fill('RUN_LOCKED'), 'won']);
        expect((await readdir(contested)).filter((name) => name.includes('after'))).toEqual([]);
      }
    } finally {
      for (const each of contenders) each.child.kill('SIGKILL');
    }
  });

  it('survives winners that are killed one after another', { timeout: 60_000 }, async () => {
    const contenders = Array.from({ length: 6 }, () => new Contender());
    try {
      for (const each of contenders) expect(await each.line()).toBe('ready');
      const left = new Set(contenders);
      while (left.size > 0) {
        for (const each of left) each.child.stdin!.write(`${folder}\n`);
        const said = await Promise.all([...left].map(async (each) => [each, await each.line()] as const));
        const winners = said.filter(([, line]) => line === 'won').map(([each]) => each);
        expect(winners.length).toBe(1);
        const closed = new Promise((resolve) => winners[0]!.child.on('close', resolve));
        winners[0]!.child.kill('SIGKILL');
        await closed;
        left.delete(winners[0]!);
      }
    } finally {
      for (const each of contenders) each.child.kill('SIGKILL');
    }
  });
});
