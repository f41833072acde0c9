// What a browser can be talked into: a page elsewhere may send requests to this machine, and a name that resolves to
// 127.0.0.1 makes them look like its own (DNS rebinding). Both show in headers that scripts can't set.
import { isIP } from 'node:net';
import { Refused } from './refused';

/** Whether a host, as given to listen on or as in an address, is this machine's own loopback. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  if (name === 'localhost' || name === '::1' || name === '::ffff:127.0.0.1') return true;
  return isIP(name) === 4 && name.startsWith('127.');
}

/**
 * Refuses requests that pages of other sites make, and, on loopback, those for a name that is not this machine's.
 *
 * @throws Refused
 */
export function refuseForeign(request: Request, listensOnLoopback: boolean): void {
  const host = request.headers.get('host') ?? '';
  const named = hostOf(`http://${host}`);
  if (listensOnLoopback && (named === undefined || !isLoopback(named.hostname))) {
    throw new Refused(403, 'this server answers on this machine alone: open it as localhost or 127.0.0.1');
  }
  const origin = request.headers.get('origin');
  if (origin !== null && hostOf(origin)?.host !== named?.host) {
    throw new Refused(403, 'requests from pages of other sites are not answered');
  }
}

function hostOf(url: string): URL | undefined {
  try {
    return new URL(url);
  } catch {
    return undefined;
  }
}
