// What servers of this library share: who is let in, from where, how much they may send, and how a server ends.
import { Agent, type IncomingHttpHeaders, request as send } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { bearerAccess, LinkAccess, sameSecret } from '../../lib/http/access';
import { readJson } from '../../lib/http/body';
import { HttpServer, type HttpServerOptions } from '../../lib/http/server';

const open: HttpServer[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close(0);
});
async function listen(options: Partial<HttpServerOptions> = {}): Promise<HttpServer> {
  const server = await HttpServer.listen({ handle: () => new Response('in'), ...options });
  open.push(server);
  return server;
}

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}
/** `fetch` sets Host and Origin itself: this sends what it is told. */
function ask(
  server: HttpServer,
  path = '/',
  options: { method?: string; headers?: Record<string, string>; body?: string | Buffer; agent?: Agent } = {},
): Promise<Answer> {
  const { body, ...rest } = options;
  return new Promise((resolve, reject) => {
    const outgoing = send({ host: '127.0.0.1', port: server.port, path, ...rest }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
      );
      response.on('error', reject);
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
const statusOf = async (...args: Parameters<typeof ask>): Promise<number> => (await ask(...args)).status;

describe('a server on this machine', () => {
  it('answers by its names alone, so that a name that was bent to it gets nothing', async () => {
    const server = await listen();
    const by = (host: string): Promise<number> => statusOf(server, '/', { headers: { host } });
    for (const host of ['localhost', `127.0.0.1:${server.port}`, 'localhost:9', '[::1]:80'])
      expect(await by(host), host).toBe(200);
    for (const host of ['evil.example', `evil.example:${server.port}`, '127.0.0.1.evil.example', '10.0.0.1'])
      expect(await by(host), host).toBe(403);
  });

  it('refuses what pages of other sites send', async () => {
    const server = await listen();
    const from = (origin: string): Promise<number> =>
      statusOf(server, '/', { method: 'POST', headers: { origin } });
    expect(await from(server.url)).toBe(200);
    for (const origin of ['https://evil.example', 'null', 'http://127.0.0.1:1'])
      expect(await from(origin)).toBe(403);
  });

  it('says which port is taken, and what to do', async () => {
    const { port } = await listen();
    await expect(listen({ port })).rejects.toMatchObject({
      code: 'ADDRESS_UNAVAILABLE',
      message: expect.stringMatching(new RegExp(`127\\.0\\.0\\.1, port ${port}: .*--port 0`)),
    });
    await expect(listen({ host: '203.0.113.7', access: bearerAccess('t') })).rejects.toThrow(
      /no such address/,
    );
  });

  it('is open to others by a token alone', async () => {
    await expect(listen({ host: '0.0.0.0' })).rejects.toThrow(RangeError);
    const server = await listen({ host: '0.0.0.0', access: bearerAccess('t') });
    const headers = { host: 'any.example', authorization: 'Bearer t' };
    expect(await statusOf(server, '/', { headers })).toBe(200);
  });

  it('tells the client nothing of a fault', async () => {
    const faults: unknown[] = [];
    const fault = new Error('a secret');
    const handle = (): Response => {
      throw fault;
    };
    const server = await listen({ handle, onFault: (error) => faults.push(error) });
    expect(await ask(server)).toMatchObject({ status: 500, text: 'internal error\n' });
    expect(faults).toEqual([fault]);
  });
});

describe('access', () => {
  it('by a token wants that very token, but for open paths', async () => {
    const server = await listen({ access: bearerAccess('secret', ['/health']) });
    const by = (authorization: string): Promise<number> =>
      statusOf(server, '/', { headers: { authorization } });
    expect(await by('Bearer secret')).toBe(200);
    for (const header of ['', 'Bearer', 'Bearer secre', 'Bearer secrets', 'Basic secret', 'secret'])
      expect(await by(header), header).toBe(401);
    expect(await statusOf(server, '/health')).toBe(200);
    expect(await statusOf(server, '/health/x')).toBe(401);
    expect([sameSecret('a', 'a'), sameSecret('a', 'b'), sameSecret('a', 'aa')]).toEqual([true, false, false]);
  });

  it('by a link is given once, and stays with the browser that opened it', async () => {
    const access = new LinkAccess();
    const server = await listen({ access });
    const { pathname, search } = new URL(access.link(`${server.url}/page?part=2`));
    expect(await statusOf(server, '/page')).toBe(401);
    expect(await statusOf(server, `${pathname}${search}`, { method: 'POST' })).toBe(401);
    expect(await statusOf(server, '/page?token=guessed')).toBe(401);

    const first = await ask(server, `${pathname}${search}`);
    expect(first).toMatchObject({ status: 303, headers: { location: '/page?part=2' } });
    const setCookie = String(first.headers['set-cookie']);
    expect(setCookie).toMatch(/; Path=\/; HttpOnly; SameSite=Lax$/);
    const cookie = setCookie.split(';')[0]!;
    expect(await statusOf(server, '/page', { headers: { cookie: `other=1; ${cookie}` } })).toBe(200);
    expect(await statusOf(server, '/page', { headers: { cookie: `${cookie}x` } })).toBe(401);

    expect(await statusOf(server, `${pathname}${search}`)).toBe(401); // opened before, by somebody else
    expect(await statusOf(server, `${pathname}${search}`, { headers: { cookie } })).toBe(303);
  });
});

describe('a body', () => {
  const server = (): Promise<HttpServer> =>
    listen({ handle: async (request) => Response.json(await readJson(request, 100)) });
  const post = (to: HttpServer, body: string | Buffer, headers = {}): Promise<Answer> =>
    ask(to, '/', { method: 'POST', body, headers });

  it('is read up to the limit, whatever length it claims or hides', async () => {
    const to = await server();
    expect(await post(to, '{"a":"ж"}')).toMatchObject({ status: 200, text: '{"a":"ж"}' });
    const long = JSON.stringify('x'.repeat(99));
    expect(await post(to, long)).toMatchObject({ status: 413, text: 'the body is longer than 100 bytes\n' });
    expect((await post(to, long, { 'transfer-encoding': 'chunked' })).status).toBe(413);
  });

  it('that is no JSON in UTF-8 is refused in words', async () => {
    const to = await server();
    for (const body of ['', '{', '[1,]', Buffer.from([0x22, 0xff, 0x22]), '['.repeat(50) + ']'.repeat(49)]) {
      const answer = await post(to, body);
      expect([answer.status, answer.text.slice(0, 20)]).toEqual([400, 'the body is no JSON:']);
    }
  });
});

describe('the end', () => {
  /** Answers once it is told to. */
  const slow = async (options: Partial<HttpServerOptions> = {}) => {
    let finish = (): void => {};
    const told = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const server = await listen({
      handle: async (request) => {
        if (new URL(request.url).pathname === '/slow') await told;
        return new Response('whole');
      },
      ...options,
    });
    return { server, finish };
  };
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
  };

  it('waits for what runs, takes nothing new, and keeps no connection', async () => {
    const { server, finish } = await slow();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect((await ask(server, '/', { agent })).text).toBe('whole'); // a connection that is kept
    const running = ask(server, '/slow', { agent });
    await until(() => server.running === 1);
    const ended = server.close(60_000);
    await expect(ask(server)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    const next = ask(server, '/', { agent }); // waits for the same connection
    finish();
    expect((await running).text).toBe('whole');
    await next.then(
      ({ status }) => expect(status).toBe(503),
      (error) => expect(error).toMatchObject({ code: expect.stringMatching(/ECONN|EPIPE/) }),
    );
    expect(await ended).toBe(0);
    agent.destroy();
  });

  it('does not wait for a connection whose last answer was given', async () => {
    const { server, finish } = await slow();
    const agent = new Agent({ keepAlive: true });
    const running = ask(server, '/slow', { agent });
    await until(() => server.running === 1);
    const ended = server.close(60_000);
    finish();
    expect((await running).text).toBe('whole');
    const answered = performance.now();
    await ended;
    expect(performance.now() - answered).toBeLessThan(2000); // connections are kept for five seconds
    agent.destroy();
  });

  it('does not wait for connections that ask nothing', async () => {
    const server = await listen();
    const silent = connect(server.port, '127.0.0.1');
    await new Promise((resolve) => silent.once('connect', resolve));
    const closed = new Promise((resolve) => silent.once('close', resolve));
    silent.resume();
    expect(await server.close(60_000)).toBe(0);
    await closed;
  });

  it('comes at its deadline all the same, and tells how many were cut off', async () => {
    const { server, finish } = await slow();
    const running = ask(server, '/slow').catch((error: Error) => error);
    await until(() => server.running === 1);
    const [cut, twice] = await Promise.all([server.close(20), server.close(20)]);
    expect([cut, twice]).toEqual([1, 1]);
    expect(await running).toBeInstanceOf(Error);
    finish();
  });
});
