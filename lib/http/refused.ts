// A request that is not answered as it asked: thrown wherever that is found out, and written by each server in the form that
// its clients read.

/** Why a request is turned away: a status of HTTP, and a sentence for whoever sent it. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly status: number;
  /** Of the answer, beside those of its form. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** How a refusal is written. */
export type RefusalForm = (refused: Refused) => Response;

/** The sentence as plain text. */
export const plainRefusal: RefusalForm = ({ status, message, headers }) =>
  new Response(`${message}\n`, {
    status,
    headers: { ...headers, 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' },
  });
