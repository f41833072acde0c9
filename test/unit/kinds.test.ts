// A model given as an adapter, an adapter as a model, a run as either: the message says what the file is and what to name.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Adapter, exportModel, Model, planTraining, resolveModel } from '../../lib/index';
import { fixture, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();
const model = fixture('smol-tiny', 'model');
const adapter = fixture('smol-tiny', 'adapter');
const ggufModel = fixture('smol-tiny', 'model.gguf');
const ggufAdapter = join(folder, 'adapter.gguf');
const run = join(folder, 'run');
const empty = join(folder, 'empty');
const text = join(folder, 'notes.txt');
let base: Model;

beforeAll(async () => {
  await exportModel({ model, adapter, out: ggufAdapter, format: 'gguf-adapter' });
  mkdirSync(run);
  mkdirSync(empty);
  writeFileSync(join(run, 'run.yaml'), '');
  writeFileSync(text, '');
  base = await Model.load({ model, threads: 1 });
});
afterAll(() => base.dispose());

describe('as a model', () => {
  it.each([
    ['a PEFT folder', () => adapter, /adapter is the folder of a LoRA adapter; give smol-tiny as the model/],
    [
      'a GGUF adapter',
      () => ggufAdapter,
      /adapter.gguf is a LoRA adapter as a GGUF file.*expected a model’s own/,
    ],
    ['a run', () => run, /run is the folder of a training run; its result is .*run\/model .*run\/adapter/],
    [
      'another folder',
      () => empty,
      /without config.json; expected a Hugging Face model’s folder, or a .gguf/,
    ],
    ['tensors', () => join(model, 'model.safetensors'), /tensors alone; name the folder/],
    ['another file', () => text, /neither a .gguf file nor the folder/],
  ])('%s is called what it is', async (_, path, message) => {
    await expect(resolveModel(path())).rejects.toMatchObject({
      code: 'MODEL_UNSUPPORTED',
      message: expect.stringMatching(message),
    });
  });

  it('a name as the hub has it is told how it is spelt', async () => {
    await expect(resolveModel('owner/some-model')).rejects.toMatchObject({
      code: 'UNKNOWN_MODEL',
      message: expect.stringMatching(/; did you mean hf:owner\/some-model\?$/),
    });
  });

  it('a folder with both is one', async () => {
    const both = join(folder, 'both');
    cpSync(model, both, { recursive: true });
    cpSync(join(adapter, 'adapter_config.json'), join(both, 'adapter_config.json'));
    expect((await resolveModel(both)).kind).toBe('folder');
    expect((await resolveModel(ggufModel)).kind).toBe('gguf');
  });

  it('a folder without a tokenizer says which files to copy', async () => {
    const bare = join(folder, 'bare');
    cpSync(model, bare, { recursive: true });
    rmSync(join(bare, 'tokenizer.json'));
    await expect(Model.load({ model: bare, threads: 1 })).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
      message: expect.stringMatching(/no tokenizer.json in this model's folder; copy tokenizer.json, /),
    });
  });
});

describe('as an adapter', () => {
  it.each([
    [
      'a GGUF model',
      () => ggufModel,
      'MODEL_UNSUPPORTED',
      /model.gguf is a model as a GGUF file: give it as the model/,
    ],
    [
      'a GGUF adapter',
      () => ggufAdapter,
      'MODEL_UNSUPPORTED',
      /adapter.gguf is a LoRA adapter as a GGUF file.*llama.cpp/,
    ],
    ['a model', () => model, 'MODEL_UNSUPPORTED', /model is the folder of a model: give it as the model/],
    ['a run', () => run, 'MODEL_UNSUPPORTED', /training run: name .*run\/adapter;/],
    [
      'its tensors',
      () => join(adapter, 'adapter_model.safetensors'),
      'MODEL_UNSUPPORTED',
      /name the adapter’s folder/,
    ],
    [
      'nothing',
      () => join(folder, 'none'),
      'FILE_NOT_FOUND',
      /there is no folder .*none; expected a PEFT folder/,
    ],
    ['another folder', () => empty, 'FILE_NOT_FOUND', /no adapter_config.json in .*empty; expected a PEFT/],
  ])('%s is called what it is', async (_, path, code, message) => {
    const wanted = { code, message: expect.stringMatching(message) };
    await expect(Adapter.load(base, path())).rejects.toMatchObject(wanted);
    const out = join(folder, 'never');
    const exporting = exportModel({ model, adapter: path(), out, format: 'safetensors' });
    await expect(exporting).rejects.toMatchObject(wanted);
    const data = [writeRecords(join(folder, 'train.jsonl'), 4)];
    await expect(planTraining({ model, data, initAdapter: path() })).rejects.toMatchObject(wanted);
  });
});

describe('an adapter of another model', () => {
  const foreign = fixture('llama-tiny', 'adapter');
  const wanted = {
    code: 'TENSOR_MISMATCH',
    message: expect.stringMatching(
      /adapter does not fit: it was trained on llama-tiny, and the model is .*smol-tiny\/model; give that base .*\(.*has shape/,
    ),
    fields: expect.objectContaining({ base: 'llama-tiny', adapter: foreign }),
  };

  it('is refused with both names', async () => {
    await expect(Adapter.load(base, foreign)).rejects.toMatchObject(wanted);
    for (const format of ['safetensors', 'gguf-adapter'] as const) {
      const out = join(folder, format === 'safetensors' ? 'merged' : 'merged.gguf');
      await expect(exportModel({ model, adapter: foreign, out, format })).rejects.toMatchObject(wanted);
    }
  });

  it.each([
    ['', /it names no base, and the model is /],
    [model, /both are of .* by name, so the files of one were changed/],
  ])('whose base is %j is refused with what to do', async (named, message) => {
    const other = join(folder, `named-${named.length}`);
    cpSync(foreign, other, { recursive: true });
    const file = join(other, 'adapter_config.json');
    const config = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify({ ...config, base_model_name_or_path: named }));
    await expect(Adapter.load(base, other)).rejects.toThrow(message);
  });
});
