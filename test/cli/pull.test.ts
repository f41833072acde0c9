// A pull that is interrupted leaves nothing behind and says by its exit code what ended it.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root, scratch } from '../support/fixtures';

const folder = scratch();
let server: Server;
let asked: () => void = () => undefined;

beforeAll(async () => {
  // Takes every request and never answers.
  server = createServer(() => asked());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

describe('mlit pull', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s ends it with %i and an empty cache', async (signal, code) => {
    const cache = join(folder, signal);
    const { port } = server.address() as AddressInfo;
    const env = { ...process.env, MLIT_CACHE: cache, HF_ENDPOINT: `http://127.0.0.1:${port}` };
    delete (env as Record<string, string | undefined>).HF_HUB_OFFLINE;
    const reached = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const child = spawn(process.execPath, [join(root, 'bin', 'mlit.mjs'), 'pull', 'gemma-3-270m'], { env });
    let stdout = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk;
    });
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
    await reached;
    child.kill(signal);
    expect(await ended).toBe(code);
    expect(stdout).toBe('');
    const models = join(cache, 'models');
    expect(existsSync(models) ? readdirSync(models) : []).toEqual([]);
  });
});
