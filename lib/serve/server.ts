// The server itself: routes, what is counted of them, and its life from the first request to the last answer.
import type { Context, Hono } from 'hono';
import { type Access, bearerAccess } from '../http/access';
import { readJson } from '../http/body';
import { Refused } from '../http/refused';
import { HttpServer } from '../http/server';
import type { Adapter } from '../model/adapter';
import type { Model } from '../model/model';
import { ChatTemplate } from '../model/template';
import { packageVersion } from '../native/version';
import { Sampler } from '../sample/sampler';
import { refuseUnknownOptions } from '../text/options';
import { Answers } from './answers';
import { ApiError, apiRefusal } from './api-error';
import { chatExchange } from './chat';
import { completionExchange } from './completions';
import { type Exchange, withUsage } from './endpoint';
import { eventStream } from './event-stream';

/** What is served, where, and how much of it at once. */
export interface ModelServerOptions {
  model: Model;
  /** What requests call the bare base. */
  name: string;
  /** Adapters by the names that requests call them. Default none. */
  adapters?: Readonly<Record<string, Adapter>>;
  /** For chat. Default: the model's own. */
  template?: ChatTemplate;
  /** Default `127.0.0.1`. Another one than loopback needs a `token`. */
  host?: string;
  /** 0 takes a free one. Default 8080. */
  port?: number;
  /** What clients send as `Authorization: Bearer TOKEN`. Default: none is asked for. */
  token?: string | undefined;
  /** Answers at once. Default 32. */
  maxRows?: number;
  /** Answers that wait beyond those; more are refused with 429. Default 256. */
  maxQueue?: number;
  /** Keys and values in tokens, all running answers and their prompts together; no request can be longer. Default maxRows × 1024. */
  cacheTokens?: number;
  /** Bytes of a request. Default 8 MiB. */
  maxBodyBytes?: number;
  /** Told of faults of the server's own; the client reads "internal error". */
  onFault?: (error: unknown) => void;
}

/** A model and its adapters behind an API that clients of OpenAI's speak (docs/serve.md). */
export class ModelServer implements AsyncDisposable {
  readonly #server: HttpServer;
  readonly #sampler: Sampler;
  readonly #models: readonly string[];

  private constructor(server: HttpServer, sampler: Sampler, models: readonly string[]) {
    this.#server = server;
    this.#sampler = sampler;
    this.#models = models;
  }

  /**
   * Resolves once it answers.
   *
   * @throws MlitError `OUT_OF_MEMORY` where the cache does not fit, `ADDRESS_UNAVAILABLE`, `TEMPLATE_INVALID`; RangeError for two
   * models of one name, and for a host that others can reach without a token
   */
  static async start(options: ModelServerOptions): Promise<ModelServer> {
    refuseUnknownOptions('ModelServer.start', options, {
      model: true,
      name: true,
      adapters: true,
      template: true,
      host: true,
      port: true,
      token: true,
      maxRows: true,
      maxQueue: true,
      cacheTokens: true,
      maxBodyBytes: true,
      onFault: true,
    });
    const { model, name, adapters = {}, maxRows = 32, maxQueue = 256, token } = options;
    const { cacheTokens = maxRows * 1024, onFault = () => {} } = options;
    if (Object.hasOwn(adapters, name))
      throw new RangeError(`two models are called '${name}': the base and an adapter`);
    const template = options.template ?? (await ChatTemplate.create({ tokenizer: model.tokenizer }));
    const sampler = await Sampler.create({ model, adapters: Object.values(adapters), maxRows, cacheTokens });
    try {
      const indices = new Map([
        [name, -1],
        ...Object.keys(adapters).map((each, at): [string, number] => [each, at]),
      ]);
      const { contextLength } = model.config;
      const limits = { maxRows, maxQueue, maxTokens: cacheTokens, contextLength };
      const prometheus = await import('prom-client');
      const answers = new Answers(sampler, model.tokenizer, indices, limits, prometheus);
      const { maxBodyBytes = 8 << 20, host, port = 8080 } = options;
      const app = await routes({
        answers,
        model,
        template,
        maxBodyBytes,
        onFault,
        created: Math.floor(Date.now() / 1000),
      });
      const access: Access | undefined = token === undefined ? undefined : bearerAccess(token, ['/health']);
      const server = await HttpServer.listen({
        handle: (request) => app.fetch(request),
        ...(host !== undefined && { host }),
        port,
        access,
        refusal: apiRefusal,
        onFault,
      });
      return new ModelServer(server, sampler, answers.models);
    } catch (error) {
      await sampler.dispose();
      throw error;
    }
  }

  /** Where it answers, as in `http://127.0.0.1:8080`. Clients add `/v1`. */
  get url(): string {
    return this.#server.url;
  }

  get port(): number {
    return this.#server.port;
  }

  /** What requests may ask for, the base first. */
  get models(): readonly string[] {
    return this.#models;
  }

  /** Requests that are being answered. */
  get running(): number {
    return this.#server.running;
  }

  /**
   * Takes no new requests, answers those that run to their end, for `graceMs` at most, and frees the sampler. The model stays.
   * Idempotent.
   *
   * @returns how many requests were cut off
   */
  async close({ graceMs = 30_000 }: { graceMs?: number } = {}): Promise<number> {
    const cut = await this.#server.close(graceMs);
    await this.#sampler.dispose();
    return cut;
  }

  /** For `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

interface Parts {
  answers: Answers;
  model: Model;
  template: ChatTemplate;
  maxBodyBytes: number;
  onFault: (error: unknown) => void;
  created: number;
}

async function routes(parts: Parts): Promise<Hono> {
  const { answers, model, template, maxBodyBytes, onFault, created } = parts;
  // Whoever imports the library does not wait for what only a server needs.
  const { Hono } = await import('hono');
  const { tokenizer } = model;
  const fingerprint = `mlit-native-${packageVersion}-${model.compute}`;
  const vocabulary = model.config.vocabulary;
  const describe = (id: string): object => ({ id, object: 'model', created, owned_by: 'mlit-native' });
  const app = new Hono();
  app.post('/v1/chat/completions', (context) =>
    respond(context, 'chat', 'chat.completion.chunk', (body) =>
      chatExchange(body, { tokenizer, template, fingerprint }),
    ),
  );
  app.post('/v1/completions', (context) =>
    respond(context, 'completions', 'text_completion', (body) =>
      completionExchange(body, {
        tokenizer,
        vocabulary,
        fingerprint,
        refuseTooMany: (many) => answers.refuseTooMany(many),
      }),
    ),
  );
  app.get('/v1/models', (context) => context.json({ object: 'list', data: answers.models.map(describe) }));
  app.get('/v1/models/:id{.+}', (context) => {
    const id = context.req.param('id');
    answers.adapterOf(id);
    return context.json(describe(id));
  });
  app.get('/health', (context) => context.json({ status: 'ok', models: answers.models }));
  app.get('/metrics', async () => {
    const headers = { 'content-type': answers.metrics.contentType };
    return new Response(await answers.metrics.text(), { headers });
  });
  app.all('*', (context) => {
    throw new ApiError(
      404,
      `there is no ${context.req.method} ${context.req.path.slice(0, 80)} here; see docs/serve.md`,
    );
  });
  // Refusals are written by whoever listens, as are those from before the routes.
  app.onError((error) => {
    throw error;
  });
  return app;

  async function respond(
    context: Context,
    endpoint: string,
    chunkObject: string,
    read: (body: unknown) => Exchange,
  ): Promise<Response> {
    const { signal } = context.req.raw;
    const gone = new AbortController();
    const leave = (): void => gone.abort();
    signal.addEventListener('abort', leave, { once: true });
    const settled = (status: number): void => {
      signal.removeEventListener('abort', leave);
      answers.metrics.request(endpoint, gone.signal.aborted ? 499 : status);
    };
    try {
      const exchange = read(await readJson(context.req.raw, maxBodyBytes));
      const pieces = answers.answer(exchange.job, gone.signal);
      if (!exchange.stream) {
        const body = await exchange.body(pieces);
        settled(200);
        return context.json(body);
      }
      return eventStream(settling(withUsage(exchange, pieces, chunkObject), settled), { leave, onFault });
    } catch (error) {
      settled(error instanceof Refused ? error.status : 500);
      throw gone.signal.aborted ? new Refused(499, 'the client went away') : error;
    }
  }
}

async function* settling(
  chunks: AsyncIterable<object>,
  settled: (status: number) => void,
): AsyncGenerator<object, void, void> {
  let status = 500;
  try {
    yield* chunks;
    status = 200;
  } catch (error) {
    if (error instanceof Refused) status = error.status;
    throw error;
  } finally {
    settled(status);
  }
}
