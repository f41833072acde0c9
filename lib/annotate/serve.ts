// A task's folder as a page that people open: the labels locked and open, the server on this machine alone or behind links that
// open once.
import { LinkAccess } from '../http/access';
import { isLoopback } from '../http/origin';
import { HttpServer } from '../http/server';
import { refuseUnknownOptions } from '../text/options';
import { annotationApp, jsonRefusal } from './app';
import { LabelStore } from './labels';
import { foldName, personName } from './order';
import { annotationPage } from './page';
import { readAnnotationTask } from './task';

/** Where and for whom a task is served. */
export interface ServeAnnotationOptions {
  /** Default `127.0.0.1`; any host but loopback is entered by the links alone. */
  host?: string;
  /** Default 0, a free one. */
  port?: number;
  /** Who labels; without it whoever opens the page says who. */
  person?: string | undefined;
  /**
   * How many links there are, where links are needed: each opens once, in one browser. Names make one for each, and who comes in by
   * it is that person and nobody else. Default 1.
   */
  links?: number | readonly string[];
  /** Told whenever a new label is on the disk. */
  onLabel?: ((person: string) => void) | undefined;
  /** Told of what went wrong in the server; whoever asked reads "internal error". */
  onFault?: ((error: unknown) => void) | undefined;
}

/** A page that is being served. */
export interface AnnotationServer extends AsyncDisposable {
  /** Addresses to open: one, or as many as links were asked for, in the order of the names where they have names. */
  urls: readonly string[];
  /** Takes no more connections, answers what was asked, and gives the folder free. Idempotent. */
  close(): Promise<void>;
}

/** How long an answer may take at the end. */
const GRACE_MS = 3000;

/**
 * Serves the task that `folder` holds; labels are appended to `verdicts.jsonl` or `ratings.jsonl` in it.
 *
 * @throws MlitError `FILE_NOT_FOUND` and `FILE_DAMAGED` as `readAnnotationTask`, `STORE_LOCKED` where another process serves it,
 * `ADDRESS_UNAVAILABLE`; RangeError for a name that is none, or that two links have
 */
export async function serveAnnotation(
  folder: string,
  options: ServeAnnotationOptions = {},
): Promise<AnnotationServer> {
  refuseUnknownOptions('serveAnnotation', options, {
    host: true,
    port: true,
    person: true,
    links: true,
    onLabel: true,
    onFault: true,
  });
  const { host = '127.0.0.1', port = 0, links = 1, onLabel, onFault } = options;
  const person = options.person === undefined ? undefined : checkName('person', options.person);
  const owners = ownersOf(links, person);
  const task = await readAnnotationTask(folder);
  annotationPage(); // what is not built is said before anybody opens it
  const labels = await LabelStore.open(folder, task);
  const access = isLoopback(host) ? undefined : new LinkAccess();
  let server: HttpServer;
  try {
    server = await HttpServer.listen({
      handle: annotationApp({
        task,
        labels,
        personOf: (request) => person ?? access?.whose(request),
        onLabel,
      }),
      host,
      port,
      access,
      refusal: jsonRefusal,
      onFault: (error) => onFault?.(error),
    });
  } catch (error) {
    await labels.close();
    throw error;
  }
  const close = async (): Promise<void> => {
    await server.close(GRACE_MS);
    await labels.close();
  };
  return {
    urls: access === undefined ? [`${server.url}/`] : owners.map((owner) => access.link(server.url, owner)),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Whom each link is for; undefined for anybody. */
function ownersOf(
  links: number | readonly string[],
  person: string | undefined,
): readonly (string | undefined)[] {
  if (typeof links === 'number') return new Array<undefined>(links).fill(undefined);
  if (person !== undefined)
    throw new RangeError('links: have names, by which people label; person is for one who labels alone');
  const names = links.map((name) => checkName('links', name));
  const folded = names.map(foldName);
  const double = names.find((_, at) => folded.indexOf(folded[at]!) !== at);
  if (double !== undefined) throw new RangeError(`links: two are for ${double}; give each person one`);
  return names;
}

/** @throws RangeError */
function checkName(option: string, given: string): string {
  const name = personName(given);
  if (name !== undefined) return name;
  throw new RangeError(
    `${option}: expected a name of up to 40 letters, digits and blanks that begins with a letter or a digit`,
  );
}
