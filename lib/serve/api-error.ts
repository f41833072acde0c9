// Errors in the form that clients of OpenAI's API read: a message, the parameter that is meant, a code to switch on.
import { type RefusalForm, Refused } from '../http/refused';

/** What is wrong with a request, by its parameter. */
export class ApiError extends Refused {
  /** The parameter that is meant. */
  readonly param: string | null;
  readonly code: string | null;

  constructor(
    status: number,
    message: string,
    { param = null, code = null }: { param?: string | null; code?: string | null } = {},
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(status, message, headers);
    this.param = param;
    this.code = code;
  }
}

const TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  429: 'rate_limit_error',
  500: 'server_error',
  503: 'server_error',
};

/** `{ error: { message, type, param, code } }`. */
export function errorBody(refused: Refused): { error: Record<string, string | null> } {
  const { param, code } =
    refused instanceof ApiError
      ? refused
      : { param: null, code: refused.status === 401 ? 'invalid_api_key' : null };
  return {
    error: { message: refused.message, type: TYPES[refused.status] ?? 'invalid_request_error', param, code },
  };
}

export const apiRefusal: RefusalForm = (refused) =>
  Response.json(errorBody(refused), { status: refused.status, headers: refused.headers });
