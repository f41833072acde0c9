// Merging, GGUF files and GGUF adapters through the public function, with everything that it refuses.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Adapter, type ExportOptions, exportModel, Model, resolveModel } from '../../lib/index';
import { loadTokenizer } from '../../lib/model/source';
import { loadAddon } from '../../lib/native/addon';
import { logprobsOf } from '../support/export';
import { FAMILIES, fixture, fixtureJson, scratch, ZOO } from '../support/fixtures';

const folder = scratch();
let serial = 0;
const fresh = (suffix = ''): string => join(folder, `out-${serial++}${suffix}`);

/** Exports to a new place and returns it. */
async function exported(options: Omit<ExportOptions, 'out'>): Promise<string> {
  const out = fresh(options.format === 'safetensors' ? '' : '.gguf');
  expect((await exportModel({ ...options, out })).out).toBe(out);
  return out;
}

const worst = (a: readonly number[], b: readonly number[]): number =>
  a.length === b.length ? Math.max(...a.map((value, i) => Math.abs(value - (b[i] as number)))) : Infinity;

for (const family of [...FAMILIES, ...ZOO]) {
  describe(`exports of ${family}`, () => {
    const model = fixture(family, 'model');
    const file = fixture(family, 'model.gguf');

    it('from folder to GGUF and back are the same model, bit for bit', async () => {
      const gguf = await exported({ model, format: 'gguf', dtype: 'f32' });
      const back = await exported({ model: gguf, format: 'safetensors' });
      const own = await logprobsOf(model, family);
      expect(await logprobsOf(gguf, family)).toEqual(own);
      // Of Llama 3's divisors the rule is written, which gives them again to the last place or the one before.
      if (family === 'zoo/llama3-scaled')
        expect(worst(await logprobsOf(back, family), own)).toBeLessThan(1e-5);
      else expect(await logprobsOf(back, family)).toEqual(own);
      const [made, source] = [await resolveModel(gguf), await resolveModel(model)];
      const [tokenizer, expected] = [await loadTokenizer(made), await loadTokenizer(source)];
      const { cases } = fixtureJson<{ cases: { text: string }[] }>(family, 'tokenizer-cases.json');
      for (const { text } of cases) expect(tokenizer.encode(text), text).toEqual(expected.encode(text));
      expect([tokenizer.bosId, tokenizer.padId]).toEqual([expected.bosId, expected.padId]);
      // A GGUF file has keys for three of them; a folder may name more.
      expect(tokenizer.eosIds).toHaveLength(
        Math.min(expected.eosIds.length, family.includes('llama3') ? 2 : 3),
      );
      expect(expected.eosIds).toEqual(expect.arrayContaining([...tokenizer.eosIds]));
      expect(tokenizer.endOfTurnIds).toEqual(expected.endOfTurnIds);
    });

    it('from GGUF to GGUF keep every key and every tensor', async () => {
      const out = await exported({ model: file, format: 'gguf' });
      expect(await logprobsOf(out, family)).toEqual(await logprobsOf(file, family));
      const addon = loadAddon();
      const [made, own] = [await addon.readGgufMetadata(out), await addon.readGgufMetadata(file)];
      expect(made).toMatchObject(own);
    });

    for (const adapter of ['adapter', 'adapter-rslora'].filter((name) => existsSync(fixture(family, name)))) {
      it(`merge ${adapter} as it is computed beside the base`, async () => {
        const peft = fixture(family, adapter);
        const apart = await logprobsOf(file, family, peft);
        expect(worst(apart, await logprobsOf(file, family))).toBeGreaterThan(1e-3);
        const merged = await exported({
          model: file,
          adapter: peft,
          format: 'safetensors',
          dtype: 'f32',
        });
        const whole = await logprobsOf(merged, family);
        expect(worst(whole, apart)).toBeLessThan(2e-5);
        const gguf = await exported({ model: file, adapter: peft, format: 'gguf', dtype: 'f32' });
        // One weight is merged from the same float32 numbers whichever file it goes to, and every rounding is the same: Gemma's
        // norms of the fixtures are exact as w and as 1 + w. Only Llama 3's divisors are computed anew, to one last place.
        const single = await logprobsOf(gguf, family);
        if (family === 'zoo/llama3-scaled') expect(worst(single, whole)).toBeLessThan(1e-5);
        else expect(single).toEqual(whole);
      });
    }
  });
}

describe('an export', () => {
  const model = fixture('smol-tiny', 'model');
  const adapter = fixture('smol-tiny', 'adapter');

  it('takes the checkpoint’s own type, and bf16 where it is quantised', async () => {
    const half = await exported({ model, format: 'safetensors', dtype: 'f16' });
    expect(await exportModel({ model: half, out: fresh(), format: 'safetensors' })).toMatchObject({
      dtype: 'f16',
    });
    const lora = await exportModel({ model, adapter, out: fresh('.gguf'), format: 'gguf-adapter' });
    expect(lora.dtype).toBe('f32');
  });

  it('tells when the adapter was made for another base', async () => {
    const notes: string[] = [];
    await exportModel({
      model,
      adapter,
      out: fresh(),
      format: 'safetensors',
      onNote: (note) => notes.push(note),
    });
    expect(notes.join()).toContain('was trained on');
  });

  it('parts the head from the embedding where the adapter changes it, and says so', async () => {
    const peft = fresh();
    await using base = await Model.load({ model, threads: 1 });
    await using changed = await Adapter.create(base, { rank: 2, targetModules: ['q_proj', 'lm_head'] });
    await changed.save(peft, 'base');
    const notes: string[] = [];
    const out = fresh();
    const onNote = (note: string): void => void notes.push(note);
    await exportModel({ model, adapter: peft, out, format: 'safetensors', onNote });
    expect(notes.join()).toContain('two matrices now');
    const config = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'));
    expect(config.tie_word_embeddings).toBe(false);
    const gguf = await exported({ model, adapter: peft, format: 'gguf' });
    for (const made of [out, gguf]) {
      expect((await loadAddon().readModelConfig(made)).tiedHead).toBe(false);
      expect(await logprobsOf(made, 'smol-tiny')).toEqual(await logprobsOf(model, 'smol-tiny'));
    }
    const lora = exportModel({ model, adapter: peft, out: fresh('.gguf'), format: 'gguf-adapter' });
    await expect(lora).rejects.toMatchObject({
      code: 'MODEL_UNSUPPORTED',
      message: expect.stringContaining('merge it instead'),
    });
  });

  it('keeps the ends of a text that GGUF has keys for, and says what it or llama.cpp has no words for', async () => {
    const idOf = async (name: string, token: string): Promise<number> =>
      (await loadTokenizer(await resolveModel(fixture('zoo', name, 'model')))).encode(token, {
        addBos: false,
      })[0]!;
    const notesOf = async (name: string): Promise<{ keys: Record<string, unknown>; notes: string }> => {
      const notes: string[] = [];
      const out = fresh('.gguf');
      const onNote = (note: string): void => void notes.push(note);
      await exportModel({ model: fixture('zoo', name, 'model'), out, format: 'gguf', onNote });
      return { keys: await loadAddon().readGgufMetadata(out), notes: notes.join() };
    };
    const qwen = await notesOf('qwen2');
    expect(qwen.keys).toMatchObject({
      'tokenizer.ggml.eos_token_id': await idOf('qwen2', '<|im_end|>'),
      'tokenizer.ggml.eom_token_id': await idOf('qwen2', '<|endoftext|>'),
    });
    expect(qwen.keys).not.toHaveProperty('tokenizer.ggml.eot_token_id');
    expect(qwen.notes).not.toContain('no key');

    expect(qwen.notes).not.toContain('window');
    expect((await notesOf('mistral-window')).notes).toMatch(
      /see 8 tokens back, and llama\.cpp knows no such window/,
    );
    expect((await notesOf('gemma3-conditional')).notes).not.toContain('window');

    const llama = await notesOf('llama3-scaled');
    expect(llama.keys).toMatchObject({
      'tokenizer.ggml.eos_token_id': await idOf('llama3-scaled', '<|eot_id|>'),
      'tokenizer.ggml.eom_token_id': await idOf('llama3-scaled', '<|eom_id|>'),
    });
    expect(llama.notes).toContain(
      '<|end_of_text|> also ends a text of this model, and GGUF has no key left for it',
    );
  });

  it('copies rotary divisors that are no rule’s into a GGUF file, and refuses them for a folder', async () => {
    const family = 'zoo/llama3-scaled';
    const bytes = readFileSync(fixture(family, 'model.gguf'));
    // theta 500, heads of 8, factor 32 beyond 64 original positions: kept, on the ramp, stretched, stretched.
    const divisors = (file: Buffer): number => {
      const stretched = Buffer.from(Float32Array.of(32, 32).buffer);
      const at = file.indexOf(stretched) - 8;
      expect(file.readFloatLE(at)).toBe(1);
      return at;
    };
    const own = divisors(bytes);
    bytes.writeFloatLE(bytes.readFloatLE(own + 4) * 2, own + 4);
    const odd = fresh('.gguf');
    writeFileSync(odd, bytes);
    expect(
      worst(await logprobsOf(odd, family), await logprobsOf(fixture(family, 'model.gguf'), family)),
    ).toBeGreaterThan(1e-4);

    const gguf = await exported({ model: odd, format: 'gguf' });
    const copied = readFileSync(gguf);
    expect(copied.readFloatLE(divisors(copied) + 4)).toBe(bytes.readFloatLE(own + 4));
    expect(await logprobsOf(gguf, family)).toEqual(await logprobsOf(odd, family));

    const out = fresh();
    await expect(exportModel({ model: odd, out, format: 'safetensors' })).rejects.toMatchObject({
      code: 'MODEL_UNSUPPORTED',
      message: expect.stringMatching(/rope_freqs\.weight.*element 1 is .*Llama 3's rule.*export as gguf/s),
    });
    expect(existsSync(out)).toBe(false);
  });

  it('can be loaded as a model and answers', async () => {
    const out = await exported({ model, adapter, format: 'gguf', dtype: 'f16' });
    await using loaded = await Model.load({ model: out, threads: 1 });
    expect(loaded.config.layers).toBe(2);
  });

  it('refuses what does not go together', async () => {
    const refused = (options: Partial<ExportOptions>, what: string) =>
      expect(
        exportModel({ model, out: fresh('.gguf'), format: 'gguf', ...options } as ExportOptions),
      ).rejects.toThrow(what);
    await refused({ format: 'gguf-adapter' }, 'name its PEFT folder');
    await refused({ out: fresh() }, 'end its name in .gguf');
    await refused({ format: 'onnx' as never }, 'expected one of safetensors, gguf, gguf-adapter');
    await refused({ dtype: 'q4' as never }, 'expected f32, bf16 or f16');
    await refused({ adapter: fixture('llama-tiny', 'adapter') }, 'expected');
    const taken = fresh('.gguf');
    writeFileSync(taken, 'mine');
    await refused({ out: taken }, 'nothing is overwritten');
    expect(readFileSync(taken, 'utf8')).toBe('mine');
  });

  it('refuses a tokenizer that GGUF has no words for', async () => {
    const own = fresh();
    mkdirSync(own);
    for (const name of readdirSync(model)) writeFileSync(join(own, name), readFileSync(join(model, name)));
    const json = JSON.parse(readFileSync(join(own, 'tokenizer.json'), 'utf8'));
    json.pre_tokenizer = {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: '\\p{Lu}' }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    };
    writeFileSync(join(own, 'tokenizer.json'), JSON.stringify(json));
    const out = fresh('.gguf');
    await expect(exportModel({ model: own, out, format: 'gguf' })).rejects.toMatchObject({
      code: 'TOKENIZER_UNSUPPORTED',
      message: expect.stringContaining('none of llama-bpe'),
    });
    expect(existsSync(out)).toBe(false);
  });
});
