// The model's choice among labels is the label that scoring it as the answer finds likeliest, whatever stands beside it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { renderExample } from '../../lib/data/render';
import { type LabelItem, type LabelScore, scoreLabels } from '../../lib/eval/labels';
import { score } from '../../lib/eval/score';
import { Adapter } from '../../lib/model/adapter';
import { Model } from '../../lib/model/model';
import { ChatTemplate } from '../../lib/model/template';
import { FAMILIES, fixture } from '../support/fixtures';

const LABELS = ['sports', 'politics', 'geography', 'health'];
const item = (more: Partial<LabelItem> = {}): LabelItem => ({
  id: 'a',
  lang: 'en',
  turns: [{ role: 'user', content: 'What is this text about? The river is long.' }],
  labels: LABELS,
  correct: 2,
  ...more,
});
const ITEMS: LabelItem[] = [
  item(),
  item({
    id: 'b',
    lang: 'zh',
    turns: [{ role: 'user', content: '这是什么？' }],
    labels: ['体育', '政治', '地理'],
    correct: 0,
  }),
  item({
    id: 'c',
    lang: 'fi',
    turns: [
      { role: 'user', content: 'Mistä tämä kertoo?' },
      { role: 'assistant', content: 'urheilu ja terveys' },
      { role: 'user', content: 'Entä tämä?' },
    ],
    labels: ['urheilu', 'politiikka'],
    correct: 1,
  }),
];

describe.each(FAMILIES)('labels on %s', (family) => {
  let model: Model;
  let template: ChatTemplate;
  beforeAll(async () => {
    model = await Model.load({ model: fixture(family, 'model'), threads: 2 });
    const name = family === 'llama-tiny' ? 'mistral' : 'auto';
    template = await ChatTemplate.create({ template: name, tokenizer: model.tokenizer });
  });
  afterAll(() => model.dispose());

  it('are scored as `score` scores them as answers', async () => {
    const results = await scoreLabels({ model, items: ITEMS, template });
    expect(results.map(({ id }) => id)).toEqual(['a', 'b', 'c']);
    for (const [index, result] of results.entries()) {
      const { turns, labels, lang } = ITEMS[index]!;
      for (const [at, label] of labels.entries()) {
        const source = { file: 'x', line: 1 };
        const whole = [...turns, { role: 'assistant', content: label }];
        const parts = renderExample(
          { id: 'x', lang, turns: whole, source },
          { template, tokenizer: model.tokenizer },
        );
        // The last answer is the label with the turn's end: as many targets as the label's own rendering has.
        const alone = renderExample(
          { id: 'x', lang, turns: [turns.at(-1)!, { role: 'assistant', content: label }], source },
          { template, tokenizer: model.tokenizer },
        );
        const targets = alone.at(-1)!.weights.filter((weight) => weight !== 0).length;
        expect(result.tokens[at]).toBe(targets);
        let nats = 0;
        await score({
          model,
          examples: parts.slice(-1),
          onRecord: ({ logprobs }) => {
            for (const logprob of logprobs.slice(-targets)) nats -= logprob!;
          },
        });
        expect(result.nats[at]).toBeCloseTo(nats, 4);
        expect(result.bytes[at]).toBe(Buffer.byteLength(label));
      }
    }
  });

  it('need no logits of the prompt: the supervised tokens alone have the same log-probabilities', async () => {
    const examples = ITEMS.flatMap(({ id, lang, turns, labels }) =>
      renderExample(
        {
          id,
          lang,
          turns: [...turns, { role: 'assistant', content: labels[0]! }],
          source: { file: 'x', line: 1 },
        },
        { template, tokenizer: model.tokenizer },
      ),
    );
    const collect = async (targets: 'all' | 'supervised') => {
      const records = new Map<string, (number | null)[]>();
      const sums = await score({
        model,
        examples,
        targets,
        onRecord: ({ id, logprobs }) => void records.set(id, logprobs),
      });
      return { sums, records };
    };
    const all = await collect('all');
    const supervised = await collect('supervised');
    expect(supervised.sums).toEqual(all.sums);
    for (const { id, weights } of examples) {
      expect(supervised.records.get(id)).toEqual(
        all.records.get(id)!.map((value, at) => (weights[at] === 0 ? null : value)),
      );
      expect(all.records.get(id)!.slice(1)).not.toContain(null);
    }
  });

  it('are chosen by the fewest nats, or nats a byte, with margins that agree', async () => {
    for (const result of await scoreLabels({ model, items: ITEMS, template })) {
      const perByte = result.nats.map((value, at) => value / result.bytes[at]!);
      expect(result.nats[result.choice]).toBe(Math.min(...result.nats));
      expect(perByte[result.choicePerByte]).toBe(Math.min(...perByte));
      expect(result.margin > 0).toBe(result.choice === result.correct);
      expect(result.marginPerByte > 0).toBe(result.choicePerByte === result.correct);
      expect(result.measures).toEqual({
        labelCorrect: result.choice === result.correct ? 1 : 0,
        labelCorrectPerByte: result.choicePerByte === result.correct ? 1 : 0,
      });
    }
  });

  it('do not depend on their order, nor on what is scored beside them', async () => {
    const forward = await scoreLabels({ model, items: ITEMS, template });
    const turned = ITEMS.map((one) => ({ ...one, labels: [...one.labels].reverse() })).reverse();
    const backward = (await scoreLabels({ model, items: turned, template, microTokens: 4096 })).reverse();
    const named = (results: LabelScore[], items: readonly LabelItem[]) =>
      results.map(({ choice }, at) => items[at]!.labels[choice]);
    expect(named(backward, [...turned].reverse())).toEqual(named(forward, ITEMS));
    for (const [at, { nats }] of forward.entries())
      for (const [label, value] of nats.entries())
        expect([...backward[at]!.nats].reverse()[label]).toBeCloseTo(value, 4);
  });

  it('are scored with an adapter, which leaves the base as it is', async () => {
    const adapter = await Adapter.load(model, fixture(family, 'adapter'));
    const before = await scoreLabels({ model, items: ITEMS, template });
    const tuned = await scoreLabels({ model, adapter, items: ITEMS, template });
    expect(tuned[0]!.nats).not.toEqual(before[0]!.nats);
    expect(await scoreLabels({ model, items: ITEMS, template })).toEqual(before);
  });

  it('are scored after a plain text where there is no template', async () => {
    const none = await ChatTemplate.create({ template: 'none', tokenizer: model.tokenizer });
    const [result] = await scoreLabels({ model, items: [item()], template: none });
    const prompt = model.tokenizer.encode('geography', { addBos: false });
    expect(result!.tokens[2]).toBe(prompt.length);
    expect(result!.nats.every((value) => value > 0)).toBe(true);
  });
});

describe('label items', () => {
  let model: Model;
  let template: ChatTemplate;
  beforeAll(async () => {
    model = await Model.load({ model: fixture('smol-tiny', 'model'), threads: 2 });
    template = await ChatTemplate.create({ tokenizer: model.tokenizer });
  });
  afterAll(() => model.dispose());

  it.each([
    [[item(), item()], 'items: two items have the id "a"'],
    [[item({ labels: ['x'] })], 'items: "a": labels: expected at least two, got 1'],
    [[item({ labels: ['x', ' '], correct: 0 })], 'items: "a": labels[1] is blank'],
    [[item({ labels: ['x', 'y', 'x'] })], 'items: "a": the label "x" comes twice'],
    [[item({ correct: 4 })], 'items: "a": correct: expected a whole number from 0 to 3, got 4'],
    [
      [item({ turns: [{ role: 'assistant', content: 'x' }] })],
      'items: "a": turns: expected the last to be the user\'s',
    ],
  ])('are refused where nothing can be chosen', async (items, message) => {
    await expect(scoreLabels({ model, items, template })).rejects.toThrow(new RangeError(message));
  });

  it('are refused where a label would be cut', async () => {
    await expect(scoreLabels({ model, items: [item()], template, maxLength: 12 })).rejects.toMatchObject({
      code: 'DATA_INVALID',
      message: expect.stringMatching(
        /^labels: item "a": prompt and label "sports" are \d+ tokens, at most 12/,
      ),
    });
  });

  it('can be none, and can be aborted', async () => {
    expect(await scoreLabels({ model, items: [], template })).toEqual([]);
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(scoreLabels({ model, items: ITEMS, template, signal })).rejects.toThrow('enough');
  });
});
