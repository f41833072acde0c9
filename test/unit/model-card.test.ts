// The card is read by the hub's parser, which is Python's: its head must be what that takes it for.
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type ModelCardFacts, modelCard } from '../../lib/train/model-card';
import { resolveTrainOptions } from '../../lib/train/options';

const facts = (more: Partial<ModelCardFacts> = {}): ModelCardFacts => ({
  options: resolveTrainOptions({ model: '/anywhere/m.gguf', data: ['/anywhere/secret/data.jsonl'] }),
  data: {
    mixture: {
      files: ['/anywhere/secret/data.jsonl'],
      idsHash: 'b'.repeat(64),
      languages: {
        fi: { examples: 2, tokens: 40, supervisedTokens: 20 },
        no: { examples: 1, tokens: 20, supervisedTokens: 10 },
        und: { examples: 1, tokens: 5, supervisedTokens: 2 },
      },
      dev: {},
      cut: {},
      dropped: {},
      controlTokenRecords: 0,
      template: 'gemma',
    },
    hash: 'a'.repeat(64),
  },
  steps: 2,
  baseName: 'google/gemma-3-270m',
  best: undefined,
  ...more,
});
const headOf = (card: string) => parse(card.split('---\n')[1] as string, { version: '1.1' });

describe('a model card', () => {
  it('has the head that the hub reads, with Norwegian as a language', () => {
    expect(headOf(modelCard(facts()))).toEqual({
      base_model: 'google/gemma-3-270m',
      library_name: 'peft',
      pipeline_tag: 'text-generation',
      language: ['fi', 'no'],
      tags: ['lora', 'mlit'],
    });
  });

  it('names data by hashes and counts, and no place of this machine', () => {
    const card = modelCard(facts({ best: { step: 7, loss: 1.25 } }));
    for (const text of [
      'a'.repeat(64),
      'b'.repeat(64),
      '| no | 1 | 20 | 10 |',
      '`data.jsonl`',
      'learningRate: 0.0002',
    ])
      expect(card).toContain(text);
    expect(card).toContain('after step 7, with a dev loss of 1.2500');
    expect(card).not.toContain('/anywhere');
  });

  it('of a model tuned in full loads it as a model, and says nothing of adapters', () => {
    const options = resolveTrainOptions({ model: 'm', data: ['d.jsonl'], method: 'full' });
    const card = modelCard(facts({ options }));
    expect(headOf(card)).toEqual({
      base_model: 'google/gemma-3-270m',
      library_name: 'transformers',
      pipeline_tag: 'text-generation',
      language: ['fi', 'no'],
      tags: ['mlit'],
    });
    expect(card).toContain('# google/gemma-3-270m, tuned in full');
    expect(card).toContain('AutoModelForCausalLM.from_pretrained');
    expect(card).not.toMatch(/adapter|peft|lora/i);
  });

  it('of an adapter over a rounded base says which, where a program finds it too', () => {
    const card = modelCard(facts({ roundedBy: '--base-dtype nf4' }));
    expect(headOf(card).tags).toEqual(['lora', 'mlit', 'base-nf4']);
    expect(card).toContain("over the base's matrices in nf4 (`--base-dtype nf4`)");
    expect(modelCard(facts({ roundedBy: '--compute int8' }))).toContain('in int8 (`--compute int8`)');
  });

  it('claims no base by a path', () => {
    const card = modelCard(facts({ baseName: './models/tiny' }));
    expect(headOf(card)).not.toHaveProperty('base_model');
    expect(card).toContain('# LoRA adapter for tiny');
  });
});
