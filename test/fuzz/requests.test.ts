// Requests as somebody may send them who means harm: to the server of models and to the page on which people judge. Each is
// answered, or refused by a status from 400 to 499 and a sentence; the server goes on, and nothing half written is left.
import { mkdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { annotationApp, jsonRefusal } from '../../lib/annotate/app';
import { LabelStore, VERDICTS_FILE } from '../../lib/annotate/labels';
import type { Session } from '../../lib/annotate/protocol';
import { readVerdicts } from '../../lib/eval/verdicts';
import { LinkAccess } from '../../lib/http/access';
import { HttpServer } from '../../lib/http/server';
import { Model, ModelServer } from '../../lib/index';
import { taskOf } from '../support/annotation';
import { fixture } from '../support/fixtures';
import { damaged, hostileFolder, mutated, property, textOf } from './hostile';

const write = hostileFolder();
/** What a server says of faults of its own; there may be none. */
const faults: unknown[] = [];
const onFault = (error: unknown): void => void faults.push(error);
function noFault(): void {
  const [fault] = faults.splice(0);
  if (fault !== undefined) throw fault;
}

/** Sends bytes as they are. The status, 0 where the connection was ended without one. */
function raw(port: number, bytes: Uint8Array): Promise<number> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    const end = (): void => resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0));
    socket.on('data', (chunk) => {
      text += chunk;
      // It may have become a request that others could follow.
      setTimeout(() => socket.destroy(), 5);
    });
    // What is cut short is waited for by whoever listens.
    socket.setTimeout(50, () => socket.destroy());
    socket.on('error', () => {});
    socket.on('close', end);
    socket.write(bytes);
  });
}

function isAnswered(status: number, message: unknown): void {
  noFault();
  expect(status).toBeGreaterThanOrEqual(200);
  expect(status).toBeLessThan(500);
  if (status < 400) return;
  expect(typeof message).toBe('string');
  expect((message as string).length).toBeGreaterThan(5);
  expect((message as string).length).toBeLessThan(4000);
}

describe('the page for people', () => {
  const task = taskOf({ items: 4 });
  const folder = join(write('x', ''), '..', 'task');
  mkdirSync(folder, { recursive: true });
  const access = new LinkAccess();
  let labels: LabelStore;
  let server: HttpServer;
  let handle: (request: Request) => Promise<Response>;
  let token = '';
  let cookie = '';
  beforeAll(async () => {
    labels = await LabelStore.open(folder, task);
    handle = annotationApp({ task, labels });
    server = await HttpServer.listen({ handle, access, refusal: jsonRefusal, onFault });
    const opened = await fetch(access.link(server.url), { redirect: 'manual' });
    cookie = opened.headers.get('set-cookie')!.split(';')[0]!;
    const session = await fetch(`${server.url}/api/session`, { headers: { cookie } });
    token = ((await session.json()) as Session).token;
  });
  afterAll(async () => {
    await server.close(0);
    await labels.close();
  });

  const send = async (path: string, init: RequestInit = {}): Promise<number> => {
    const response = await fetch(`${server.url}${path}`, {
      ...init,
      headers: { cookie, 'x-mlit-token': token, 'content-type': 'application/json' },
    });
    const body = (await response.json()) as { error?: { message: string } };
    if (response.status !== 409) isAnswered(response.status, body.error?.message);
    return response.status;
  };
  const key = async (): Promise<string> => labels.questions('ana')[0]!.key;
  const written = async (): Promise<void> => {
    for (const line of await readVerdicts(join(folder, VERDICTS_FILE)))
      expect(task.items.some(({ id }) => id === line.id)).toBe(true);
    expect(readFileSync(join(folder, VERDICTS_FILE)).at(-1) ?? 10).toBe(10);
  };

  property(
    'is sent labels with places replaced',
    mutated({ person: 'ana', key: '', label: 'first', was: null }),
    async (value) => {
      const body = value as { key?: unknown } | null;
      const aimed = body?.key === '' ? { ...body, key: await key() } : value;
      await send('/api/label', { method: 'POST', body: textOf(aimed) });
      await written();
    },
    30,
  );
  property(
    'is sent labels of damaged bytes',
    damaged(JSON.stringify({ person: 'ana', key: 'KEY', label: 'first', was: null })),
    async (bytes) => {
      const body = bytes.toString('latin1').replace('KEY', await key());
      await send('/api/label', { method: 'POST', body: Buffer.from(body, 'latin1') });
      await written();
    },
    30,
  );
  property(
    'is asked for the questions of anybody',
    fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'grapheme', maxLength: 50 }),
      fc.constantFrom('__proto__', 'İ'.repeat(40), `a${'\u0301'.repeat(39)}`, 'x'.repeat(10_000), '%', '%00'),
    ),
    async (name) => {
      const person = encodeURIComponent(name.replace(/\p{Surrogate}/gu, '?'));
      const status = await send(`/api/questions?person=${person}`);
      expect([200, 400]).toContain(status);
    },
  );
  const request = (): string =>
    `POST /api/label?a=b HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: a=b; ${'c'.repeat(17)}=d\r\nX-Mlit-Token: t\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`;
  property(
    'is sent requests whose bytes are damaged',
    damaged(request()),
    async (bytes) => {
      expect([0, 400, 401, 403, 404, 405, 408, 413, 414, 417, 431]).toContain(await raw(server.port, bytes));
      noFault();
      await send('/api/session');
    },
    20,
  );
});

describe('the server of models', () => {
  let model: Model;
  let server: ModelServer;
  beforeAll(async () => {
    model = await Model.load({ model: fixture('smol-tiny', 'model'), threads: 1 });
    server = await ModelServer.start({
      model,
      name: 'base',
      port: 0,
      maxRows: 4,
      maxQueue: 4,
      cacheTokens: 128,
      onFault,
    });
  });
  afterAll(async () => {
    await server.close({ graceMs: 0 });
    await model.dispose();
  });

  const send = async (path: string, body: string | Uint8Array<ArrayBuffer>): Promise<void> => {
    const response = await fetch(`${server.url}/v1/${path}`, { method: 'POST', body });
    const text = await response.text();
    const streams = response.headers.get('content-type')?.startsWith('text/event-stream');
    const error = streams ? undefined : (JSON.parse(text) as { error?: { message: string } }).error;
    isAnswered(response.status, error?.message);
    if (streams) expect(text).toMatch(/^data: .*\n\n$/s);
    // Its client may have read the last byte before the server hears that it was sent.
    for (let turns = 0; server.running > 0 && turns < 5000; turns += 1)
      await new Promise((resolve) => setImmediate(resolve));
    expect(server.running).toBe(0);
  };
  const sampling = {
    model: 'base',
    temperature: 0.5,
    top_p: 0.9,
    top_k: 5,
    min_p: 0.1,
    n: 2,
    seed: 1,
    stop: ['x', 'yz'],
    stream: false,
    stream_options: { include_usage: true },
    max_tokens: 3,
    user: 'u',
    logit_bias: {},
    presence_penalty: 0,
    response_format: { type: 'text' },
    tools: [],
  };
  const chat = {
    ...sampling,
    messages: [
      { role: 'system', content: 's' },
      { role: 'user', content: [{ type: 'text', text: 'the question' }] },
    ],
    logprobs: true,
    top_logprobs: 2,
  };
  const plain = {
    ...sampling,
    prompt: ['the question is', 'why'],
    n: 1,
    logprobs: 2,
    echo: true,
    best_of: 1,
  };
  const bodies: [string, string, object][] = [
    ['chat', 'chat/completions', chat],
    ['a streamed chat', 'chat/completions', { ...chat, stream: true }],
    ['texts', 'completions', plain],
    ['ids, streamed', 'completions', { ...plain, prompt: [[5, 6, 7], [8]], stream: true }],
  ];
  for (const [name, path, body] of bodies)
    property(
      `is asked for ${name} with places replaced`,
      mutated(body),
      (value) => send(path, textOf(value)),
      30,
    );
  property(
    'is sent stops of every kind',
    fc.array(
      fc.oneof(fc.string({ unit: 'binary', maxLength: 20 }), fc.constantFrom('e'.repeat(70_000), ' ')),
      {
        maxLength: 20,
      },
    ),
    (stop) => send('completions', JSON.stringify({ model: 'base', prompt: 'the', max_tokens: 8, stop })),
    30,
  );
  property(
    'is sent damaged bytes',
    damaged(JSON.stringify(plain)),
    (bytes) => send('completions', new Uint8Array(bytes)),
    30,
  );
  const MANY = 2 ** 20;
  it.each<[string, string, (many: string) => string, string]>([
    ['messages', 'chat/completions', (many) => `{"model":"base","messages":[${many}0]}`, '0,'],
    [
      'parts of a message',
      'chat/completions',
      (many) => `{"model":"base","messages":[{"role":"user","content":[${many}0]}]}`,
      '0,',
    ],
    ['prompts', 'completions', (many) => `{"model":"base","n":128,"prompt":[${many}"a"]}`, '"a",'],
    ['prompts that are none', 'completions', (many) => `{"model":"base","prompt":[${many}{}]}`, '{},'],
    ['ids', 'completions', (many) => `{"model":"base","prompt":[${many}9]}`, '9,'],
    ['letters', 'completions', (many) => `{"model":"base","prompt":"${many}"}`, 'x'],
    ['stops', 'completions', (many) => `{"model":"base","prompt":"a","stop":[${many}0]}`, '0,'],
  ])('refuses millions of %s at once', async (_, path, body, one) => {
    const begun = process.cpuUsage();
    await send(path, body(one.repeat(MANY / one.length)));
    expect(process.cpuUsage(begun).user / 1e6).toBeLessThan(10);
  });
  it('answers after all of these', async () => {
    await send('completions', JSON.stringify({ ...plain, max_tokens: 2 }));
    expect(faults).toEqual([]);
  });
});
