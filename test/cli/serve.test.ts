// `mlit serve` and `mlit chat` as processes: what they print, how they end.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, it } from 'vitest';
import { mlit } from '../support/cli';
import { fixture, root, scratch } from '../support/fixtures';

const model = fixture('smol-tiny', 'model');
const adapter = fixture('smol-tiny', 'adapter');
const cwd = scratch();

const children: ChildProcessWithoutNullStreams[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

interface Running {
  child: ChildProcessWithoutNullStreams;
  /** The first line of stdout. */
  first: string;
  stderr: () => string;
  ended: Promise<unknown[]>;
}
async function run(args: readonly string[], env: Record<string, string> = {}): Promise<Running> {
  const child = spawn(process.execPath, [join(root, 'bin', 'mlit.mjs'), ...args], {
    cwd,
    env: { ...process.env, ...env },
  });
  children.push(child);
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const ended = once(child, 'exit');
  const line = once(createInterface({ input: child.stdout }), 'line');
  const first = await Promise.race([line, ended.then(() => Promise.reject(new Error(stderr)))]);
  return { child, first: String(first[0]), stderr: () => stderr, ended };
}

describe('mlit serve', () => {
  it('tells where it is and how to ask, answers, and ends in order', async () => {
    const server = await run(['serve', '--model', model, '--adapter', `finnish=${adapter}`, '--port', '0']);
    expect(server.first).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/v1 {2}\(model, finnish\)$/);
    const url = server.first.split(' ')[0]!;
    const body = JSON.stringify({ model: 'finnish', prompt: 'why', max_tokens: 400, temperature: 0 });
    const answer = fetch(`${url}/completions`, { method: 'POST', body });
    const metrics = async (): Promise<string> => (await fetch(url.replace('/v1', '/metrics'))).text();
    while (!/running 1/.test(await metrics()));
    server.child.kill('SIGTERM');
    expect(await (await answer).json()).toMatchObject({ usage: { completion_tokens: 400 } });
    expect(await server.ended).toEqual([0, null]);
    expect(server.stderr()).toContain('ending: 1 request');
  });

  it('cuts off what takes longer than it may, and says so by its exit code', async () => {
    const { child, first, ended, stderr } = await run([
      'serve',
      '--model',
      model,
      '--port',
      '0',
      '--json',
      '--grace',
      '0',
    ]);
    const { url, models } = JSON.parse(first);
    expect(models).toEqual(['model']);
    const body = JSON.stringify({ model: 'model', prompt: 'why', max_tokens: 500, n: 32 });
    const lost = fetch(`${url}/v1/completions`, { method: 'POST', body }).catch((error: Error) => error);
    while (!/running [1-9]/.test(await (await fetch(`${url}/metrics`)).text()));
    child.kill('SIGINT');
    expect(await ended).toEqual([130, null]);
    expect(stderr()).toContain('1 requests were cut off');
    expect(await lost).toBeInstanceOf(Error);
  });

  it('is open to others by a token alone, one from the environment or made up', async () => {
    const made = await run(['serve', '--model', model, '--port', '0', '--host', '0.0.0.0', '--json']);
    const { url, token } = JSON.parse(made.first);
    const list = (key: string): Promise<number> =>
      fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${key}` } }).then(({ status }) => status);
    expect([await list(token), await list('guess')]).toEqual([200, 401]);
    const given = await run(['serve', '--model', model, '--port', '0'], { MLIT_API_KEY: 'mine' });
    expect((await fetch(`${given.first.split(' ')[0]}/models`)).status).toBe(401);
  });

  it('says what is wrong before it serves', async () => {
    const server = await run(['serve', '--model', model, '--port', '0', '--json']);
    const { port } = new URL(JSON.parse(server.first).url);
    const cases: [string[], number, RegExp][] = [
      [['--port', port], 1, new RegExp(`port ${port}.*ADDRESS_UNAVAILABLE`)],
      [['--adapter', 'nodir'], 2, /NAME=DIR/],
      [['--adapter', `model=${adapter}`, '--port', '0'], 2, /two models are called 'model'/],
    ];
    for (const [flags, code, message] of cases) {
      const ended = await mlit(['serve', '--model', model, ...flags], { cwd });
      expect([ended.code, ended.stdout], flags.join(' ')).toEqual([code, '']);
      expect(ended.stderr).toMatch(message);
    }
  });
});

describe('mlit chat', () => {
  const chat = ['chat', '--model', model, '--adapter', `finnish=${adapter}`, '--max-new-tokens', '12'];

  it('talks with all models side by side, from a pipe, and remembers what each has said', async () => {
    const input = [
      'why?',
      '',
      '/model finnish',
      'and now?',
      '/nonsense',
      '/reset',
      '/model all',
      'why?',
      '/quit',
      'never',
    ];
    const { code, stdout, stderr } = await mlit([...chat, '--json'], { cwd, input: input.join('\n') });
    expect(code).toBe(0);
    const answers = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(answers.map(({ model: name }) => name)).toEqual([
      'model',
      'finnish',
      'finnish',
      'model',
      'finnish',
    ]);
    expect(answers.slice(3)).toEqual(answers.slice(0, 2)); // after /reset it is the first time again
    expect(answers[2].response).not.toBe(answers[1].response);
    expect(answers[0]).toMatchObject({ lang: expect.any(String), tokens: 12, finishReason: 'length' });
    expect(stderr).toContain("there is no command '/nonsense'");
  });

  it('shows each answer under its name, its language behind it, and no control characters', async () => {
    const input = '/system be brief\nwhy?\n';
    const { code, stdout, stderr } = await mlit([...chat, '--temperature', '2', '--seed', '3'], {
      cwd,
      input,
    });
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^model: [\s\S]*\n {2}\[.*12 tokens.*\]\nfinnish: [\s\S]*\n {2}\[.*12 tokens.*\]\n$/,
    );
    expect(stdout).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
    expect(stderr).toContain('system: be brief');
  });

  it('is cancelled by Ctrl-C, and ended by a second one', async () => {
    const long = [...chat.slice(0, -1), '480', '--temperature', '1'];
    const child = spawn(process.execPath, [join(root, 'bin', 'mlit.mjs'), ...long], { cwd });
    children.push(child);
    const ended = once(child, 'exit');
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
      // As soon as an answer begins.
      if (stdout === String(chunk)) child.kill('SIGINT');
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
      if (stderr.includes('cancelled')) child.kill('SIGINT');
    });
    child.stdin.write('why?\n');
    expect(await ended).toEqual([130, null]);
    expect(stderr).toContain('cancelled; this turn is forgotten');
    expect(stdout).not.toContain('finnish:'); // the first answer was not heard to its end
  });
});
