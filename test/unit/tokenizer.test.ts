// One wrong id spoils a training unseen: every tokenizer is held to the ids of the Rust library, from a folder and from a
// GGUF.
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { Tokenizer } from '../../lib/model/tokenizer';
import { BytePairEncoder } from '../../lib/model/tokenizer-bpe';
import { mergesFromScores } from '../../lib/model/tokenizer-spm';
import { readGgufMetadata } from '../support/gguf-metadata';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));
const FAMILIES = ['llama-tiny', 'smol-tiny', 'gemma3-tiny'];

interface TokenizerCase {
  text: string;
  ids: number[];
  withSpecial: number[];
  decoded?: string;
}

const unicode = fc.string({
  unit: fc.oneof(
    fc.constantFrom(' ', '  ', '\n', '▁', '<end_of_turn>', "'s", 'a1', 'क्षि', '\u0085', '\ufeff'),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 3 }),
  ),
  maxLength: 40,
});

describe.each(FAMILIES)('%s', (family) => {
  const cases = (
    JSON.parse(readFileSync(join(fixtures, family, 'tokenizer-cases.json'), 'utf8')) as {
      cases: TokenizerCase[];
    }
  ).cases;
  let folder: Tokenizer;
  let gguf: Tokenizer;
  beforeAll(async () => {
    folder = await Tokenizer.fromHuggingFace(join(fixtures, family, 'model'));
    const file = join(fixtures, family, 'model.gguf');
    gguf = Tokenizer.fromGguf(readGgufMetadata(file), file);
  });

  it('gives the ids and texts of the Rust library, from the folder and from the GGUF alike', () => {
    expect(cases.length).toBeGreaterThan(10);
    for (const tokenizer of [folder, gguf]) {
      for (const { text, ids, withSpecial, decoded } of cases) {
        expect([...tokenizer.encode(text, { addBos: false })], text).toEqual(ids);
        expect([...tokenizer.encode(text)], text).toEqual(withSpecial);
        expect(tokenizer.decode(ids), text).toBe(decoded ?? text);
      }
    }
  });

  it('reads the same special ids from both', () => {
    expect(gguf.bosId).toBe(folder.bosId);
    expect(gguf.endOfTurnIds).toEqual(folder.endOfTurnIds);
    expect(gguf.vocabSize).toBe(folder.vocabSize);
    expect(new Set(gguf.eosIds)).toEqual(new Set(folder.eosIds));
    for (const id of folder.eosIds) expect(folder.isControl(id)).toBe(true);
    expect(folder.idToToken(folder.vocabSize)).toBeUndefined();
  });

  it('agrees between folder, GGUF and its own tokenizer.json on any text', () => {
    const again = Tokenizer.fromJson(gguf.toJson() as never);
    fc.assert(
      fc.property(unicode, (text) => {
        const ids = [...folder.encode(text, { addBos: false })];
        expect([...gguf.encode(text, { addBos: false })]).toEqual(ids);
        expect([...again.encode(text, { addBos: false })]).toEqual(ids);
      }),
      { numRuns: 300 },
    );
  });

  it('streams whole code points that join to the decoded text', () => {
    fc.assert(
      fc.property(unicode, fc.boolean(), (text, skipSpecial) => {
        const ids = folder.encode(text, { addBos: false });
        const decoder = folder.createDecoder({ skipSpecial });
        let joined = '';
        for (const id of ids) {
          const piece = decoder.push(id);
          expect(piece).not.toMatch(/\p{Surrogate}/u);
          joined += piece;
        }
        expect(joined + decoder.flush()).toBe(folder.decode(ids, { skipSpecial }));
      }),
      { numRuns: 200 },
    );
  });
});

describe('encoding', () => {
  const load = (family: string): Promise<Tokenizer> =>
    Tokenizer.fromHuggingFace(join(fixtures, family, 'model'));

  it('holds a character back until its last byte', async () => {
    const tokenizer = await load('gemma3-tiny');
    const ids = [0xf0, 0x9f, 0x90, 0x88].map(
      (byte) => tokenizer.tokenToId(`<0x${byte.toString(16).toUpperCase()}>`)!,
    );
    const decoder = tokenizer.createDecoder();
    expect(ids.map((id) => decoder.push(id))).toEqual(['', '', '', '🐈']);
    expect(decoder.flush()).toBe('');
    decoder.push(ids[0]!);
    expect(decoder.flush()).toBe('\ufffd');
  });

  it('turns unpaired surrogates into U+FFFD', async () => {
    const tokenizer = await load('gemma3-tiny');
    expect([...tokenizer.encode('a\ud800b')]).toEqual([...tokenizer.encode('a\ufffdb')]);
  });

  it('leaves control tokens out of a decoded text when asked', async () => {
    const tokenizer = await load('gemma3-tiny');
    const ids = tokenizer.encode('hi<end_of_turn>');
    expect(tokenizer.decode(ids)).toBe('<bos>hi<end_of_turn>');
    expect(tokenizer.decode(ids, { skipSpecial: true })).toBe('hi');
  });

  it('refuses a BOS where there is none, and what is no string', async () => {
    const json = { model: { type: 'BPE', vocab: { a: 0 }, merges: [] }, added_tokens: [] };
    const tokenizer = Tokenizer.fromJson(json);
    expect([...tokenizer.encode('a')]).toEqual([0]);
    expect(() => tokenizer.encode('a', { addBos: true })).toThrow(/addBos/);
    expect(() => tokenizer.encode(7 as never)).toThrow(TypeError);
  });

  it('honours blanks and word borders of added tokens', () => {
    const token = { special: true, normalized: false, lstrip: false, rstrip: false, single_word: false };
    const tokenizer = Tokenizer.fromJson({
      model: { type: 'BPE', vocab: { a: 0, ' ': 1, b: 2 }, merges: [] },
      added_tokens: [
        { ...token, id: 3, content: '<l>', lstrip: true },
        { ...token, id: 4, content: '<r>', rstrip: true },
        { ...token, id: 5, content: 'ab', single_word: true },
      ],
    });
    expect([...tokenizer.encode('a <l> <r> a')]).toEqual([0, 3, 1, 4, 0]);
    expect([...tokenizer.encode('ab aab')]).toEqual([5, 1, 0, 0, 2]);
  });
});

describe('merging', () => {
  /** The definition: again and again the lowest-ranked pair, leftmost first. */
  const naive = (word: string, merges: [string, string][]): string[] => {
    let parts = [...word];
    for (;;) {
      const ranks = parts
        .slice(1)
        .map((right, i) => merges.findIndex(([l, r]) => l === parts[i] && r === right));
      const best = Math.min(...ranks.filter((rank) => rank !== -1));
      if (!Number.isFinite(best)) return parts;
      const at = ranks.indexOf(best);
      parts = [...parts.slice(0, at), parts[at]! + parts[at + 1]!, ...parts.slice(at + 2)];
    }
  };

  it('equals the definition on random vocabularies and words', () => {
    const piece = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 2, maxLength: 5 });
    fc.assert(
      fc.property(
        fc.uniqueArray(piece, { maxLength: 12 }),
        fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 30 }),
        (pieces, word) => {
          const tokens = ['a', 'b', 'c', ...pieces];
          const vocab = new Map(tokens.map((token, id) => [token, id]));
          const types = tokens.map(() => 1);
          const triples = mergesFromScores(
            tokens,
            tokens.map((_, id) => -id),
            types,
          );
          const merges: [string, string][] = [];
          for (let i = 0; i < triples.length; i += 3)
            merges.push([tokens[triples[i]!]!, tokens[triples[i + 1]!]!]);
          const encoder = new BytePairEncoder({
            vocab,
            merges: triples,
            fuseUnknown: false,
            byteFallback: false,
            ignoreMerges: false,
          });
          const ids: number[] = [];
          encoder.encode(word, ids);
          encoder.encode(word, ids);
          const expected = naive(word, merges);
          expect(ids.map((id) => tokens[id])).toEqual([...expected, ...expected]);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('errors', () => {
  const metadata = (): ReturnType<typeof readGgufMetadata> =>
    readGgufMetadata(join(fixtures, 'smol-tiny', 'model.gguf'));

  it('names an unknown pre-tokenizer, and never falls back', () => {
    expect(() => Tokenizer.fromGguf({ ...metadata(), 'tokenizer.ggml.pre': 'glm4' }, 'm.gguf')).toThrow(
      expect.objectContaining({
        code: 'TOKENIZER_UNSUPPORTED',
        message: expect.stringMatching(/m\.gguf.*tokenizer\.ggml\.pre.*"glm4".*smollm/),
      }),
    );
    const { 'tokenizer.ggml.pre': _, ...absent } = metadata();
    expect(() => Tokenizer.fromGguf(absent)).toThrow(/tokenizer\.ggml\.pre is null/);
  });

  it.each(['default', 'gpt-2', 'qwen2', 'llama-bpe', 'tekken'])('knows the pre-tokenizer %s', (pre) => {
    const tokenizer = Tokenizer.fromGguf({ ...metadata(), 'tokenizer.ggml.pre': pre });
    const text = "Hello, it'S 1234 नमस्ते\n\n  ok";
    expect(tokenizer.decode(tokenizer.encode(text, { addBos: false }))).toBe(text);
  });

  it('adds no BOS to byte-level BPE unless the file says so', () => {
    const { 'tokenizer.ggml.add_bos_token': _, ...absent } = metadata();
    expect(Tokenizer.fromGguf(absent).addsBos).toBe(false);
    expect(
      Tokenizer.fromGguf({
        ...absent,
        'tokenizer.ggml.bos_token_id': 1,
        'tokenizer.ggml.add_bos_token': true,
      }).addsBos,
    ).toBe(true);
  });

  it('has no token for a padded vocabulary’s unused ids', () => {
    const padded = metadata();
    const tokens = padded['tokenizer.ggml.tokens'] as string[];
    const types = padded['tokenizer.ggml.token_type'] as Int32Array;
    const tokenizer = Tokenizer.fromGguf({
      ...padded,
      'tokenizer.ggml.tokens': [...tokens, '[PAD512]'],
      'tokenizer.ggml.token_type': Int32Array.of(...types, 5),
    });
    expect(tokenizer.vocabSize).toBe(tokens.length + 1);
    expect(tokenizer.idToToken(tokens.length)).toBeUndefined();
    expect(tokenizer.tokenToId('[PAD512]')).toBeUndefined();
  });

  it.each([
    ['tokenizer.ggml.model', 'bert', 'TOKENIZER_UNSUPPORTED'],
    ['tokenizer.ggml.tokens', [], 'FILE_DAMAGED'],
    ['tokenizer.ggml.token_type', new Int32Array(3), 'FILE_DAMAGED'],
    ['tokenizer.ggml.merges', ['a zzzz'], 'FILE_DAMAGED'],
  ])('names a bad %s', (key, value, code) => {
    expect(() => Tokenizer.fromGguf({ ...metadata(), [key]: value }, 'm.gguf')).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(key) }),
    );
  });

  it('names missing and broken files of a folder', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tokenizer-'));
    await expect(Tokenizer.fromHuggingFace(folder)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
    writeFileSync(join(folder, 'tokenizer.json'), '{"model":');
    await expect(Tokenizer.fromHuggingFace(folder)).rejects.toMatchObject({ code: 'FILE_DAMAGED' });
    writeFileSync(join(folder, 'tokenizer.json'), '{"model":{"type":"Unigram"}}');
    await expect(Tokenizer.fromHuggingFace(folder)).rejects.toMatchObject({ code: 'TOKENIZER_UNSUPPORTED' });
    expect(() =>
      Tokenizer.fromJson({ model: { type: 'BPE', vocab: {}, merges: [] }, pre_tokenizer: { type: 'Bert' } }),
    ).toThrow(/Bert/);
  });
});
