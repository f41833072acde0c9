// The real vocabulary of 262,144 tokens, read from the GGUF alone: ids must be those of Gemma's own tokenizer.json.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { Tokenizer as Reference } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { ChatTemplate } from '../../lib/model/template';
import { Tokenizer } from '../../lib/model/tokenizer';
import { readGgufMetadata } from '../support/gguf-metadata';
import { realData, realModel } from '../support/real-model';

interface TokenizerCase {
  text: string;
  ids: number[];
  withSpecial: number[];
  decoded?: string;
}

describe.skipIf(realModel === undefined)('Gemma 3’s tokenizer from its GGUF', () => {
  let tokenizer: Tokenizer;
  let loadMilliseconds: number;
  beforeAll(() => {
    const metadata = readGgufMetadata(realModel!);
    const start = performance.now();
    tokenizer = Tokenizer.fromGguf(metadata, realModel);
    loadMilliseconds = performance.now() - start;
  });

  it('gives the ids of the Rust library on Gemma’s tokenizer.json', () => {
    const file = new URL('../fixtures/gemma-3-270m-tokenizer.json', import.meta.url);
    const { cases } = JSON.parse(readFileSync(file, 'utf8')) as { cases: TokenizerCase[] };
    for (const { text, ids, withSpecial, decoded } of cases) {
      expect([...tokenizer.encode(text, { addBos: false })], text).toEqual(ids);
      expect([...tokenizer.encode(text)], text).toEqual(withSpecial);
      expect(tokenizer.decode(ids), text).toBe(decoded ?? text);
    }
    const chat = 'Tere, maailm <start_of_turn>user\nhi<end_of_turn>';
    expect([...tokenizer.encode(chat)]).toEqual([
      2, 99288, 236764, 125682, 236757, 236743, 105, 2364, 107, 2202, 106,
    ]);
  });

  it('knows its special ids and takes the built-in template', async () => {
    expect(tokenizer).toMatchObject({
      vocabSize: 262_144,
      bosId: 2,
      addsBos: true,
      eosIds: [1, 106],
      endOfTurnIds: [106],
    });
    const template = await ChatTemplate.create({ tokenizer });
    expect(template).toMatchObject({ name: 'gemma', end: { ids: [106] } });
  });

  it('agrees with the package’s own merging on any Unicode, from the tokenizer.json that it writes', () => {
    const reference = new Reference(tokenizer.toJson(), {});
    const piece = fc.oneof(
      fc.constantFrom(
        ' ',
        '   ',
        '\n\n',
        '\t',
        '▁▁',
        '<unused7>',
        '<h1>',
        '<0x0A>',
        ' the',
        '你好',
        'مرحبا',
        'नमस्ते',
        '🐈‍⬛',
      ),
      fc.string({ unit: 'binary', maxLength: 6 }),
      fc.string({ unit: 'grapheme-ascii', maxLength: 12 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const text = pieces.join('').replace(/\p{Surrogate}/gu, '\ufffd');
        const ids = [...tokenizer.encode(text, { addBos: false })];
        expect(ids).toEqual(reference.encode(text, { add_special_tokens: false }).ids);
        expect(tokenizer.decode(ids)).toBe(text.replaceAll('▁', ' '));
      }),
      { numRuns: 2000 },
    );
  });

  it.skipIf(realData === undefined)('decodes every text of the real data back', () => {
    let bytes = 0;
    let milliseconds = 0;
    for (const name of readdirSync(realData!).filter((file) => file.endsWith('.jsonl'))) {
      for (const line of readFileSync(join(realData!, name), 'utf8').trim().split('\n')) {
        const record = JSON.parse(line) as Record<string, string | undefined>;
        const text = record.response ?? record.text ?? record.instruction ?? '';
        const start = performance.now();
        const ids = tokenizer.encode(text, { addBos: false });
        milliseconds += performance.now() - start;
        bytes += Buffer.byteLength(text);
        expect(tokenizer.decode(ids)).toBe(text.replaceAll('▁', ' '));
      }
    }
    console.log(
      `tokenizer: loaded in ${loadMilliseconds.toFixed(0)} ms, ${(bytes / milliseconds).toFixed(0)} kB/s`,
    );
    expect(bytes).toBeGreaterThan(0);
  });
});
