// The server as its clients meet it: OpenAI's own package asks, and what it reads is held to what the library gives alone.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  Adapter,
  ChatTemplate,
  Model,
  ModelServer,
  type ModelServerOptions,
  type RenderedExample,
  renderPrompt,
  type SampleRequest,
  type SampleResult,
  Sampler,
  score,
} from '../../lib/index';
import { load } from '../../scripts/serve-load/load.mjs';
import { fixture, scratch } from '../support/fixtures';

let model: Model;
let template: ChatTemplate;
let adapters: Record<string, Adapter>;
let alone: Sampler;
let server: ModelServer;
let client: OpenAI;
const NAMES = ['base', 'first', 'second'];

beforeAll(async () => {
  model = await Model.load({ model: fixture('smol-tiny', 'model'), threads: 2 });
  template = await ChatTemplate.create({ tokenizer: model.tokenizer });
  adapters = {
    first: await Adapter.load(model, fixture('smol-tiny', 'adapter')),
    second: await Adapter.load(model, fixture('smol-tiny', 'adapter-rslora')),
  };
  alone = await Sampler.create({ model, adapters: Object.values(adapters), maxRows: 1 });
  server = await start();
  client = clientOf(server);
});
afterAll(async () => {
  await server.close({ graceMs: 0 });
  await model.dispose();
});

const start = (more: Partial<ModelServerOptions> = {}): Promise<ModelServer> =>
  ModelServer.start({ model, name: 'base', adapters, template, port: 0, maxRows: 8, ...more });
const clientOf = ({ url }: ModelServer, apiKey = 'none'): OpenAI =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
/** What the library says to the same request, with nothing beside it. */
const expected = async (request: Omit<SampleRequest, 'id'>): Promise<SampleResult> =>
  (await alone.generate([{ id: 'x', adapter: -1, ...request }]))[0]!;
const encode = (text: string): Int32Array => model.tokenizer.encode(text);
const settled = async (condition: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
};
const metricsOf = async ({ url }: ModelServer): Promise<string> => (await fetch(`${url}/metrics`)).text();

describe('completions', () => {
  const PROMPT = 'the question is why';
  const base = { model: 'base', prompt: PROMPT, max_tokens: 12, temperature: 0 };

  it('are the text that the model gives, by its name', async () => {
    const texts = new Set<string>();
    for (const [at, name] of NAMES.entries()) {
      const whole = await expected({ prompt: encode(PROMPT), maxNewTokens: 12, adapter: at - 1 });
      const answer = await client.completions.create({ ...base, model: name });
      expect(answer.choices).toEqual([
        { index: 0, text: whole.response, logprobs: null, finish_reason: 'length' },
      ]);
      expect(answer).toMatchObject({ object: 'text_completion', model: name });
      const prompt_tokens = encode(PROMPT).length;
      expect(answer.usage).toEqual({
        prompt_tokens,
        completion_tokens: 12,
        total_tokens: prompt_tokens + 12,
      });
      texts.add(whole.response);
    }
    expect(texts.size).toBe(3);
  });

  it('stream the same text, and what it cost where that is asked', async () => {
    const { response } = await expected({ prompt: encode(PROMPT), maxNewTokens: 12 });
    for (const include_usage of [true, false]) {
      const stream = await client.completions.create({
        ...base,
        stream: true,
        stream_options: { include_usage },
      });
      const chunks = [];
      for await (const chunk of stream) chunks.push(chunk);
      expect(chunks.map((chunk) => chunk.choices[0]?.text ?? '').join('')).toBe(response);
      expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
      const usages = chunks.filter((chunk) => chunk.usage);
      expect(usages).toHaveLength(include_usage ? 1 : 0);
      if (include_usage)
        expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 12 } });
      const reasons = chunks.flatMap(({ choices }) => choices.map((choice) => choice.finish_reason));
      expect(reasons.filter((reason) => reason !== null)).toEqual(['length']);
    }
  });

  it('draw by temperature, filters and seed, each answer of several by a seed of its own', async () => {
    const drawn = { ...base, temperature: 0.9, top_p: 0.9, top_k: 40, min_p: 0.01, seed: 5 };
    const texts = async (more: object): Promise<string[]> =>
      (await client.completions.create({ ...drawn, ...more, stream: false } as typeof drawn)).choices.map(
        ({ text }) => text,
      );
    const three = await texts({ n: 3 });
    const wants = await Promise.all(
      [5, 6, 7].map((seed) =>
        expected({
          prompt: encode(PROMPT),
          maxNewTokens: 12,
          temperature: 0.9,
          topP: 0.9,
          topK: 40,
          minP: 0.01,
          seed,
        }),
      ),
    );
    expect(three).toEqual(wants.map(({ response }) => response));
    expect(new Set(three).size).toBe(3);
    expect(await texts({ seed: -1 })).toEqual(await texts({ seed: -1 }));
    const unseeded = { seed: undefined, max_tokens: 40 };
    expect(await texts(unseeded)).not.toEqual(await texts(unseeded));
  });

  it('end before a stop text, whole or streamed', async () => {
    const { response } = await expected({ prompt: encode(PROMPT), maxNewTokens: 12 });
    const stop = [...response].slice(6, 9).join('');
    const text = response.slice(0, response.indexOf(stop));
    for (const given of [stop, ['never there', stop]]) {
      const answer = await client.completions.create({ ...base, stop: given, logprobs: 0 });
      expect(answer.choices[0]).toMatchObject({ text, finish_reason: 'stop' });
      const { tokens, text_offset } = answer.choices[0]!.logprobs!;
      expect(text_offset!.every((offset) => offset < [...text].length)).toBe(true);
      expect(tokens!.length).toBe(text_offset!.length);
    }
    const streamed = [];
    for await (const chunk of await client.completions.create({ ...base, stop, stream: true }))
      streamed.push(chunk.choices[0]?.text);
    expect(streamed.join('')).toBe(text);
  });

  it('tell log-probabilities, the same when streamed', async () => {
    const whole = await expected({
      prompt: encode(PROMPT),
      maxNewTokens: 12,
      topLogprobs: 2,
      temperature: 1,
      seed: 3,
    });
    const asked = { ...base, temperature: 1, seed: 3, logprobs: 2 };
    const { text, logprobs } = (await client.completions.create(asked)).choices[0]!;
    expect(logprobs!.token_logprobs).toEqual(whole.logprobs);
    expect(logprobs!.tokens).toHaveLength(12);
    for (const [at, top] of (logprobs!.top_logprobs as Record<string, number>[]).entries()) {
      expect(top[logprobs!.tokens![at]!]).toBe(whole.logprobs[at]); // the token itself is among them
      expect(Math.max(...Object.values(top))).toBe(
        Math.max(whole.topLogprobs![at]![0]!.logprob, whole.logprobs[at]!),
      );
    }
    const characters = [...text];
    for (const [at, token] of logprobs!.tokens!.entries()) {
      const place = logprobs!.text_offset![at]!;
      // Bytes that are no character become one with the token behind them.
      if (!token.startsWith('bytes:') && characters[place] !== '\ufffd')
        expect(characters.slice(place, place + [...token].length).join('')).toBe(token);
    }
    const streamed = { tokens: [] as string[], token_logprobs: [] as number[], text_offset: [] as number[] };
    for await (const chunk of await client.completions.create({ ...asked, stream: true })) {
      for (const key of ['tokens', 'token_logprobs', 'text_offset'] as const)
        (streamed[key] as unknown[]).push(...(chunk.choices[0]?.logprobs?.[key] ?? []));
    }
    const { top_logprobs: _, ...others } = logprobs!;
    expect(streamed).toEqual(others);
  });

  it('echo a prompt and tell how likely it is, as a harness asks', async () => {
    const ids = [...encode('the question is why and how')];
    const example = { id: 'x', lang: 'en', tokens: Int32Array.from(ids), promptLength: 1, cut: false };
    const weights = Float32Array.from(ids, (_, at) => (at === 0 ? 0 : 1));
    let scored: (number | null)[] = [];
    await score({
      model,
      adapter: adapters.second,
      examples: [{ ...example, weights, source: { file: 'x', line: 1 } } satisfies RenderedExample],
      onRecord: ({ logprobs }) => {
        scored = logprobs;
      },
    });
    for (const max_tokens of [0, 1]) {
      const answer = await client.completions.create({
        model: 'second',
        prompt: [ids, ids],
        max_tokens,
        temperature: 0,
        echo: true,
        logprobs: 1,
        seed: 1234,
      });
      expect(answer.usage?.completion_tokens).toBe(2 * max_tokens);
      for (const { text, logprobs } of answer.choices) {
        expect(text.startsWith(model.tokenizer.decode(ids))).toBe(true);
        expect(logprobs!.token_logprobs).toHaveLength(ids.length + max_tokens);
        expect(logprobs!.top_logprobs![0]).toBeNull();
        for (const [at, wanted] of scored.entries()) {
          const got = logprobs!.token_logprobs![at];
          if (wanted === null) expect(got).toBeNull();
          else expect(got).toBeCloseTo(wanted, 4);
          if (wanted === null) continue;
          const best = Math.max(...Object.values(logprobs!.top_logprobs![at]!));
          expect(best).toBeGreaterThanOrEqual(got!);
        }
        expect(logprobs!.text_offset![1]).toBe([...model.tokenizer.decode(ids.slice(0, 1))].length);
      }
    }
    // A continuation that is greedy is told as such: its log-probabilities are the best ones, to the bit.
    const { tokens: greedy } = await expected({ prompt: Int32Array.from(ids), maxNewTokens: 6, adapter: 1 });
    const continued = {
      model: 'second',
      prompt: [...ids, ...greedy],
      max_tokens: 1,
      echo: true,
      logprobs: 1,
    };
    const { logprobs } = (await client.completions.create(continued)).choices[0]!;
    for (let at = ids.length; at < ids.length + greedy.length; at += 1)
      expect(logprobs!.token_logprobs![at]).toBe(Math.max(...Object.values(logprobs!.top_logprobs![at]!)));
    const echoed = [];
    const streaming = {
      model: 'base',
      prompt: 'why',
      max_tokens: 3,
      temperature: 0,
      echo: true,
      stream: true,
    } as const;
    for await (const chunk of await client.completions.create(streaming)) echoed.push(chunk.choices[0]?.text);
    expect(echoed.join('')).toBe(
      `why${(await expected({ prompt: encode('why'), maxNewTokens: 3 })).response}`,
    );
  });

  it('answer several prompts, texts or ids, in their order', async () => {
    const prompts = ['why', 'who was it', 'where'];
    const wants = await Promise.all(
      prompts.map((prompt) => expected({ prompt: encode(prompt), maxNewTokens: 4 })),
    );
    const twice = wants.flatMap(({ response }) => [response, response]);
    for (const prompt of [prompts, prompts.map((text) => [...encode(text)])]) {
      const { choices } = await client.completions.create({ ...base, prompt, max_tokens: 4, n: 2 });
      expect(choices.map(({ index, text }) => [index, text])).toEqual(twice.map((text, at) => [at, text]));
    }
    const { choices } = await client.completions.create({
      ...base,
      prompt: [...encode('why')],
      max_tokens: 4,
    });
    expect(choices.map(({ text }) => text)).toEqual([wants[0]!.response]);
  });
});

describe('chat', () => {
  const messages = [
    { role: 'system' as const, content: 'be brief' },
    {
      role: 'user' as const,
      content: [
        { type: 'text' as const, text: 'why ' },
        { type: 'text' as const, text: 'so' },
      ],
    },
  ];
  const base = { model: 'first', messages, max_completion_tokens: 10, temperature: 0 };
  const wanted = (): Promise<SampleResult> => {
    const turns = [messages[0] as { role: string; content: string }, { role: 'user', content: 'why so' }];
    const { tokens } = renderPrompt(turns, { tokenizer: model.tokenizer, template });
    return expected({
      prompt: tokens,
      maxNewTokens: 10,
      adapter: 0,
      topLogprobs: 2,
      endOfTurnIds: [template.end.ids.at(-1)!],
    });
  };

  it('goes through the template, and tells log-probabilities with their bytes', async () => {
    const whole = await wanted();
    const answer = await client.chat.completions.create({ ...base, logprobs: true, top_logprobs: 2 });
    expect(answer.choices[0]).toMatchObject({
      message: { role: 'assistant', content: whole.response },
      finish_reason: 'length',
    });
    const entries = answer.choices[0]!.logprobs!.content!;
    expect(entries.map(({ logprob }) => logprob)).toEqual(whole.logprobs);
    expect(Buffer.from(entries.flatMap(({ bytes }) => bytes!)).toString()).toBe(whole.response);
    for (const { top_logprobs } of entries) expect(top_logprobs).toHaveLength(2);
  });

  it('streams an answer behind its role, its log-probabilities beside the text', async () => {
    const whole = await wanted();
    const stream = await client.chat.completions.create({ ...base, logprobs: true, stream: true, n: 2 });
    const texts = ['', ''];
    const logprobs: number[][] = [[], []];
    const roles: unknown[] = [];
    for await (const { choices } of stream) {
      for (const { index, delta, logprobs: told } of choices) {
        if (delta.role) roles[index] = delta.role;
        texts[index] += delta.content ?? '';
        logprobs[index]!.push(...(told?.content ?? []).map(({ logprob }) => logprob));
      }
    }
    expect(roles).toEqual(['assistant', 'assistant']);
    expect(texts).toEqual([whole.response, whole.response]);
    expect(logprobs).toEqual([whole.logprobs, whole.logprobs]);
  });
});

describe('a request that can’t be answered', () => {
  const asked = { model: 'base', prompt: 'why', max_tokens: 4 };
  const refusal = (parameters: object): Promise<unknown> =>
    client.completions.create({ ...asked, ...parameters } as never).catch((error: unknown) => error);

  it('is refused by the parameter that is meant', async () => {
    const cases: [object, number, string | null, RegExp][] = [
      [{ model: 'other' }, 404, 'model', /base, first, second/],
      [{ tempurature: 1 }, 400, 'tempurature', /did you mean 'temperature'/],
      [{ temperature: -1 }, 400, 'temperature', /at least 0, got -1/],
      [{ stop: Array.from({ length: 17 }, String) }, 400, 'stop', /at most 16/],
      [{ logprobs: 6 }, 400, 'logprobs', /at most 5/],
      [{ logit_bias: { 5: 100 } }, 400, 'logit_bias', /not supported/],
      [{ presence_penalty: 0.5 }, 400, 'presence_penalty', /not supported/],
      [{ suffix: 'end' }, 400, 'suffix', /not supported/],
      [{ best_of: 3 }, 400, 'best_of', /not supported/],
      [{ prompt: undefined }, 400, 'prompt', /is needed/],
      [{ prompt: [1, 512] }, 400, 'prompt', /id 512/],
      [{ prompt: 'again '.repeat(600) }, 400, null, /context is 512/],
      [{ max_tokens: 100_000 }, 400, null, /room for 8192/],
      [{ n: 100, prompt: ['a', 'b', 'c'] }, 400, 'n', /264/],
    ];
    for (const [parameters, status, param, message] of cases) {
      expect(await refusal(parameters), JSON.stringify(parameters)).toMatchObject({
        status,
        param,
        message: expect.stringMatching(message),
      });
    }
    expect(await refusal({ user: 'me', logit_bias: {}, frequency_penalty: 0, suffix: null })).toHaveProperty(
      'choices',
    );
  });

  it('is refused in chat for tools, formats, images and roles', async () => {
    const ask = (parameters: object): Promise<unknown> => {
      const messages = [{ role: 'user', content: 'why' }];
      return client.chat.completions
        .create({ model: 'base', messages, max_tokens: 2, ...parameters } as never)
        .catch((error: unknown) => error);
    };
    const image = [{ type: 'image_url', image_url: { url: 'data:' } }];
    const cases: [object, string][] = [
      [{ tools: [{ type: 'function', function: { name: 'f' } }] }, 'tools'],
      [{ response_format: { type: 'json_object' } }, 'response_format'],
      [{ top_logprobs: 2 }, 'top_logprobs'],
      [{ messages: [] }, 'messages'],
      [{ messages: [{ role: 'tool', content: 'x' }] }, 'messages[0].role'],
      [{ messages: [{ role: 'user', content: image }] }, 'messages[0].content'],
    ];
    for (const [parameters, param] of cases)
      expect(await ask(parameters), param).toMatchObject({ status: 400, param });
    expect(await ask({ response_format: { type: 'text' }, tools: [] })).toHaveProperty('choices');
  });

  it('is told so in JSON also where no client of theirs would get', async () => {
    for (const [path, body, status] of [
      ['/v1/completions', '{', 400],
      ['/v1/completions', '[]', 400],
      ['/v1/nothing', '{}', 404],
    ] as const) {
      const response = await fetch(server.url + path, { method: 'POST', body });
      expect(response.status).toBe(status);
      expect(await response.json()).toMatchObject({ error: { type: 'invalid_request_error' } });
    }
  });

  it('for a full queue gets 429 and a time, and is answered when there is room', async () => {
    await using small = await start({ maxRows: 1, maxQueue: 1 });
    const few = clientOf(small);
    const long = { model: 'base', prompt: 'why', max_tokens: 400, temperature: 0 };
    const running = [few.completions.create(long), few.completions.create(long)];
    await settled(() => small.running === 2);
    const error = await few.completions.create(asked).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    const { headers, code } = error as InstanceType<typeof OpenAI.RateLimitError>;
    expect([Number(headers.get('retry-after')) >= 1, code]).toEqual([true, 'queue_full']);
    await Promise.all(running);
    expect((await few.completions.create(asked)).choices).toHaveLength(1);
  });
});

describe('the server', () => {
  it('says what it has and how it does', async () => {
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(NAMES);
    expect(await client.models.retrieve('first')).toMatchObject({ id: 'first', object: 'model' });
    await expect(client.models.retrieve('other')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    expect(await (await fetch(`${server.url}/health`)).json()).toEqual({ status: 'ok', models: NAMES });
    await using fresh = await start();
    await clientOf(fresh).completions.create({
      model: 'first',
      prompt: 'why',
      max_tokens: 3,
      ...{ min_p: 0 },
    });
    const text = await metricsOf(fresh);
    for (const line of [
      'mlit_requests_total{endpoint="completions",status="200"} 1',
      'mlit_generated_tokens_total{model="first"} 3',
      `mlit_prompt_tokens_total{model="first"} ${encode('why').length}`,
      'mlit_time_to_first_token_seconds_count{model="first"} 1',
      'mlit_answers_waiting 0',
      'mlit_answers_running 0',
    ])
      expect(text).toContain(line);
  });

  it('lets a request go whose client went away', async () => {
    await using fresh = await start({ maxRows: 2 });
    const asking = clientOf(fresh);
    const long = { model: 'base', prompt: 'why', max_tokens: 480, temperature: 0 };
    for await (const _ of await asking.completions.create({ ...long, stream: true })) break;
    const abort = new AbortController();
    const whole = asking.completions.create(long, { signal: abort.signal }).catch((error: unknown) => error);
    await settled(async () => /running 1/.test(await metricsOf(fresh)));
    abort.abort();
    expect(await whole).toBeInstanceOf(OpenAI.APIUserAbortError);
    await settled(async () => /running 0/.test(await metricsOf(fresh)));
    await settled(async () => (await metricsOf(fresh)).includes('endpoint="completions",status="499"} 2'));
    expect(await metricsOf(fresh)).not.toContain('mlit_generated_tokens_total{');
  });

  it('finishes what runs when it ends, and takes nothing more', async () => {
    const ending = await start();
    const asking = clientOf(ending);
    const long = { model: 'second', prompt: 'why', max_tokens: 300, temperature: 0 };
    const stream = await asking.completions.create({ ...long, stream: true });
    let text = '';
    let closed: Promise<number> | undefined;
    for await (const chunk of stream) {
      if (closed === undefined) {
        closed = ending.close();
        await expect(clientOf(ending).completions.create(long)).rejects.toBeInstanceOf(OpenAI.APIError);
      }
      text += chunk.choices[0]?.text ?? '';
    }
    expect(text).toBe((await expected({ prompt: encode('why'), maxNewTokens: 300, adapter: 1 })).response);
    expect(await closed).toBe(0);
  });

  it('ends the requests of an adapter that has diverged, and no others', async () => {
    const folder = join(scratch(), 'diverged');
    cpSync(fixture('smol-tiny', 'adapter'), folder, { recursive: true });
    const file = join(folder, 'adapter_model.safetensors');
    const bytes = readFileSync(file);
    bytes.fill(0xff, 8 + Number(bytes.readBigUInt64LE())); // every number a NaN
    writeFileSync(file, bytes);
    const diverged = await Adapter.load(model, folder);
    await using some = await start({ adapters: { ...adapters, diverged } });
    const ask = (name: string) =>
      clientOf(some).completions.create({ model: name, prompt: 'why', max_tokens: 200, temperature: 0 });
    const others = NAMES.map(ask);
    const error = await ask('diverged').catch((reason: unknown) => reason);
    expect(error).toMatchObject({ status: 500, code: 'not_finite' });
    for (const [at, answer] of (await Promise.all(others)).entries()) {
      const whole = await expected({ prompt: encode('why'), maxNewTokens: 200, adapter: at - 1 });
      expect(answer.choices[0]!.text).toBe(whole.response);
    }
  });

  it('asks for its token, but for /health', async () => {
    await using closed = await start({ token: 'secret' });
    await expect(clientOf(closed, 'guess').models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    expect((await clientOf(closed, 'secret').models.list()).data).toHaveLength(3);
    expect((await fetch(`${closed.url}/metrics`)).status).toBe(401);
    expect((await fetch(`${closed.url}/health`)).status).toBe(200);
    await expect(start({ host: '0.0.0.0' })).rejects.toThrow(/needs a token/);
  });

  it('gives each of many clients the bytes that it would get alone', async () => {
    const { requests, wrong, errors } = await load({
      url: server.url,
      models: NAMES,
      clients: 16,
      seconds: 2,
    });
    expect({ wrong, errors }).toEqual({ wrong: 0, errors: [] });
    expect(requests).toBeGreaterThan(16);
    await settled(async () => /waiting 0\n[\s\S]*running 0\n/.test(await metricsOf(server)));
  });
});
