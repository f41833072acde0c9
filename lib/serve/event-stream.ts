// Answers that are told as they come: server-sent events, one JSON object each, `[DONE]` behind the last.

import { Refused } from '../http/refused';
import { errorBody } from './api-error';

/**
 * A response that sends what `events` gives.
 *
 * @param leave called once where the client goes away
 * @param onFault told of what is no refusal; the client reads "internal error"
 */
export function eventStream(
  events: AsyncIterable<object>,
  { leave, onFault }: { leave: () => void; onFault: (error: unknown) => void },
): Response {
  const encoder = new TextEncoder();
  let left = false;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const send = (data: string): void => {
        if (!left) controller.enqueue(encoder.encode(`data: ${data}\n\n`));
      };
      const run = async (): Promise<void> => {
        try {
          for await (const event of events) send(JSON.stringify(event));
          send('[DONE]');
        } catch (error) {
          if (left) return;
          if (!(error instanceof Refused)) onFault(error);
          send(
            JSON.stringify(errorBody(error instanceof Refused ? error : new Refused(500, 'internal error'))),
          );
        }
        if (!left) controller.close();
      };
      void run();
    },
    cancel() {
      left = true;
      leave();
    },
  });
  return new Response(body, {
    headers: {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
    },
  });
}
