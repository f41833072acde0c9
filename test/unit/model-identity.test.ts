// The model that a run goes on with is the one it began with: told by its bytes, whatever they are called and wherever they lie,
// and of a model on a hub by its commit, whatever has become of the branch.
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { Trainer, type TrainerOptions } from '../../lib/index';
import { modelIdentity } from '../../lib/model/weight-files';
import { fixture, scratch, writeRecords } from '../support/fixtures';
import { commitOf, type FakeHub, startHub, stopAfterEach } from '../support/hub';

const folder = scratch();
const data = writeRecords(join(folder, 'train.jsonl'), 24);
const base = { data: [data], rank: 2, batchExamples: 4, saveEvery: 1, threads: 1 };

/** Trains one step of a run, leaving the rest. */
async function begin(options: TrainerOptions): Promise<void> {
  await using trainer = await Trainer.create(options);
  const run = trainer.start();
  for await (const event of run) if (event.type === 'step') run.stop();
  await run.done;
}

async function goOn(out: string, given: Partial<TrainerOptions> = {}): Promise<number> {
  await using trainer = await Trainer.create({ ...given, out, resume: true } as TrainerOptions);
  return trainer.step;
}

/** Other numbers at the end of the weights: same size, same header. */
function changeWeights(file: string): void {
  const bytes = readFileSync(file);
  bytes[bytes.length - 2] = bytes[bytes.length - 2]! ^ 1;
  writeFileSync(file, bytes);
}

describe('modelIdentity', () => {
  it('is the same for the same bytes, and another for one other byte, also of files that are sampled', async () => {
    const file = join(folder, 'large.gguf');
    const bytes = Buffer.alloc(33 * 2 ** 20, 'weights');
    writeFileSync(file, bytes);
    const first = await modelIdentity(file, 'gguf');
    writeFileSync(file, bytes);
    expect(await modelIdentity(file, 'gguf')).toBe(first);
    for (const at of [0, 8 * 2 ** 20 - 1, bytes.length - 1]) {
      const changed = Buffer.from(bytes);
      changed[at] = 0;
      writeFileSync(file, changed);
      expect(await modelIdentity(file, 'gguf'), `byte ${at}`).not.toBe(first);
    }
    writeFileSync(file, bytes.subarray(0, -1));
    expect(await modelIdentity(file, 'gguf')).not.toBe(first);
  });

  it('covers every shard and the configuration', async () => {
    const copy = join(folder, 'sharded');
    cpSync(fixture('llama-tiny', 'sharded'), copy, { recursive: true });
    const first = await modelIdentity(copy, 'folder');
    const index = JSON.parse(readFileSync(join(copy, 'model.safetensors.index.json'), 'utf8'));
    const shards = [...new Set(Object.values(index.weight_map as Record<string, string>))];
    expect(shards.length).toBeGreaterThan(1);
    for (const name of [...shards, 'config.json']) {
      const before = readFileSync(join(copy, name));
      changeWeights(join(copy, name));
      expect(await modelIdentity(copy, 'folder'), name).not.toBe(first);
      writeFileSync(join(copy, name), before);
    }
    rmSync(join(copy, shards[0]!));
    await expect(modelIdentity(copy, 'folder')).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });
});

describe('a model on this machine', () => {
  it('may be elsewhere when a run goes on, and may not be another', async () => {
    const model = join(folder, 'model.gguf');
    cpSync(fixture('smol-tiny', 'model.gguf'), model);
    const out = join(folder, 'run');
    await begin({ ...base, model, out });
    const moved = join(folder, 'moved.gguf');
    cpSync(model, moved);
    expect(await goOn(out, { model: moved, data: [data], relocate: true })).toBe(1);
    changeWeights(model);
    await expect(goOn(out)).rejects.toMatchObject({
      code: 'STATE_MISMATCH',
      message: expect.stringMatching(/model\.gguf is not the model that the run was started with/),
    });
  });

  it.each<[string, (file: string) => void]>([
    ['rewritten', changeWeights],
    ['cut', (file) => truncateSync(file, 300_000)],
    ['removed', (file) => rmSync(file)],
  ])('that is %s while it is read is refused', async (_, harm) => {
    const model = join(folder, 'harmed.gguf');
    cpSync(fixture('smol-tiny', 'model.gguf'), model);
    let harmed = false;
    const onLoad = () => {
      if (!harmed) harm(model);
      harmed = true;
    };
    const out = join(folder, 'harmed');
    await expect(Trainer.create({ ...base, model, out, onLoad })).rejects.toMatchObject({
      code: expect.stringMatching(/^FILE_(DAMAGED|NOT_FOUND)$/),
    });
  });
});

describe('a model on a hub', () => {
  let home: string;
  let hub: FakeHub;
  const files = (name: string): Record<string, string | Buffer> => {
    const read = (file: string) => readFileSync(fixture('smol-tiny', 'model', file));
    const names = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'];
    return { ...Object.fromEntries(names.map((file) => [file, read(file)])), 'README.md': name };
  };
  beforeEach(async () => {
    home = mkdtempSync(join(folder, 'hub-'));
    hub = await startHub(home);
    hub.add('models/someone/tiny', files('first'));
  });
  stopAfterEach(() => hub);
  afterEach(() => rmSync(home, { recursive: true }));

  it('is the recorded commit when a run goes on, and the adapter names it', async () => {
    const out = join(home, 'run');
    await begin({ ...base, model: 'hf:someone/tiny', out });
    const record = parse(readFileSync(join(out, 'run.yaml'), 'utf8'));
    expect(record.options.model).toBe('hf:someone/tiny');
    expect(record.chosen.modelCommit).toBe(commitOf('a'));
    const repo = hub.repos['models/someone/tiny']!;
    const next = files('second');
    const weights = Buffer.from(next['model.safetensors'] as Buffer);
    weights[weights.length - 1] = weights[weights.length - 1]! ^ 1;
    repo.commits[commitOf('b')] = { ...next, 'model.safetensors': weights };
    repo.refs.main = commitOf('b');
    expect(await goOn(out, { model: 'hf:someone/tiny' })).toBe(1);
    await using trainer = await Trainer.create({ out, resume: true } as TrainerOptions);
    const { adapter } = await trainer.start().done;
    const config = JSON.parse(readFileSync(join(adapter!, 'adapter_config.json'), 'utf8'));
    expect(config.base_model_name_or_path).toBe('someone/tiny');
  });

  it('that is gone from hub and cache is asked for by name', async () => {
    const out = join(home, 'run');
    await begin({ ...base, model: 'hf:someone/tiny', out });
    const repo = hub.repos['models/someone/tiny']!;
    repo.refs.main = commitOf('b');
    repo.commits = { [commitOf('b')]: files('second') };
    expect(await goOn(out)).toBe(1); // the cache has it
    rmSync(join(home, 'hub'), { recursive: true });
    await expect(goOn(out)).rejects.toMatchObject({
      code: 'DOWNLOAD_FAILED',
      message: expect.stringMatching(new RegExp(`hf:someone/tiny@${commitOf('a')}.*no such revision`)),
    });
  });
});
