// A server as all commands of this library open one: on this machine alone unless there is a token, and ended in order, so
// that whoever is being answered is answered to the end.
import type { Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { MlitError } from '../native/errors';
import type { Access } from './access';
import { isLoopback, refuseForeign } from './origin';
import { plainRefusal, type RefusalForm, Refused } from './refused';

/** What is served, where, and to whom. */
export interface HttpServerOptions {
  handle: (request: Request) => Response | Promise<Response>;
  /** Name or address to listen on. Default `127.0.0.1`. */
  host?: string;
  /** 0 takes a free one. Default 0. */
  port?: number;
  /** Who may come in. Default: everyone on this machine; another host than loopback needs one. */
  access?: Access | undefined;
  /** How refusals are written. Default: plain text. */
  refusal?: RefusalForm;
  /** Told of what a handler throws beside refusals; the client reads "internal error". */
  onFault?: (error: unknown) => void;
}

const DEFAULT_HOST = '127.0.0.1';

/** A listening server. */
export class HttpServer {
  readonly host: string;
  readonly port: number;
  readonly #server: Server;
  /** Connections, with how many requests of each are being answered. */
  readonly #connections = new Map<Socket, number>();
  #ending: Promise<number> | undefined;

  private constructor(server: Server, host: string) {
    this.#server = server;
    this.host = host;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (socket: Socket) => {
      this.#connections.set(socket, 0);
      socket.once('close', () => this.#connections.delete(socket));
    });
    server.on('request', ({ socket }, response: ServerResponse) => this.#watch(socket, response));
  }

  /**
   * Resolves once it listens.
   *
   * @throws MlitError `ADDRESS_UNAVAILABLE` where host and port can't be had; RangeError for another host than loopback
   * without `access`
   */
  static async listen(options: HttpServerOptions): Promise<HttpServer> {
    const { host = DEFAULT_HOST, port = 0, access, refusal = plainRefusal, onFault } = options;
    const loopback = isLoopback(host);
    if (!loopback && !access) {
      throw new RangeError(`host '${host}' can be reached from other machines: that needs a token`);
    }
    let opened: HttpServer | undefined;
    const answer = async (request: Request): Promise<Response> => {
      try {
        refuseForeign(request, loopback);
        if (opened?.closing) {
          throw new Refused(503, 'this server is ending', { connection: 'close', 'retry-after': '5' });
        }
        return access?.admit(request) ?? (await options.handle(request));
      } catch (error) {
        if (error instanceof Refused) return refusal(error);
        onFault?.(error);
        return refusal(new Refused(500, 'internal error'));
      }
    };
    const { createAdaptorServer } = await import('@hono/node-server');
    // The globals are other people's: they stay as they are.
    const server = createAdaptorServer({ fetch: answer, hostname: host, overrideGlobalObjects: false });
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause: NodeJS.ErrnoException) => reject(unavailable(host, port, cause)));
      server.listen(port, host, resolve);
    });
    opened = new HttpServer(server as Server, host);
    return opened;
  }

  /** Where it is reached, from this machine or, listening on all addresses, from others. */
  get url(): string {
    const host = reachableHost(this.host);
    return `http://${host.includes(':') ? `[${host}]` : host}:${this.port}`;
  }

  /** Requests that are being answered. */
  get running(): number {
    return [...this.#connections.values()].reduce((sum, each) => sum + each, 0);
  }

  /** Whether {@link close} was called. */
  get closing(): boolean {
    return this.#ending !== undefined;
  }

  /**
   * Takes no more connections, and resolves once all that runs has been answered, or after `graceMs`. Idempotent.
   *
   * @returns how many requests were cut off
   */
  close(graceMs: number): Promise<number> {
    this.#ending ??= this.#end(graceMs);
    return this.#ending;
  }

  async #end(graceMs: number): Promise<number> {
    let cut = 0;
    const ended = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const [socket, running] of this.#connections) if (running === 0) socket.destroySoon();
    const deadline = setTimeout(() => {
      cut = this.running;
      this.#server.closeAllConnections();
    }, graceMs);
    await ended;
    clearTimeout(deadline);
    return cut;
  }

  #watch(socket: Socket, response: ServerResponse): void {
    this.#connections.set(socket, (this.#connections.get(socket) ?? 0) + 1);
    response.once('close', () => {
      const running = this.#connections.get(socket);
      if (running === undefined) return;
      this.#connections.set(socket, running - 1);
      // A client would keep its connection for the next request, and the end waiting.
      if (this.closing && running === 1) socket.destroySoon();
    });
  }
}

function reachableHost(host: string): string {
  if (host !== '0.0.0.0' && host !== '::') return host;
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? DEFAULT_HOST;
}

function unavailable(host: string, port: number, cause: NodeJS.ErrnoException): MlitError {
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: `another program listens there; stop it, or choose another port (--port 0 takes a free one)`,
    EACCES: `this user may not listen there; ports from 1024 on are free to all`,
    EADDRNOTAVAIL: `this machine has no such address; 127.0.0.1 is this machine alone, 0.0.0.0 all of its addresses`,
    ENOTFOUND: `there is no machine of that name; 127.0.0.1 is this machine alone, 0.0.0.0 all of its addresses`,
  };
  const reason = reasons[cause.code ?? ''] ?? cause.message;
  return new MlitError('ADDRESS_UNAVAILABLE', `can't listen on ${host}, port ${port}: ${reason}`, {
    fields: { host, port },
    cause,
  });
}
