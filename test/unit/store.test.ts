// What a store promises: a finished job stays finished whatever happens to the process, the machine or the disk, and one
// that is not whole is never taken for finished.
import { spawn, spawnSync } from 'node:child_process';
import {
  appendFile,
  type FileHandle,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ProgressWriter, readProgress } from '../../lib/experiment/store/progress';
import { explainFullDisk, Store } from '../../lib/experiment/store/store';
import { isMlitError, MlitError } from '../../lib/native/errors';
import { bundle } from '../support/bundle';

const module = await bundle('lib/experiment/store/store.ts');
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mlit-store-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const hashOf = (n: number): string => n.toString(16).padStart(32, '0');
const job = (hash: string) => ({
  hash,
  kind: 'mix' as const,
  description: { kind: 'mix', seed: 1 },
  startedAt: '2024-01-01T00:00:00.000Z',
  seconds: 1.5,
  host: 'here',
  threads: 2,
  summary: { examples: 3 },
});
const writing = { write: true };
const reading = { write: false };

async function finish(store: Store, hash: string, text = 'x'): Promise<void> {
  const part = await store.begin(hash);
  await mkdir(join(part, 'deep'), { recursive: true });
  await writeFile(join(part, 'deep', 'a.txt'), text);
  await writeFile(join(part, 'b.jsonl'), `${text}\n`);
  await store.commit(job(hash));
}

async function failure(work: Promise<unknown>): Promise<MlitError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(isMlitError(error), String(error)).toBe(true);
  return error as MlitError;
}

describe('Store', () => {
  it('keeps what is finished, with the names and hashes of its files', async () => {
    await using store = await Store.open(folder, writing);
    await finish(store, hashOf(1), 'hello');
    await store.close();
    const again = await Store.open(folder, reading);
    expect(again.finished(hashOf(1))).toEqual({
      version: 1,
      ...job(hashOf(1)),
      outputs: {
        'b.jsonl': {
          bytes: 6,
          sha256: '5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03',
        },
        'deep/a.txt': {
          bytes: 5,
          sha256: '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824',
        },
      },
    });
    expect(await readFile(again.outputPath(hashOf(1), 'deep/a.txt'), 'utf8')).toBe('hello');
    expect(() => again.outputPath(hashOf(1), 'c')).toThrow(/no output c \(b\.jsonl, deep\/a\.txt\)/);
    expect(() => again.outputPath(hashOf(2), 'c')).toThrow(/not finished/);
    expect(await again.verify(hashOf(1))).toBe(true);
    await expect(again.begin(hashOf(2))).rejects.toThrow(/not open for writing/);
  });

  it('gives an interrupted job its files back, and removes them when it is abandoned', async () => {
    const store = await Store.open(folder, writing);
    await writeFile(join(await store.begin(hashOf(1)), 'half'), 'way');
    await store.close();
    await using again = await Store.open(folder, writing);
    expect(again.finished(hashOf(1))).toBeUndefined();
    expect(await readFile(join(await again.begin(hashOf(1)), 'half'), 'utf8')).toBe('way');
    await again.abandon(hashOf(1));
    expect(await readdir(join(folder, 'jobs'))).toEqual([]);
  });

  it('refuses names that are not hashes, and finishing twice', async () => {
    await using store = await Store.open(folder, writing);
    await expect(store.begin('../../etc')).rejects.toThrow(TypeError);
    await finish(store, hashOf(1));
    await expect(store.begin(hashOf(1))).rejects.toThrow(/finished already/);
  });

  it('does not keep locks and temporary files of a job', async () => {
    await using store = await Store.open(folder, writing);
    const part = await store.begin(hashOf(1));
    await writeFile(join(part, 'run.lock'), '');
    await writeFile(join(part, 'a.tmp-12'), '');
    await writeFile(join(part, 'a'), '1');
    const { outputs } = await store.commit(job(hashOf(1)));
    expect(Object.keys(outputs)).toEqual(['a']);
    expect((await readdir(join(folder, 'jobs', hashOf(1)))).sort()).toEqual(['a', 'job.json']);
  });

  it('says that there is no store, and makes none, when reading', async () => {
    const error = await failure(Store.open(join(folder, 'none'), reading));
    expect(error).toMatchObject({ code: 'STORE_INVALID', message: expect.stringContaining('no store.json') });
    expect(await readdir(folder)).toEqual([]);
  });

  it('names a newer version and what to do, and touches nothing', async () => {
    await writeFile(join(folder, 'store.json'), '{"version":7,"packageVersion":"9.1.0"}');
    for (const options of [reading, writing]) {
      const error = await failure(Store.open(folder, options));
      expect(error.code).toBe('STORE_INVALID');
      expect(error.message).toMatch(/version 7, written by mlit-native 9\.1\.0.*Update mlit-native/);
      expect(error.fields).toMatchObject({ version: 7, expected: 1 });
    }
    await writeFile(join(folder, 'store.json'), '{"version":"x"}');
    expect((await failure(Store.open(folder, writing))).message).toMatch(/expected 1, found "x"/);
    await writeFile(join(folder, 'store.json'), '{"ver');
    expect((await failure(Store.open(folder, writing))).message).toMatch(/store\.json: .*JSON/);
  });

  it('keeps a second writer out and names the first; readers come in', async () => {
    const store = await Store.open(folder, writing);
    const error = await failure(Store.open(folder, writing));
    expect(error).toMatchObject({
      code: 'STORE_LOCKED',
      message: expect.stringContaining(`${process.pid}`),
    });
    await finish(store, hashOf(1));
    expect((await Store.open(folder, reading)).jobs()).toHaveLength(1);
    await store.close();
    await (await Store.open(folder, writing)).close();
  });

  it('drops a torn last line, and cuts it off when writing', async () => {
    const store = await Store.open(folder, writing);
    await finish(store, hashOf(1));
    await finish(store, hashOf(2));
    await store.close();
    const file = join(folder, 'jobs.jsonl');
    const whole = await readFile(file, 'utf8');
    const [first] = whole.split('\n');
    await rm(join(folder, 'jobs', hashOf(2)), { recursive: true });
    for (let end = first!.length + 2; end < whole.length; end += 37) {
      await writeFile(file, whole.slice(0, end));
      expect((await Store.open(folder, reading)).jobs().map(({ hash }) => hash)).toEqual([hashOf(1)]);
      expect(await readFile(file, 'utf8')).toBe(whole.slice(0, end));
      await (await Store.open(folder, writing)).close();
      expect(await readFile(file, 'utf8')).toBe(`${first}\n`);
    }
    await writeFile(file, `${first}\n\0\0\0\0\n`);
    await using last = await Store.open(folder, writing);
    expect(last.jobs()).toHaveLength(1);
  });

  it('names the line that is damaged in the middle', async () => {
    const store = await Store.open(folder, writing);
    for (const n of [1, 2, 3]) await finish(store, hashOf(n));
    await store.close();
    const file = join(folder, 'jobs.jsonl');
    const lines = (await readFile(file, 'utf8')).split('\n');
    for (const damage of ['{"version":1,', '{"version":2}', 'null']) {
      await writeFile(file, [lines[0], damage, lines[2], ''].join('\n'));
      for (const options of [reading, writing]) {
        const error = await failure(Store.open(folder, options));
        expect(error).toMatchObject({ code: 'STORE_INVALID', fields: { line: 2 } });
        expect(error.message).toContain('jobs.jsonl:2:');
      }
    }
  });

  it('takes back a complete folder that lost its line, and not one that is not whole', async () => {
    const store = await Store.open(folder, writing);
    for (const n of [1, 2]) await finish(store, hashOf(n));
    await store.close();
    const file = join(folder, 'jobs.jsonl');
    const whole = await readFile(file, 'utf8');
    await writeFile(file, '');
    await writeFile(join(folder, 'jobs', hashOf(2), 'b.jsonl'), 'y\n');
    await mkdir(join(folder, 'jobs', hashOf(3)));
    await using again = await Store.open(folder, writing);
    expect(again.jobs().map(({ hash }) => hash)).toEqual([hashOf(1)]);
    expect(await readFile(file, 'utf8')).toBe(`${whole.split('\n')[0]}\n`);
    await finish(again, hashOf(2));
    await finish(again, hashOf(3));
    expect(again.jobs()).toHaveLength(3);
  });

  it('does again what has lost or changed its files, and says so', async () => {
    const store = await Store.open(folder, writing);
    for (const n of [1, 2, 3]) await finish(store, hashOf(n));
    await store.close();
    await rm(join(folder, 'jobs', hashOf(1)), { recursive: true });
    await writeFile(join(folder, 'jobs', hashOf(2), 'b.jsonl'), 'longer\n');
    await writeFile(join(folder, 'jobs', hashOf(3), 'b.jsonl'), 'y\n');
    const notes: string[] = [];
    await using again = await Store.open(folder, { ...writing, onNote: (note) => notes.push(note) });
    expect(again.jobs().map(({ hash }) => hash)).toEqual([hashOf(3)]);
    expect(await again.verify(hashOf(3))).toBe(false);
    expect(await again.verify(hashOf(3))).toBe(false);
    expect(again.finished(hashOf(3))).toBeUndefined();
    expect(notes.map((note) => note.replace(/.*: \S+ /, ''))).toEqual([
      'is missing',
      'has 7 bytes, not 2',
      'has other contents than when it was written',
    ]);
    for (const n of [1, 2, 3]) await finish(again, hashOf(n), 'anew');
    await again.close();
    expect((await Store.open(folder, reading)).jobs()).toHaveLength(3);
  });

  it('keeps experiments beside the jobs', async () => {
    await using store = await Store.open(folder, writing);
    const { experiments } = store;
    expect(await experiments.list()).toEqual([]);
    const graph = {
      version: 1,
      experiment: 'e2',
      protocol: 'e2',
      spec: {},
      arms: [],
      seeds: [1],
      models: [],
      estimates: {},
    };
    await experiments.write('e2-cldr', { 'graph.json': JSON.stringify(graph), 'report/a.md': '# A' });
    expect(await experiments.list()).toEqual(['e2-cldr']);
    expect(await experiments.graph('e2-cldr')).toEqual(graph);
    expect(await experiments.read('e2-cldr', 'report/a.md')).toBe('# A');
    expect(await experiments.read('e2-cldr', 'none')).toBeUndefined();
    await expect(experiments.write('../x', {})).rejects.toThrow(RangeError);
    for (const text of ['{', '{"version":2}']) {
      await experiments.write('e2-cldr', { 'graph.json': text });
      expect((await failure(experiments.graph('e2-cldr'))).message).toMatch(
        /graph\.json.*run the experiment/,
      );
    }
  });

  it('stops opening when it is told to', async () => {
    const store = await Store.open(folder, writing);
    await finish(store, hashOf(1));
    await store.close();
    await expect(Store.open(folder, { ...writing, signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
    await (await Store.open(folder, writing)).close();
  });
});

describe('any sequence of begins, commits, abandons and reopenings', () => {
  const step = fc.record({
    act: fc.constantFrom('write', 'commit', 'abandon', 'reopen', 'lose the line', 'tear') as fc.Arbitrary<
      'write' | 'commit' | 'abandon' | 'reopen' | 'lose the line' | 'tear'
    >,
    job: fc.integer({ min: 1, max: 3 }),
  });

  it('ends with the jobs that were committed, their files whole', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const root = await mkdtemp(join(folder, 'any-'));
        const journal = join(root, 'jobs.jsonl');
        let store = await Store.open(root, writing);
        const done = new Set<string>();
        const begun = new Set<string>();
        for (const { act, job: n } of steps) {
          const hash = hashOf(n);
          if (act === 'write' && !done.has(hash)) {
            await appendFile(join(await store.begin(hash), 'lines'), 'l\n');
            begun.add(hash);
          } else if (act === 'commit' && begun.delete(hash)) {
            await store.commit(job(hash));
            done.add(hash);
          } else if (act === 'abandon') {
            await store.abandon(hash);
            begun.delete(hash);
          } else if (act === 'reopen') {
            await store.close();
            store = await Store.open(root, writing);
          } else if (act === 'lose the line' || act === 'tear') {
            await store.close();
            const text = await readFile(journal, 'utf8');
            const lines = text.split('\n');
            const kept = act === 'tear' ? text.slice(0, -3) : `${lines.slice(0, -2).join('\n')}\n`;
            await writeFile(journal, kept === '\n' ? '' : kept);
            store = await Store.open(root, writing);
          }
          expect(new Set(store.jobs().map(({ hash }) => hash))).toEqual(done);
        }
        for (const hash of done) expect(await store.verify(hash)).toBe(true);
        await store.close();
      }),
      { numRuns: 40 },
    );
  });
});

/** Finishes jobs from number `from` on, with a file of random length each, and says each that is finished. */
const WORKER = `
  import { explainFullDisk, Store } from ${JSON.stringify(module)};
  import { writeFileSync } from 'node:fs';
  const [folder, from, most] = [process.argv[1], Number(process.argv[2]), Number(process.argv[3])];
  const report = (error) => { console.log(JSON.stringify({ code: error.code, message: error.message, name: error.name })); process.exit(3); };
  try {
    const store = await Store.open(folder, { write: true });
    console.log('open');
    for (let n = from; n < from + most; n += 1) {
      const hash = n.toString(16).padStart(32, '0');
      if (store.finished(hash)) continue;
      const part = await store.begin(hash);
      writeFileSync(part + '/data', String(n).repeat(1 + (n * 7919) % 20000));
      await store.commit({ hash, kind: 'mix', description: { n }, startedAt: '', seconds: 0, host: '', threads: 1, summary: {} });
      console.log(String(n));
    }
    await store.close();
  } catch (error) { report(await explainFullDisk(error, folder)); }`;

const worker = (args: readonly string[]) =>
  spawn(process.execPath, ['--input-type=module', '-e', WORKER, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });

describe('a process that is killed', () => {
  it('loses no job that it called finished, and the next one goes on', { timeout: 60_000 }, async () => {
    const said = new Set<number>();
    // On a busy machine a process may be killed before it has finished a job: enough kills, and enough jobs.
    for (let kill = 0; kill < 20 || (said.size <= 20 && kill < 60); kill += 1) {
      const child = worker([folder, '1', '100000']);
      const lines: string[] = [];
      const opened = new Promise<void>((resolve) =>
        child.stdout.on('data', (chunk: Buffer) => {
          lines.push(chunk.toString());
          resolve();
        }),
      );
      const closed = new Promise((resolve) => child.on('close', resolve));
      await opened;
      await setTimeout((kill * 13) % 97);
      child.kill('SIGKILL');
      await closed;
      const [first, ...rest] = lines.join('').split('\n');
      expect(first).toBe('open');
      for (const line of rest.slice(0, -1)) said.add(Number(line));
      const store = await Store.open(folder, reading);
      const listed = new Set(store.jobs().map(({ hash }) => Number.parseInt(hash, 16)));
      expect([...said].filter((n) => !listed.has(n))).toEqual([]);
      for (const { hash } of store.jobs()) expect(await store.verify(hash)).toBe(true);
    }
    expect(said.size).toBeGreaterThan(20);
    await using store = await Store.open(folder, writing);
    const parts = (await readdir(join(folder, 'jobs'))).filter((name) => name.endsWith('.part'));
    expect(parts.length).toBeLessThanOrEqual(1);
    expect(store.jobs().length).toBeGreaterThanOrEqual(said.size);
  });
});

describe('a full disk', () => {
  const full = /disk or quota of .* is full \(.* MiB free\).*what is finished stays/;

  it('keeps the journal as it was and says so', async () => {
    const store = await Store.open(folder, writing);
    await finish(store, hashOf(1));
    const file = join(folder, 'jobs.jsonl');
    const before = await readFile(file, 'utf8');
    const handle = await open(file, 'r');
    const prototype = Object.getPrototypeOf(handle) as FileHandle;
    await handle.close();
    const append = vi.spyOn(prototype, 'appendFile').mockImplementation(async function (
      this: FileHandle,
      data: string | Uint8Array,
    ) {
      await this.write((data as Uint8Array).subarray(0, 9));
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    });
    try {
      expect(await failure(finish(store, hashOf(2)))).toMatchObject({
        code: 'FILE_IO',
        message: expect.stringMatching(full),
        fields: { free: expect.any(Number) },
      });
    } finally {
      append.mockRestore();
    }
    expect(await readFile(file, 'utf8')).toBe(before);
    expect(store.finished(hashOf(2))).toBeUndefined();
    await store.close();
    await using again = await Store.open(folder, writing);
    expect(again.jobs()).toHaveLength(2);
    expect(await again.verify(hashOf(2))).toBe(true);
  });

  it('goes on when there is room again', { timeout: 60_000 }, async (context) => {
    const run = (shell: string) =>
      spawnSync('unshare', ['-rm', 'sh', '-c', shell, 'sh', folder, process.execPath, WORKER], {
        encoding: 'utf8',
      });
    if (run('mount -t tmpfs -o size=64k none "$1"').status !== 0) {
      context.skip('this user may not mount a file system of its own');
    }
    const out = await mkdtemp(join(tmpdir(), 'mlit-store-'));
    try {
      const { stdout } = run(`mkdir "$1/full" && mount -t tmpfs -o size=512k none "$1/full"
        "$2" --input-type=module -e "$3" "$1/full" 1 400
        cp -a "$1/full/." ${out}`);
      const [opened, ...lines] = stdout.trim().split('\n');
      expect(opened).toBe('open');
      expect(JSON.parse(lines.pop()!)).toMatchObject({
        code: 'FILE_IO',
        message: expect.stringMatching(full),
      });
      const store = await Store.open(out, writing);
      const listed = store.jobs().map(({ hash }) => Number.parseInt(hash, 16));
      expect(lines.length).toBeGreaterThan(3);
      for (const line of lines) expect(listed).toContain(Number(line));
      for (const { hash } of store.jobs()) expect(await store.verify(hash)).toBe(true);
      expect((await readdir(out)).sort()).toEqual(['jobs', 'jobs.jsonl', 'run.lock', 'store.json']);
      await finish(store, hashOf(listed.length + 1));
      await store.close();
    } finally {
      await rm(out, { recursive: true, force: true });
    }
  });

  it('is seen behind other errors, and nothing else is taken for it', async () => {
    const cause = Object.assign(new Error('EDQUOT: quota'), { code: 'EDQUOT' });
    const wrapped = new MlitError('FILE_IO', 'cannot write x', { cause });
    expect(await explainFullDisk(wrapped, folder)).toMatchObject({ message: expect.stringMatching(full) });
    const native = new MlitError('FILE_IO', 'x: No space left on device');
    expect(await explainFullDisk(native, folder)).toMatchObject({ message: expect.stringMatching(full) });
    const explained = await explainFullDisk(wrapped, folder);
    expect(await explainFullDisk(explained, 'elsewhere')).toBe(explained);
    const other = new MlitError('FILE_IO', 'x: Permission denied');
    expect(await explainFullDisk(other, folder)).toBe(other);
  });
});

describe('progress', () => {
  const now = {
    experiment: 'e',
    job: hashOf(1),
    kind: 'train' as const,
    fraction: 0.5,
    underWay: { [hashOf(1)]: 0.5 },
    detail: 'step 1/2',
  };

  it('shows the latest, once a second at most, and whether its writer lives', async () => {
    const writer = new ProgressWriter(folder);
    expect(await readProgress(folder)).toBeUndefined();
    for (let n = 0; n <= 10; n += 1) writer.update({ ...now, fraction: n / 10 });
    await setTimeout(100);
    expect(await readProgress(folder)).toMatchObject({ fraction: 1, alive: true, pid: process.pid });
    writer.update({ ...now, fraction: 0.25 });
    await setTimeout(100);
    expect(await readProgress(folder)).toMatchObject({ fraction: 1 });
    await setTimeout(1100);
    const record = await readProgress(folder);
    expect(record).toMatchObject({ ...now, fraction: 0.25 });
    const { alive: _, ...kept } = record!;
    await writeFile(join(folder, 'progress.json'), JSON.stringify({ ...kept, started: kept.started! - 1 }));
    expect(await readProgress(folder)).toMatchObject({ alive: false });
    await writeFile(join(folder, 'progress.json'), '{');
    expect(await readProgress(folder)).toBeUndefined();
    await writer.close();
    expect(await readdir(folder)).toEqual([]);
  });
});
