// A tokenizer comes with a model from anywhere: whatever its files say, reading them ends, and encoding with what was read too.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Tokenizer } from '../../lib/index';
import type { TokenizerJson } from '../../lib/model/tokenizer-check';
import type { GgufMetadata } from '../../lib/native/types';
import { fixture } from '../support/fixtures';
import { readGgufMetadata } from '../support/gguf-metadata';
import { answers, mutated, property } from './hostile';

const TEXT = 'Hello  wörld <end_of_turn> 猫\n\t102 ';

/** The first tokens of a vocabulary and what of its merges they allow. */
function small(family: string): Record<string, unknown> {
  const json = JSON.parse(readFileSync(fixture(family, 'model', 'tokenizer.json'), 'utf8'));
  const vocab = Object.fromEntries(Object.entries(json.model.vocab as Record<string, number>).slice(0, 300));
  const has = (text: string): boolean => Object.hasOwn(vocab, text);
  const pair = (rule: string | string[]): string[] => (typeof rule === 'string' ? rule.split(' ') : rule);
  const merges = json.model.merges
    .filter((rule: string | string[]) => pair(rule).every(has) && has(pair(rule).join('')))
    .slice(0, 30);
  return { ...json, model: { ...json.model, vocab, merges } };
}

function use(tokenizer: Tokenizer): void {
  const ids = tokenizer.encode(TEXT, { addBos: false });
  tokenizer.decode(ids);
  tokenizer.toJson();
  expect(tokenizer.vocabSize).toBeLessThanOrEqual(2 ** 24);
}

describe('a tokenizer.json', () => {
  for (const family of ['llama-tiny', 'smol-tiny', 'gemma3-tiny']) {
    const valid = small(family);
    it(`of ${family} is read when nothing is wrong with it`, () => {
      use(Tokenizer.fromJson(valid as TokenizerJson));
    });
    property(`of ${family} with places replaced is read or refused`, mutated(valid), (json) =>
      answers(() => use(Tokenizer.fromJson(json as TokenizerJson, {}, 'hostile.json')), 'hostile.json').then(
        () => undefined,
      ),
    );
  }

  const side = {
    config: {
      bos_token: { content: '<s>' },
      eos_token: '</s>',
      add_bos_token: true,
      chat_template: [{ name: 'default', template: 'x' }],
    },
    specialTokens: { pad_token: '</s>' },
    generation: { eos_token_id: [1, 2] },
  };
  const llama = small('llama-tiny') as TokenizerJson;
  property('with hostile files beside it is read or refused', mutated(side), (files) =>
    answers(() => use(Tokenizer.fromJson(llama, files as never, 'hostile.json')), 'hostile.json').then(
      () => undefined,
    ),
  );
});

describe('a tokenizer of a GGUF', () => {
  for (const family of ['llama-tiny', 'gemma3-tiny']) {
    const metadata = readGgufMetadata(fixture(family, 'model.gguf'));
    const tokens = metadata['tokenizer.ggml.tokens'] as string[];
    const keys = Object.entries(metadata).filter(([key]) => key.startsWith('tokenizer.'));
    const short = Object.fromEntries(
      keys.map(([key, value]) => {
        if (key === 'tokenizer.ggml.merges') return [key, []];
        if (ArrayBuffer.isView(value))
          return [key, [...(value as unknown as Iterable<number>)].slice(0, 100)];
        return [key, Array.isArray(value) ? value.slice(0, 100) : value];
      }),
    );
    expect(tokens.length).toBeGreaterThan(100);
    property(`of ${family} with places replaced is read or refused`, mutated(short), (hostile) =>
      answers(() => use(Tokenizer.fromGguf(hostile as GgufMetadata, 'hostile.gguf')), 'hostile.gguf').then(
        () => undefined,
      ),
    );
  }
});

describe('a tokenizer made to hurt', () => {
  interface Loose extends Record<string, unknown> {
    model: { vocab: Record<string, unknown>; merges: unknown };
  }
  const base = (): Loose => structuredClone(small('llama-tiny')) as Loose;
  const refused = (json: unknown, says: RegExp): void =>
    expect(() => use(Tokenizer.fromJson(json as TokenizerJson, {}, 'hostile.json'))).toThrow(says);

  it('by no metadata, or no files beside it, where they should be is refused', () => {
    for (const none of [null, undefined, 3] as unknown[]) {
      const damaged = expect.objectContaining({
        code: 'FILE_DAMAGED',
        message: expect.stringMatching(/^f: expected an object/),
      });
      expect(() => Tokenizer.fromGguf(none as GgufMetadata, 'f')).toThrow(damaged);
      if (none !== undefined)
        expect(() => Tokenizer.fromJson(base() as unknown as TokenizerJson, none as never, 'f')).toThrow(
          damaged,
        );
    }
  });

  it('by merges that loop ends: every merge makes a word shorter', () => {
    const json = base();
    json.model.vocab = { a: 0, aa: 1, aaa: 2, '': 3 };
    json.model.merges = [
      ['a', 'a'],
      ['aa', 'a'],
      ['a', 'aa'],
      ['a', ''],
      ['', ''],
    ];
    json.added_tokens = [];
    const tokenizer = Tokenizer.fromJson(json as TokenizerJson);
    expect(tokenizer.encode('a'.repeat(2000), { addBos: false }).length).toBeLessThan(2000);
  });

  it('by ids is refused before memory is taken for them', () => {
    for (const id of [-1, 0.5, 2 ** 31, 4294967294, 1e308, '7', null]) {
      const json = base();
      json.model.vocab['◊'] = id;
      refused(json, /hostile\.json: .*id/);
      const added = base();
      added.added_tokens = [{ id, content: '<x>', special: true }];
      refused(added, /hostile\.json: .*id/);
    }
  });

  it('by stages that multiply the text is refused', () => {
    const grow = { type: 'Replace', pattern: { String: '0' }, content: '00' };
    const json = base();
    json.decoder = { type: 'Sequence', decoders: Array.from({ length: 60 }, () => grow) };
    refused(json, /hostile\.json/);
    const normal = base();
    normal.normalizer = {
      type: 'Sequence',
      normalizers: [{ type: 'Prepend', prepend: '0' }, ...Array.from({ length: 60 }, () => grow)],
    };
    refused(normal, /hostile\.json/);
  });

  it('by stages nested without end is refused', () => {
    for (const [field, children] of [
      ['normalizer', 'normalizers'],
      ['pre_tokenizer', 'pretokenizers'],
      ['decoder', 'decoders'],
      ['post_processor', 'processors'],
    ] as const) {
      let stage: Record<string, unknown> = { type: 'Sequence', [children]: [] };
      for (let i = 0; i < 20_000; i += 1) stage = { type: 'Sequence', [children]: [stage] };
      refused({ ...base(), [field]: stage }, /hostile\.json/);
    }
  });

  it('by an added token of empty text does not stop encoding', () => {
    const json = base();
    json.added_tokens = [{ id: 5, content: '', special: true }];
    use(Tokenizer.fromJson(json as TokenizerJson));
  });

  it('by a regular expression that is none is refused', () => {
    refused(
      { ...base(), pre_tokenizer: { type: 'Split', pattern: { Regex: '(' }, behavior: 'Isolated' } },
      /hostile\.json/,
    );
  });
});
