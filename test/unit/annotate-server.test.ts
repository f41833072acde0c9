// The page's server as somebody else's program meets it: who is let in, what is refused, and that nothing that is sent says which
// model an answer is from.
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { Questions, Session } from '../../lib/annotate/protocol';
import {
  type AnnotationServer,
  type ServeAnnotationOptions,
  serveAnnotation,
} from '../../lib/annotate/serve';
import { writeAnnotationTask } from '../../lib/annotate/task';
import { HOSTILE, MODELS, type TaskOptions, taskOf } from '../support/annotation';
import { scratch } from '../support/fixtures';

const folder = scratch();
let count = 0;
const servers: AnnotationServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

interface Served {
  path: string;
  url: string;
  server: AnnotationServer;
}

async function serve(task: TaskOptions = {}, options: ServeAnnotationOptions = {}): Promise<Served> {
  count += 1;
  // A folder's name may tell a model too.
  const path = join(folder, `${MODELS[1]}-${count}`);
  await writeAnnotationTask(path, taskOf(task));
  const server = await serveAnnotation(path, options);
  servers.push(server);
  return { path, url: server.urls[0]!, server };
}
const json = async <T>(url: string): Promise<T> => (await (await fetch(url)).json()) as T;
const session = (url: string) => json<Session>(`${url}api/session`);
const questions = async (url: string, person = 'ana') =>
  (await json<Questions>(`${url}api/questions?person=${person}`)).questions;

function post(
  url: string,
  body: unknown,
  { token = '', ...headers }: Record<string, string | undefined> = {},
): Promise<Response> {
  const given = Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return fetch(`${url}api/label`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-mlit-token': token, ...Object.fromEntries(given) },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

/** With headers that fetch does not let one set. */
function raw(url: string, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { headers }, (response) => {
      response.resume();
      resolve(response.statusCode!);
    });
    sent.on('error', reject);
    sent.end();
  });
}

describe('what is sent', () => {
  it('names no model, no file and no folder in any byte', async () => {
    const { url, path } = await serve({ identical: [3] });
    const { token } = await session(url);
    const all: string[] = [];
    const see = async (response: Response): Promise<void> => {
      all.push(JSON.stringify([...response.headers]), await response.text());
    };
    for (const address of [
      '',
      'api/session',
      'api/questions?person=ana',
      'task.json',
      'verdicts.jsonl',
      '..%2ftask.json',
    ])
      await see(await fetch(`${url}${address}`));
    const asked = await questions(url);
    for (const { key } of asked)
      await see(await post(url, { person: 'ana', key, label: 'first', was: null }, { token }));
    for (const body of ['{', '{}', { person: 'ana', key: 'x', label: 'A', was: null }, { model: MODELS[0] }])
      await see(await post(url, body, { token }));
    const sent = all.join('\n');
    expect(sent).toContain('capital of region');
    expect(sent.length).toBeGreaterThan(10_000);
    for (const name of [...MODELS, 'task.json', path, 'jsonl', '"A"', '"B"'])
      expect(sent, name).not.toContain(name);
    expect(readFileSync(join(path, 'verdicts.jsonl'), 'utf8')).toContain(MODELS[0]);
  });

  it('has one shape whichever side a model is on', async () => {
    const { url } = await serve({ items: 20 });
    const asked = await questions(url);
    const firsts = asked.map(({ answers }) => answers[0]![0]);
    expect(firsts.filter((letter) => letter === 'A')).toHaveLength(20);
    for (const one of asked)
      expect(Object.keys(one)).toEqual(['key', 'code', 'lang', 'dir', 'prompt', 'answers', 'label']);
  });

  it('keeps hostile text a text, under a policy that runs nothing but the page’s own script', async () => {
    const { url } = await serve();
    const page = await fetch(url);
    expect(await page.text()).not.toContain('onerror');
    const policy = page.headers.get('content-security-policy')!;
    expect(policy).toContain("default-src 'none'");
    expect(policy).toMatch(/script-src 'sha256-[^']+'(;|$)/);
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|\*|https?:/);
    const asked = await fetch(`${url}api/questions?person=ana`);
    expect(asked.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(asked.headers.get('x-content-type-options')).toBe('nosniff');
    expect(
      ((await asked.json()) as Questions).questions.some(({ answers }) => answers[0]!.includes(HOSTILE)),
    ).toBe(true);
  });

  it('says of each text which way it runs', async () => {
    const { url } = await serve({ languages: ['en', 'ar', 'he'] });
    const ways = new Set((await questions(url)).map(({ lang, dir }) => `${lang} ${dir}`));
    expect(ways).toEqual(new Set(['en ltr', 'ar rtl', 'he rtl']));
  });
});

describe('who is let in', () => {
  it('is everybody on this machine, and nobody who comes by another name or from another site', async () => {
    const { url } = await serve();
    const { port } = new URL(url);
    expect(new URL(url).hostname).toBe('127.0.0.1');
    expect(await raw(url, { host: `localhost:${port}` })).toBe(200);
    expect(await raw(url, { host: `evil.example:${port}` })).toBe(403);
    expect(await raw(url, { origin: 'https://evil.example' })).toBe(403);
    expect(await raw(url, { origin: 'null' })).toBe(403);
  });

  it('is, on another host, who opens a link that opens once', async () => {
    const { server } = await serve({}, { host: '0.0.0.0', links: 2 });
    expect(server.urls).toHaveLength(2);
    expect(new Set(server.urls).size).toBe(2);
    const link = new URL(server.urls[0]!);
    link.hostname = '127.0.0.1';
    const base = `${link.origin}/`;
    expect((await fetch(base)).status).toBe(401);
    expect((await fetch(`${base}api/questions?person=ana`)).status).toBe(401);
    expect((await fetch(`${base}?token=guess`)).status).toBe(401);
    const opened = await fetch(link, { redirect: 'manual' });
    expect(opened.status).toBe(303);
    const cookie = opened.headers.get('set-cookie')!.split(';')[0]!;
    expect(opened.headers.get('set-cookie')).toMatch(/HttpOnly/);
    expect((await fetch(base, { headers: { cookie } })).status).toBe(200);
    expect((await fetch(`${base}api/session`, { headers: { cookie } })).status).toBe(200);
    expect((await fetch(link, { redirect: 'manual' })).status).toBe(401);
  });

  it('is, by a link with a name, that person and nobody else', async () => {
    const { server, path } = await serve({}, { host: '0.0.0.0', links: ['Maria', ' omar '] });
    const enter = async (at: number) => {
      const link = new URL(server.urls[at]!);
      link.hostname = '127.0.0.1';
      const opened = await fetch(link, { redirect: 'manual' });
      const headers = { cookie: opened.headers.get('set-cookie')!.split(';')[0]! };
      const get = (what: string) => fetch(`${link.origin}/api/${what}`, { headers });
      return { base: `${link.origin}/`, headers, get };
    };
    const [maria, omar] = [await enter(0), await enter(1)];
    const mine = (await (await maria.get('session')).json()) as Session;
    expect(mine.person).toBe('Maria');
    expect(await (await omar.get('session')).json()).toMatchObject({ person: 'omar' });
    expect((await maria.get('questions?person=omar')).status).toBe(403);
    const asked = (await (await maria.get('questions?person=maria')).json()) as Questions;
    const label = { key: asked.questions[0]!.key, label: 'first', was: null };
    const { token } = mine;
    const say = async (person: string) =>
      (await post(maria.base, { ...label, person }, { token, ...maria.headers })).status;
    expect(await say('omar')).toBe(403);
    expect(await say('someone')).toBe(403);
    expect(await say('Maria')).toBe(200);
    const lines = readFileSync(join(path, 'verdicts.jsonl'), 'utf8').trim().split('\n');
    expect(lines.map((line) => JSON.parse(line).judge)).toEqual(['person:Maria']);
  });

  it.each([
    [{ links: ['maria', 'Maria'] }, /links: two are for Maria/],
    [{ links: ['maria', '<b>'] }, /links: expected a name/],
    [{ links: ['maria'], person: 'omar' }, /links: have names/],
  ])('is refused by %j', async (options, message) => {
    await expect(serveAnnotation(folder, { host: '0.0.0.0', ...options })).rejects.toThrow(message);
  });

  it('is one person alone where that was said', async () => {
    const { url } = await serve({}, { person: 'Ana' });
    const { token, person } = await session(url);
    expect(person).toBe('Ana');
    const { key } = (await questions(url, 'ana'))[0]!;
    expect((await fetch(`${url}api/questions?person=ben`)).status).toBe(403);
    expect((await post(url, { person: 'ben', key, label: 'tie', was: null }, { token })).status).toBe(403);
    expect((await post(url, { person: 'ANA', key, label: 'tie', was: null }, { token })).status).toBe(200);
    await expect(serveAnnotation(folder, { person: '<b>' })).rejects.toThrow(RangeError);
  });
});

describe('a label', () => {
  it('needs the token, JSON, and the fields that it has', async () => {
    const { url, path } = await serve({ ties: false });
    const { token } = await session(url);
    const { key } = (await questions(url))[0]!;
    const label = { person: 'ana', key, label: 'first', was: null };
    const status = async (body: unknown, headers: Record<string, string | undefined> = { token }) =>
      (await post(url, body, headers)).status;
    expect(await status(label, {})).toBe(403);
    expect(await status(label, { token: `${token}x` })).toBe(403);
    expect(await status(label, { token, 'content-type': 'text/plain' })).toBe(415);
    expect(await status(label, { token, 'content-type': 'application/x-www-form-urlencoded' })).toBe(415);
    expect(await status('{"person":')).toBe(400);
    expect(await status({ ...label, model: 'x' })).toBe(400);
    expect(await status({ ...label, label: 'tie' })).toBe(400);
    expect(await status({ ...label, label: 'A' })).toBe(400);
    expect(await status({ ...label, person: '<script>' })).toBe(400);
    expect(await status({ ...label, key: 'f'.repeat(16) })).toBe(404);
    expect(await status({ ...label, person: 'x'.repeat(5000) })).toBe(413);
    expect((await fetch(`${url}api/label`)).status).toBe(405);
    expect((await fetch(`${url}api/session`, { method: 'POST' })).status).toBe(405);
    expect(readFileSync(join(path, 'verdicts.jsonl'), 'utf8')).toBe('');
    expect(await status(label)).toBe(200);
    expect(await status(label)).toBe(200);
    expect(await status({ ...label, label: 'second' })).toBe(409);
    expect(readFileSync(join(path, 'verdicts.jsonl'), 'utf8').split('\n')).toHaveLength(2);
  });

  it('is refused by name where a field is wrong', async () => {
    const { url } = await serve();
    const { token } = await session(url);
    const response = await post(url, { person: 'ana', keys: 'x', label: 'first', was: null }, { token });
    expect(await response.json()).toMatchObject({
      error: { message: expect.stringMatching(/key: is needed.*'keys'/) },
    });
  });

  it('is told when it is on the disk, and the folder is free once the server has ended', async () => {
    const told: string[] = [];
    const { url, path, server } = await serve({}, { onLabel: (person) => told.push(person) });
    const { token } = await session(url);
    const { key } = (await questions(url))[0]!;
    await post(url, { person: 'Ana', key, label: 'first', was: null }, { token });
    expect(told).toEqual(['ana']);
    await expect(serveAnnotation(path)).rejects.toMatchObject({ code: 'STORE_LOCKED' });
    await server.close();
    await expect(fetch(url)).rejects.toThrow();
    const again = await serveAnnotation(path);
    servers.push(again);
    expect((await questions(again.urls[0]!)).filter(({ label }) => label === 'first')).toHaveLength(1);
  });
});
