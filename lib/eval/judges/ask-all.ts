// Many questions to one endpoint, several at once. Whatever ends the work — a budget, a failure, Ctrl-C — what has been sent is
// waited for and handed over first, since it is paid for.
import { setTimeout } from 'node:timers/promises';
import { MlitError } from '../../native/errors';
import type { Endpoint, EndpointAnswer } from './endpoint';

/** A question in words, with whatever the caller wants back beside the answer. */
export interface PromptQuestion {
  prompt: string;
}

/** How long an abort waits for answers that are under way. */
const DRAIN_MS = 10_000;
/** Failures one after the other at which the endpoint is taken for out of order. */
const FAILURES_IN_A_ROW = 10;

/**
 * Answers as they come. Questions that the budget leaves no room for are not answered.
 *
 * @throws MlitError `JUDGE_FAILED` where asking on is no use, the signal's reason; both after the answers that were under way
 */
export async function* askAll<Q extends PromptQuestion>(
  endpoint: Endpoint,
  questions: Iterable<Q>,
  options: { concurrency?: number | undefined; signal?: AbortSignal | undefined } = {},
): AsyncGenerator<{ question: Q; answer: Exclude<EndpointAnswer, { kind: 'unasked' }> }> {
  const { concurrency = 8, signal } = options;
  const queue = questions[Symbol.iterator]();
  const controllers = new Set<AbortController>();
  const active = new Set<Promise<void>>();
  const answers: { question: Q; answer: EndpointAnswer }[] = [];
  let failure: unknown;
  let failures = 0;
  let ended = false;

  const ask = async (question: Q): Promise<void> => {
    // One for each question: the client leaves its listeners on a signal behind.
    const controller = new AbortController();
    controllers.add(controller);
    try {
      const answer = await endpoint.ask(question.prompt, controller.signal);
      answers.push({ question, answer });
      if (answer.kind === 'unasked') ended = true;
      failures = answer.kind === 'failed' ? failures + 1 : 0;
      if (answer.kind === 'failed' && failures >= FAILURES_IN_A_ROW) {
        failure ??= new MlitError(
          'JUDGE_FAILED',
          `judge: ${failures} questions in a row were not answered, the last with: ${answer.why}; what was answered before is kept, so run the same again to go on`,
          { fields: { failures } },
        );
      }
    } catch (error) {
      failure ??= error;
    } finally {
      controllers.delete(controller);
    }
  };
  let wake = (): void => {};
  const onAbort = (): void => wake();
  const start = (question: Q): void => {
    const task: Promise<void> = ask(question).then(() => {
      active.delete(task);
      wake();
    });
    active.add(task);
  };
  signal?.addEventListener('abort', onAbort);
  try {
    for (;;) {
      const giveUp = failure !== undefined || signal?.aborted === true;
      if (giveUp) await drain(endpoint, active);
      // What came is handed over before more is asked: its keeper may want it safe first.
      for (let one = answers.shift(); one !== undefined; one = answers.shift()) {
        const { question, answer } = one;
        if (answer.kind !== 'unasked') yield { question, answer };
      }
      if (giveUp) {
        signal?.throwIfAborted();
        throw failure;
      }
      while (!ended && active.size < concurrency) {
        const next = queue.next();
        if (next.done) ended = true;
        else start(next.value);
      }
      // More may have come, or gone wrong, while the last was being looked at.
      if (answers.length > 0 || failure !== undefined || signal?.aborted) continue;
      if (active.size === 0) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    signal?.removeEventListener('abort', onAbort);
    for (const controller of controllers) controller.abort();
    await Promise.race([Promise.all(active), setTimeout(0)]);
  }
}

/** Until nothing that was sent is unanswered; a question that waits to be sent again is not waited for. */
async function drain(endpoint: Endpoint, active: ReadonlySet<Promise<void>>): Promise<void> {
  const end = performance.now() + DRAIN_MS;
  while (active.size > 0 && endpoint.open > 0 && performance.now() < end)
    await Promise.race([...active, setTimeout(50)]);
}
