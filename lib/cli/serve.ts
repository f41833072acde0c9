// `mlit serve`: a model and its adapters for programs that speak OpenAI's API.
import { type Command, Option } from 'commander';
import { z } from 'zod';
import { newToken } from '../http/access';
import { isLoopback } from '../http/origin';
import { ModelServer } from '../serve/server';
import {
  addModelFlags,
  checkOptions,
  mergeConfig,
  modelOptions,
  parseCount,
  parseInteger,
  parseNumber,
} from './common';
import { loadModel } from './load-model';
import { baseNameOf, byName, namedAdapterFlag } from './named-adapters';
import { note, printJson, printLine } from './output';
import { abortOnSignals } from './signals';

/** Where the token comes from: not from the command line, which every process of a machine can read. */
const TOKEN_VARIABLE = 'MLIT_API_KEY';

const optionsSchema = z.strictObject({
  ...modelOptions,
  adapter: z.record(z.string(), z.string()).default({}),
  host: z.string().min(1).default('127.0.0.1'),
  port: z.int().min(0).max(65535).default(8080),
  maxRows: z.int().min(1).default(32),
  maxQueue: z.int().min(0).default(256),
  cacheTokens: z.int().min(32).optional(),
  grace: z.number().min(0).default(30),
});

export function addServe(program: Command): void {
  const option = (flags: string, description: string): Option => new Option(flags, description);
  addModelFlags(
    program
      .command('serve')
      .description('answer clients of OpenAI’s API: chat, completions, models, metrics'),
  )
    .addOption(namedAdapterFlag())
    .addOption(
      option(
        '--host <host>',
        `where to listen; another host than this machine wants a token, taken from ${TOKEN_VARIABLE} or made up (default: 127.0.0.1)`,
      ),
    )
    .addOption(option('--port <n>', '0 takes a free one (default: 8080)').argParser(parseCount))
    .addOption(option('--max-rows <n>', 'answers at once (default: 32)').argParser(parseInteger))
    .addOption(
      option(
        '--max-queue <n>',
        'answers that wait beyond those; more are refused with 429 (default: 256)',
      ).argParser(parseCount),
    )
    .addOption(
      option(
        '--cache-tokens <n>',
        'room for all running prompts and answers together (default: max-rows × 1024)',
      ).argParser(parseInteger),
    )
    .addOption(
      option(
        '--grace <seconds>',
        'what runs may take to finish once the server is told to end (default: 30)',
      ).argParser(parseNumber),
    )
    .action((_given: unknown, command: Command) => serve(command));
}

async function serve(command: Command): Promise<void> {
  const { json, ...given } = await mergeConfig(command);
  const options = checkOptions(optionsSchema, given);
  const token = process.env[TOKEN_VARIABLE] || (isLoopback(options.host) ? undefined : newToken());
  const { signal, release } = abortOnSignals();
  try {
    await using loaded = await loadModel(options, Object.values(options.adapter), signal);
    const { model, template, adapters } = loaded;
    const server = await ModelServer.start({
      model,
      name: baseNameOf(options.model),
      adapters: byName(options.adapter, adapters),
      template,
      host: options.host,
      port: options.port,
      token,
      maxRows: options.maxRows,
      maxQueue: options.maxQueue,
      ...(options.cacheTokens !== undefined && { cacheTokens: options.cacheTokens }),
      onFault: (error) => note(error instanceof Error ? String(error.stack) : String(error)),
    });
    const made = token !== undefined && token !== process.env[TOKEN_VARIABLE];
    if (json) await printJson({ url: server.url, models: server.models, ...(made && { token }) });
    else await announce(server, token, made);
    await aborted(signal);
    note(`ending: ${server.running} requests run`);
    const cut = await server.close({ graceMs: options.grace * 1000 });
    // What ran was finished: nothing was given up.
    if (cut === 0) return;
    note(`${cut} requests were cut off after ${options.grace} s (--grace)`);
    throw signal.reason;
  } finally {
    release();
  }
}

async function announce(server: ModelServer, token: string | undefined, made: boolean): Promise<void> {
  await printLine(`${server.url}/v1  (${server.models.join(', ')})`);
  if (made) note(`the token is made up, another one each time; ${TOKEN_VARIABLE} sets it`);
  const shown = made ? token : `$${TOKEN_VARIABLE}`;
  const header = token === undefined ? '' : ` -H "Authorization: Bearer ${shown}"`;
  const body = JSON.stringify({ model: server.models[0], messages: [{ role: 'user', content: 'Hello!' }] });
  await printLine(
    `curl ${server.url}/v1/chat/completions${header} -H 'Content-Type: application/json' -d '${body.replaceAll("'", "'\\''")}'`,
  );
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
