// Sampling as callers meet it: text that streams in whole pieces, ends for a stated reason, and does not know its neighbours.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Adapter, Model, type SampleRequest, type SampleResult, Sampler } from '../../lib/index';
import { toAdapterSpec } from '../../lib/model/adapter';
import { fixture } from '../support/fixtures';

let model: Model;
let sampler: Sampler;
beforeAll(async () => {
  model = await Model.load({ model: fixture('smol-tiny', 'model'), threads: 2 });
  const adapters = [
    await Adapter.load(model, fixture('smol-tiny', 'adapter')),
    await Adapter.load(model, fixture('smol-tiny', 'adapter-rslora')),
  ];
  sampler = await Sampler.create({ model, adapters, maxRows: 3 });
});
afterAll(() => model.dispose());

const ask = (id: string, more: Partial<SampleRequest> = {}): SampleRequest => ({
  id,
  prompt: model.tokenizer.encode(`question ${id.length}${id}`),
  maxNewTokens: 24,
  adapter: -1,
  ...more,
});
const one = async (request: SampleRequest): Promise<SampleResult> => (await sampler.generate([request]))[0]!;

it('is planned as it is made, the model left out', async () => {
  const adapters = [16, 4].map((rank) => toAdapterSpec({ rank }));
  const load = { threads: 2, isa: 'auto', format: 'f32' } as const;
  const limits = { maxRows: 3, cacheTokens: 500 };
  const plan = await Sampler.plan({ path: model.source.path, adapters, load }, limits);
  const made = await Promise.all(adapters.map((spec) => Adapter.create(model, spec)));
  await using sampling = await Sampler.create({ model, adapters: made, ...limits });
  expect(plan).toEqual(sampling.memory);
});

describe('a stream', () => {
  it('gives each response in pieces that make it up, more requests than rows', async () => {
    const requests = Array.from({ length: 8 }, (_, i) => ask(`r${i}`, { temperature: 1, seed: i }));
    const pieces = new Map<string, string>();
    const results: SampleResult[] = [];
    for await (const event of sampler.stream(requests)) {
      if (event.type === 'text') pieces.set(event.id, (pieces.get(event.id) ?? '') + event.text);
      else if (event.type === 'result') results.push(event);
    }
    expect(results.map((result) => result.id).sort()).toEqual(requests.map((request) => request.id));
    for (const { id, response, tokens, logprobs, finishReason } of results) {
      expect(pieces.get(id) ?? '').toBe(response);
      expect(logprobs).toHaveLength(tokens.length);
      if (finishReason === 'length') expect(tokens).toHaveLength(24);
    }
  });

  it('that is left takes its requests along, and that is aborted rejects with the reason', async () => {
    for await (const _ of sampler.stream([ask('a'), ask('b'), ask('c'), ask('d')])) break;
    const alone = await one(ask('x'));
    const abort = new AbortController();
    const reason = new Error('enough');
    const endless = ['r1', 'r2'].map((id) => ask(id, { maxNewTokens: 500 })); // two of three rows
    const aborted = sampler.generate(endless, { signal: abort.signal });
    expect(await sampler.generate([ask('x')])).toEqual([alone]); // beside it, and untouched by its end
    abort.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    expect((await one(ask('a'))).tokens).toHaveLength(24);
  });
});

describe('an end', () => {
  it('by a stop text leaves it and what follows out, wherever tokens end', async () => {
    const whole = await one(ask('stop'));
    const characters = [...whole.response];
    for (const at of [3, 7, 11]) {
      const stop = characters.slice(at, at + 3).join('');
      const cut = await one(ask('stop', { stop: ['never there', stop] }));
      expect(cut).toMatchObject({
        finishReason: 'stop',
        response: whole.response.slice(0, whole.response.indexOf(stop)),
      });
      expect(whole.tokens.slice(0, cut.tokens.length)).toEqual(cut.tokens);
      expect(cut.tokens.length).toBeLessThan(24);
    }
  });

  it('by a token is told, and that token is no part of the response', async () => {
    const whole = await one(ask('turn'));
    const id = whole.tokens[5]!;
    const first = whole.tokens.indexOf(id);
    const ended = await one(ask('turn', { endOfTurnIds: [id] }));
    expect(ended.finishReason).toBe('end-of-turn');
    expect(ended.tokens).toEqual(whole.tokens.slice(0, first + 1));
    expect(ended.response).toBe(model.tokenizer.decode(whole.tokens.slice(0, first)));
  });

  it('at the context’s limit is told', async () => {
    const { contextLength } = model.config;
    const prompt = new Int32Array(contextLength - 2).fill(5);
    const request = ask('full', { prompt, maxNewTokens: 20 });
    expect(await one(request)).toMatchObject({ finishReason: 'context', tokens: { length: 2 } });
    const over = ask('over', { prompt: new Int32Array(contextLength).fill(5) });
    await expect(one(over)).rejects.toThrow(/'over'.*context of 512/);
  });
});

describe('a row', () => {
  it('does not know its neighbours, whatever they draw and whichever adapter they have', async () => {
    const requests = [-1, 0, 1, 0, -1, 1].map((adapter, i) =>
      ask(`r${i}`, {
        prompt: model.tokenizer.encode('the same question'),
        adapter,
        seed: 7,
        ...(i > 2 && { temperature: 0.9, topK: 40, topP: 0.95, minP: 0.01 }),
      }),
    );
    const together = await sampler.generate(requests);
    for (const [i, request] of requests.entries()) expect(await one(request)).toEqual(together[i]);
    const greedy = together.slice(0, 3).map((result) => result.tokens.join());
    expect(new Set(greedy).size).toBe(3);
  });

  it('with another seed draws otherwise, with the same one the same', async () => {
    const draw = async (seed: number) => (await one(ask('seed', { temperature: 1, seed }))).tokens.join();
    expect(await draw(1)).toBe(await draw(1));
    expect(await draw(1)).not.toBe(await draw(2));
  });

  it('is refused by its name', async () => {
    await expect(one(ask('bad', { topP: 2 }))).rejects.toThrow(/'bad'.*topP/);
    await expect(one(ask('bad', { adapter: 2 }))).rejects.toThrow(/'bad'.*adapter/);
    await expect(sampler.generate([ask('twice'), ask('twice')])).rejects.toThrow(/twice/);
  });
});

describe('a prompt that is scored', () => {
  it('has no answer, and null before the place that is asked for', async () => {
    await using sampling = await Sampler.create({ model, maxRows: 2 });
    const prompt = model.tokenizer.encode('What is it?');
    const [whole] = await sampling.generate([ask('a', { prompt, maxNewTokens: 1, promptLogprobs: true })]);
    const [end] = await sampling.generate([ask('b', { prompt, maxNewTokens: 0, promptLogprobs: 2 })]);
    expect(end).toMatchObject({ id: 'b', response: '', tokens: [], logprobs: [], finishReason: 'length' });
    expect(end!.prompt!.logprobs).toEqual([null, null, ...whole!.prompt!.logprobs.slice(2)]);
    expect(whole!.prompt!.logprobs[1]).toBeLessThan(0);
  });

  it('is asked for from a place in it, and none but such does without new tokens', async () => {
    await using sampling = await Sampler.create({ model, maxRows: 2 });
    const prompt = model.tokenizer.encode('What is it?');
    const refused = (extra: object) =>
      expect(sampling.generate([ask('a', { prompt, ...extra })])).rejects.toThrow(RangeError);
    await refused({ maxNewTokens: 0 });
    await refused({ maxNewTokens: 0, promptLogprobs: prompt.length });
    await refused({ promptLogprobs: prompt.length + 1 });
    await refused({ promptLogprobs: -1 });
  });
});

describe('a common beginning', () => {
  it('is computed once for all samples of a prompt, and its answers are those of each alone', async () => {
    const prompt = model.tokenizer.encode('the same long question again and again '.repeat(12));
    await using sampling = await Sampler.create({ model, maxRows: 8 });
    const requests = Array.from({ length: 8 }, (_, seed) =>
      ask(`s${seed}`, { prompt, temperature: 1, seed }),
    );
    const together = await sampling.generate(requests);
    // To the last token, whose logits each of them needs.
    expect(sampling.promptTokens).toEqual({ computed: prompt.length + 7, shared: 7 * (prompt.length - 1) });
    for (const [i, request] of requests.entries()) expect(await one(request)).toEqual(together[i]);
  });
});
