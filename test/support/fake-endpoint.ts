// An OpenAI-compatible endpoint inside the test process, which answers, fails and breaks off as it is told, and counts.
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FakeCall {
  /** From 1. */
  number: number;
  prompt: string;
  body: Record<string, unknown>;
  authorization: string | undefined;
}

/** A completion; a refusal by status; or a fault: no answer at all, a connection that ends, half a body. */
export type FakeAnswer =
  | { text: string | null; model?: string | undefined; finishReason?: string; tokens?: number | null }
  | { status: number; headers?: Record<string, string>; error?: object }
  | { raw: string }
  | 'hang'
  | 'cut'
  | 'half';

export interface FakeEndpoint {
  /** As `--judge` takes it behind the `@`. */
  url: string;
  calls: FakeCall[];
  /** Answered with a completion: what a provider would charge for. */
  paid: () => number;
  answer: (call: FakeCall) => FakeAnswer | Promise<FakeAnswer>;
  stop: () => Promise<void>;
}

export async function startEndpoint(answer: FakeEndpoint['answer']): Promise<FakeEndpoint> {
  let paid = 0;
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const body = JSON.parse(text) as Record<string, unknown> & { messages: { content: string }[] };
    const call: FakeCall = {
      number: endpoint.calls.length + 1,
      prompt: body.messages[0]!.content,
      body,
      authorization: request.headers.authorization,
    };
    endpoint.calls.push(call);
    const given = await endpoint.answer(call);
    if (typeof given === 'object' && 'text' in given) paid += 1;
    send(response, given, String(body.model));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const endpoint: FakeEndpoint = {
    url: `http://127.0.0.1:${port}/v1`,
    calls: [],
    paid: () => paid,
    answer,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return endpoint;
}

function send(response: ServerResponse, given: FakeAnswer, asked: string): void {
  const json = (status: number, value: unknown, headers: Record<string, string> = {}): void => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(value));
  };
  if (given === 'hang') return;
  if (given === 'cut') {
    response.destroy();
    return;
  }
  if (given === 'half') {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end('{"choices": [{"message": {"content": "Verd');
    return;
  }
  if ('raw' in given) {
    response.writeHead(200, { 'content-type': 'text/html' });
    response.end(given.raw);
    return;
  }
  if ('status' in given) {
    json(given.status, { error: { message: 'no', ...given.error } }, given.headers);
    return;
  }
  const { text, model = asked, finishReason = 'stop', tokens = 100 } = given;
  json(200, {
    id: 'x',
    object: 'chat.completion',
    created: 0,
    model,
    choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: finishReason }],
    ...(tokens !== null && {
      usage: { prompt_tokens: tokens - 1, completion_tokens: 1, total_tokens: tokens },
    }),
  });
}

/** What a judge is shown: the texts between the lines that bear the mark. */
export function shownIn(prompt: string): Record<string, string> {
  const mark = /^.*The mark is (#[0-9a-f]+)$/m.exec(prompt)![1]!;
  const parts: Record<string, string[]> = {};
  let lines: string[] = [];
  for (const line of prompt.split('\n')) {
    if (!line.startsWith(`${mark} `)) {
      lines.push(line);
      continue;
    }
    lines = [];
    parts[line.slice(mark.length + 1)] = lines;
  }
  return Object.fromEntries(Object.entries(parts).map(([title, own]) => [title, own.join('\n')]));
}

/** A judge that prefers by a rule, and gives its reasons first. */
export function preferring(isBetter: (a: string, b: string, request: string) => 'A' | 'B' | 'tie') {
  return ({ prompt }: FakeCall): FakeAnswer => {
    const shown = shownIn(prompt);
    const verdict = isBetter(shown['ANSWER A']!, shown['ANSWER B']!, shown.REQUEST ?? '');
    return { text: `One of them is better.\n\nVerdict: ${verdict}` };
  };
}
