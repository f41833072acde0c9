// Who may come in. A program shows a token with every request; a person opens a link once, and a cookie stands for it from
// then on, so that no token stays in an address that is copied, logged or sent along as a referrer.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { Refused } from './refused';

/** Decides about each request before anything else looks at it. */
export interface Access {
  /**
   * Nothing lets the request in; a response is given in place of the server's.
   *
   * @throws Refused
   */
  admit(request: Request): Response | undefined;
}

/** 192 random bits, fit for addresses and headers. */
export function newToken(): string {
  return randomBytes(24).toString('base64url');
}

/** Compares in a time that tells nothing of where two secrets differ, or of their lengths. */
export function sameSecret(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

/**
 * Lets in who sends `Authorization: Bearer TOKEN`.
 *
 * @param open paths that anyone may ask for
 */
export function bearerAccess(token: string, open: readonly string[] = []): Access {
  return {
    admit(request) {
      if (open.includes(new URL(request.url).pathname)) return undefined;
      const shown = /^Bearer +(\S+)\s*$/i.exec(request.headers.get('authorization') ?? '')?.[1];
      if (shown !== undefined && sameSecret(shown, token)) return undefined;
      const what = shown === undefined ? 'wants a token' : 'does not know this token';
      throw new Refused(401, `this server ${what}: send it as "Authorization: Bearer TOKEN"`, {
        'www-authenticate': 'Bearer',
      });
    },
  };
}

/** Lets in who opens a link that was made for one use, and the browser that did from then on. */
export class LinkAccess implements Access {
  // Browsers keep cookies by host, not by port: servers side by side need names of their own.
  readonly #cookie = `mlit-${randomBytes(6).toString('hex')}`;
  /** Secrets, and for whom each is; undefined for anybody. */
  readonly #unused = new Map<string, string | undefined>();
  readonly #sessions = new Map<string, string | undefined>();

  /** A new link to a page of the server at `base`. It opens once. @param person the one whom it is for, see {@link whose} */
  link(base: string, person?: string): string {
    const token = newToken();
    this.#unused.set(token, person);
    const url = new URL(base);
    url.searchParams.set('token', token);
    return url.href;
  }

  admit(request: Request): Response | undefined {
    const url = new URL(request.url);
    const token = url.searchParams.get('token');
    const known = this.#sessionOf(request) !== undefined;
    if (token === null || request.method !== 'GET') {
      if (known) return undefined;
      throw new Refused(401, 'this page opens by a link with a token; ask whoever started it for one');
    }
    url.searchParams.delete('token');
    const headers = new Headers({
      location: `${url.pathname}${url.search}`,
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
    });
    const minted = find(this.#unused, token);
    if (minted !== undefined) {
      const session = newToken();
      this.#sessions.set(session, this.#unused.get(minted));
      this.#unused.delete(minted);
      // Lax, not Strict: a link in a mail leads here from another site, and the redirect has to bring the cookie along.
      headers.append('set-cookie', `${this.#cookie}=${session}; Path=/; HttpOnly; SameSite=Lax`);
    } else if (!known) {
      throw new Refused(401, 'this link was opened before, or is not one of this server: ask for a new one');
    }
    return new Response(null, { status: 303, headers });
  }

  /** For whom the link was that the request's browser came in by. Undefined where it was for anybody, or there was none. */
  whose(request: Request): string | undefined {
    const session = this.#sessionOf(request);
    return session === undefined ? undefined : this.#sessions.get(session);
  }

  #sessionOf(request: Request): string | undefined {
    const cookies = (request.headers.get('cookie') ?? '').split(';').map((each) => each.trim());
    const own = cookies.find((each) => each.startsWith(`${this.#cookie}=`));
    return own === undefined ? undefined : find(this.#sessions, own.slice(this.#cookie.length + 1));
  }
}

/** Looks at all of them, so that time tells nothing. */
function find(secrets: ReadonlyMap<string, unknown>, shown: string): string | undefined {
  let found: string | undefined;
  for (const secret of secrets.keys()) if (sameSecret(secret, shown)) found = secret;
  return found;
}
