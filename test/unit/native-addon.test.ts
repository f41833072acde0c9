// The addon's own functions: what it says of the machine, of files, and of itself where it is missing.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadAddon } from '../../lib/native/addon';
import { isMlitError, MlitError } from '../../lib/native/errors';
import { fixture, loadOptions, openModel, sampleOptions, spec, trainOptions } from './native-support';

describe('the machine', () => {
  it('doctor() describes processor, memory and backends', () => {
    const doctor = loadAddon().doctor();
    const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(doctor.version).toBe(manifest.version);
    expect(doctor.cpu.model).not.toBe('');
    expect(doctor.cpu.usableProcessors).toBeGreaterThanOrEqual(1);
    expect(doctor.memory.totalBytes).toBeGreaterThan(doctor.memory.availableBytes);
    expect(doctor.memory.availableBytes).toBeGreaterThan(0);
    for (const { usable, reason } of [...doctor.cpu.isas, ...doctor.backends])
      expect(reason === '').toBe(usable);
    expect(doctor.backends.map(({ name }) => name)).toEqual(['cpu', 'cuda']);
    expect(doctor.backends[0]).toMatchObject({ usable: doctor.cpu.isas.some(({ usable }) => usable) });
  });

  it('selfTest() passes on every instruction set of this processor', async () => {
    const usable = loadAddon()
      .doctor()
      .cpu.isas.filter((isa) => isa.usable);
    expect(usable).not.toHaveLength(0);
    for (const { name } of usable) {
      const checks = await loadAddon().selfTest('cpu', name, 2);
      expect(checks.filter(({ passed }) => !passed)).toEqual([]);
      expect(checks.length).toBeGreaterThanOrEqual(7);
      const integers = checks.find((check) => check.name === 'integer products');
      const units = { avx512: 'AMX|AVX-512 VNNI', avx2: 'AVX-VNNI|AVX2 in 16 bits', neon: 'NEON' }[name];
      expect(integers?.detail).toMatch(
        new RegExp(`^every sum equal: ${name}, int8 by (${units}), 2 threads$`),
      );
    }
  });

  it('selfTest() refuses an unknown instruction set', async () => {
    await expect(loadAddon().selfTest('cpu', 'sse9', 1)).rejects.toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
    });
  });
});

describe('files', () => {
  it('reads a GGUF file’s metadata with types', async () => {
    const metadata = await loadAddon().readGgufMetadata(fixture('model.gguf'));
    const tokens = metadata['tokenizer.ggml.tokens'] as string[];
    expect(metadata['general.architecture']).toBe('llama');
    expect(tokens).toHaveLength(369);
    expect(tokens.every((token) => typeof token === 'string')).toBe(true);
    expect(metadata['tokenizer.ggml.token_type']).toBeInstanceOf(Int32Array);
    expect(metadata['tokenizer.ggml.scores']).toBeInstanceOf(Float32Array);
    expect(metadata['llama.block_count']).toBe(3);
  });

  it('reads the same config from either kind of checkpoint', async () => {
    const config = await loadAddon().readModelConfig(fixture('model'));
    expect(config).toMatchObject({
      architecture: 'llama',
      layers: 3,
      hidden: 64,
      vocabulary: 369,
      eosIds: [2],
    });
    expect(await loadAddon().readModelConfig(fixture('model.gguf'))).toEqual(config);
  });

  it('reads a PEFT folder’s config', async () => {
    const config = await loadAddon().readPeftConfig(fixture('adapter-rslora'));
    expect(config).toMatchObject({ rank: 2, alpha: 4, rslora: true, targetModules: ['q_proj', 'v_proj'] });
    expect(typeof config.baseModel).toBe('string');
  });

  it('plans memory without loading', async () => {
    const plan = await loadAddon().planTraining(fixture('model'), [spec], trainOptions, loadOptions);
    const model = await openModel();
    const adapter = await model.createAdapter(spec, 1n);
    const session = await model.createTrainSession([adapter], trainOptions);
    expect(plan).toEqual(session.memory);
    const sampling = await loadAddon().planSampling(fixture('model'), sampleOptions, spec.rank, loadOptions);
    expect(sampling.map(({ name }) => name)).toEqual(expect.arrayContaining(['base', 'cache']));
    expect(sampling.find(({ name }) => name === 'base')).toEqual({ name: 'base', bytes: model.bytes });
    await model.dispose();
  });

  it('names the file that is missing', async () => {
    const error = await loadAddon()
      .loadModel('no/such/model.gguf', loadOptions)
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(MlitError);
    expect(error).toMatchObject({ code: 'FILE_NOT_FOUND', fields: { file: 'no/such/model.gguf' } });
    expect((error as Error).message).toContain('no/such/model.gguf');
  });
});

describe('loading a model', () => {
  it('tells its progress up to 1', async () => {
    const fractions: number[] = [];
    const model = await loadAddon().loadModel(fixture('model'), {
      ...loadOptions,
      onProgress: (fraction) => fractions.push(fraction),
    });
    expect(fractions.at(-1)).toBe(1);
    expect(fractions).toEqual([...fractions].sort((a, b) => a - b));
    await model.dispose();
  });

  it('rejects with what onProgress throws', async () => {
    const stop = new Error('stop');
    const onProgress = () => {
      throw stop;
    };
    await expect(loadAddon().loadModel(fixture('model'), { ...loadOptions, onProgress })).rejects.toBe(stop);
  });

  it.each([
    ['threads', -1, RangeError],
    ['threads', 1.5, RangeError],
    ['threads', '2', TypeError],
    ['isa', 2, TypeError],
    ['format', 'f16', RangeError],
    ['onProgress', 3, TypeError],
  ])('refuses %s = %s', async (name, value, type) => {
    const options = { ...loadOptions, [name]: value };
    const error = await loadAddon()
      .loadModel(fixture('model'), options as never)
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(type);
    expect((error as Error).message).toContain(`options.${name}`);
  });

  it('keeps the first instruction set while a model uses it', async () => {
    const isas = loadAddon()
      .doctor()
      .cpu.isas.filter(({ usable }) => usable);
    const first = await loadAddon().loadModel(fixture('model'), { ...loadOptions, isa: isas[0]!.name });
    const other = isas[1]?.name ?? 'none such';
    const second = loadAddon().loadModel(fixture('model'), { ...loadOptions, isa: other });
    await expect(second).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
    await first.dispose();
  });
});

describe('where the addon is missing', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'mlit-addon-'));
    vi.stubEnv('MLIT_NATIVE_PREBUILD', folder);
    vi.resetModules();
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.resetModules();
    rmSync(folder, { recursive: true });
  });

  const failure = async (): Promise<MlitError> => {
    const fresh = await import('../../lib/native/addon');
    try {
      fresh.loadAddon();
    } catch (error) {
      expect(isMlitError(error)).toBe(true);
      return error as MlitError;
    }
    throw new Error('loaded all the same');
  };

  it('says where it was looked for and what to do', async () => {
    const { code, message, cause } = await failure();
    expect(code).toBe('ADDON_UNAVAILABLE');
    for (const part of [process.arch, 'npm run setup', 'glibc 2.34']) expect(message).toContain(part);
    expect(cause).toBeInstanceOf(Error);
  });

  it('says why a file that is there cannot be loaded', async () => {
    mkdirSync(join(folder, 'build', 'Release'), { recursive: true });
    const file = join(folder, 'build', 'Release', 'mlit.node');
    writeFileSync(file, 'not a library');
    const { code, message, cause } = await failure();
    expect(code).toBe('ADDON_UNAVAILABLE');
    expect(message).toContain(file);
    expect(message).toContain((cause as Error).message);
  });
});
