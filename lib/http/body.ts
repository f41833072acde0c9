// Bodies of requests, read no further than a limit: what a client says of its length is not believed.
import { shallow } from '../native/untrusted';
import { Refused } from './refused';

/**
 * The JSON value that a request brings.
 *
 * @param maxBytes of the body
 * @throws Refused 413 where it is longer, 400 where it is no JSON in UTF-8
 */
export async function readJson(request: Request, maxBytes: number): Promise<unknown> {
  const bytes = await readBytes(request, maxBytes);
  try {
    return shallow(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
  } catch (cause) {
    throw new Refused(400, `the body is no JSON: ${(cause as Error).message}`);
  }
}

async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array> {
  const tooLong = (): Refused => new Refused(413, `the body is longer than ${maxBytes} bytes`);
  if (Number(request.headers.get('content-length') ?? 0) > maxBytes) throw tooLong();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    length += chunk.length;
    if (length > maxBytes) throw tooLong();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
