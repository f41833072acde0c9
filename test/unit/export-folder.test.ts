// A folder that is exported must be the model that it came from: to the last bit where the type can hold it.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Model, resolveModel, writeModelFolder } from '../../lib/index';
import { loadTokenizer } from '../../lib/model/source';
import { loadAddon } from '../../lib/native/addon';
import { logprobsOf } from '../support/export';
import { FAMILIES, fixture, fixtureJson, scratch, ZOO } from '../support/fixtures';

const folder = scratch();
let serial = 0;
const fresh = (): string => join(folder, `out-${serial++}`);
const json = (...parts: string[]) =>
  JSON.parse(readFileSync(join(...parts), 'utf8')) as Record<string, unknown>;

for (const family of [...FAMILIES, ...ZOO]) {
  describe(`a folder of ${family}`, () => {
    for (const kind of ['model', 'model.gguf']) {
      it(`from ${kind} gives the same log-probabilities, bit for bit`, async () => {
        const from = fixture(family, kind);
        const out = fresh();
        const exported = await writeModelFolder({ source: await resolveModel(from), out, dtype: 'f32' });
        expect(exported.untied).toBe(false);
        const [made, own] = [await logprobsOf(out, family), await logprobsOf(from, family)];
        if (kind === 'model.gguf' && family === 'zoo/llama3-scaled') {
          // Its divisors are written as the rule that gives them, to the last place or the one before.
          expect(made).toHaveLength(own.length);
          for (const [i, value] of made.entries()) expect(value).toBeCloseTo(own[i]!, 4);
        } else expect(made).toEqual(own);
        expect(json(out, 'config.json')).toMatchObject({ torch_dtype: 'float32' });
        expect(readdirSync(out).sort()).toEqual([...exported.files].sort());
      });
    }

    it('from a model in memory is the one from its file, byte for byte', async () => {
      await using model = await Model.load({ model: fixture(family, 'model.gguf'), threads: 2 });
      const [a, b] = [fresh(), fresh()];
      await writeModelFolder({ source: model, out: a, dtype: 'f32' });
      await writeModelFolder({ source: model.source, out: b, dtype: 'f32' });
      for (const name of readdirSync(b))
        expect(readFileSync(join(a, name)).equals(readFileSync(join(b, name)))).toBe(true);
    });

    it('from a GGUF file has the tokenizer and the special ids of the file', async () => {
      const out = fresh();
      const source = await resolveModel(fixture(family, 'model.gguf'));
      await writeModelFolder({ source, out, dtype: 'bf16' });
      const [made, own] = [await loadTokenizer(await resolveModel(out)), await loadTokenizer(source)];
      const { cases } = fixtureJson<{ cases: { text: string }[] }>(family, 'tokenizer-cases.json');
      for (const { text } of cases) expect(made.encode(text), text).toEqual(own.encode(text));
      expect(made.chatTemplate).toBe(own.chatTemplate);
      expect([made.bosId, made.padId, made.addsBos]).toEqual([own.bosId, own.padId, own.addsBos]);
      expect(new Set(made.eosIds)).toEqual(new Set(own.eosIds));
      const addon = loadAddon();
      const { eosIds, ...config } = await addon.readModelConfig(out);
      const { eosIds: ownEos, ...ownConfig } = await addon.readModelConfig(source.path);
      expect(config).toEqual(ownConfig);
      expect(new Set(eosIds)).toEqual(new Set([...ownEos, ...own.eosIds]));
    });
  });
}

describe('an exported folder', () => {
  it('is cut into shards by size, with an index', async () => {
    const out = fresh();
    const source = await resolveModel(fixture('llama-tiny', 'model'));
    const { bytes, files } = await writeModelFolder({ source, out, dtype: 'f16', shardBytes: 60_000 });
    const shards = files.filter((file) => file.endsWith('.safetensors'));
    expect(shards.length).toBeGreaterThan(2);
    expect(json(out, 'model.safetensors.index.json').metadata).toEqual({ total_size: bytes });
    expect(await loadAddon().storedType(out)).toBe('f16');
    expect((await logprobsOf(out, 'llama-tiny')).length).toBeGreaterThan(0);
  });

  it('is never put over something, and an empty folder is taken', async () => {
    const source = await resolveModel(fixture('smol-tiny', 'model'));
    const [taken, file, empty] = [fresh(), fresh(), fresh()];
    mkdirSync(taken);
    mkdirSync(empty);
    writeFileSync(join(taken, 'mine.txt'), 'mine');
    writeFileSync(file, 'mine');
    for (const out of [taken, file]) {
      await expect(writeModelFolder({ source, out, dtype: 'f32' })).rejects.toMatchObject({
        code: 'RUN_INVALID',
        message: expect.stringContaining('nothing is overwritten'),
      });
    }
    expect(readdirSync(taken)).toEqual(['mine.txt']);
    await writeModelFolder({ source, out: empty, dtype: 'f32' });
    expect(existsSync(join(empty, 'config.json'))).toBe(true);
  });

  it('leaves nothing behind when it is aborted or fails', async () => {
    const out = fresh();
    const source = await resolveModel(fixture('smol-tiny', 'model'));
    const controller = new AbortController();
    const stop = writeModelFolder({
      source,
      out,
      dtype: 'f32',
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('enough')),
    });
    await expect(stop).rejects.toThrow('enough');
    const broken = writeModelFolder({ source, out, dtype: 'f32', adapter: fixture('llama-tiny', 'adapter') });
    await expect(broken).rejects.toMatchObject({ code: 'TENSOR_MISMATCH' });
    expect(readdirSync(folder).filter((name) => name.includes(basename(out)))).toEqual([]);
  });
});
