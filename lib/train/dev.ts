// The dev set's score: mean nats, weighed as in training, forward only, in the session that trains; and its records as prompts
// with references, for whoever measures responses.
import type { Example } from '../data/example';
import { packExamples } from '../data/packing';
import type { RenderedExample } from '../data/render';
import type { DevItem } from './evaluator';
import type { RunSession } from './session';

export interface DevScores {
  /** Nats a supervised token; a mean of the examples' own means where training weighs examples alike (`lossNorm: 'example'`). */
  loss: number;
  /** exp of `loss`. */
  perplexity: number;
  lossByLanguage: Record<string, number>;
  seconds: number;
}

/**
 * What rendering made of the records, the last response of each taken off: the prompt has been cut where training would cut
 * it, the reference is whole.
 */
export function devItems(examples: readonly Example[], rendered: readonly RenderedExample[]): DevItem[] {
  const recordOf = new Map(
    examples.map((example) => [`${example.source.file}:${example.source.line}`, example]),
  );
  return rendered.map(({ id, lang, tokens, weights, source }) => {
    const example = recordOf.get(`${source.file}:${source.line}`)!;
    // `id#2` is the second response on its own; an example of several responses ends with its last.
    const first = id === example.id ? 0 : Number(id.slice(example.id.length + 1)) - 1;
    let responses = 0;
    let start = 0;
    for (let i = 1; i < weights.length; i++) {
      if (weights[i] === 0 || weights[i - 1] !== 0) continue;
      responses += 1;
      start = i;
    }
    const answers = example.turns.filter((turn) => turn.role === 'assistant');
    return { id, lang, prompt: tokens.slice(0, start), reference: answers[first + responses - 1]!.content };
  });
}

/** What scores are made of, by language. */
export type DevSums = Record<string, { nll: number; weight: number }>;

/** @throws the signal's reason, between two operations of the model */
export async function sumDev(
  session: RunSession,
  examples: readonly RenderedExample[],
  microTokens: number,
  signal: AbortSignal,
): Promise<DevSums> {
  const byLanguage: DevSums = {};
  for (const { batch, members } of packExamples(examples, { microTokens })) {
    const { logprobs } = await interruptible(session, signal, () => session.score(batch));
    members.forEach((member, document) => {
      const lang = examples[member]!.lang;
      const sums = byLanguage[lang] ?? { nll: 0, weight: 0 };
      for (let t = batch.cuSeqlens[document]!; t < batch.cuSeqlens[document + 1]!; t++) {
        sums.nll -= batch.weights[t]! * logprobs[t]!;
        sums.weight += batch.weights[t]!;
      }
      byLanguage[lang] = sums;
    });
  }
  return byLanguage;
}

/** The scores of a dev set whose parts have these sums. */
export function devScores(parts: readonly DevSums[]): Omit<DevScores, 'seconds'> {
  let nll = 0;
  let weight = 0;
  const lossByLanguage: Record<string, number> = {};
  for (const lang of [...new Set(parts.flatMap((part) => Object.keys(part)))].sort()) {
    const own = { nll: 0, weight: 0 };
    for (const part of parts) {
      own.nll += part[lang]?.nll ?? 0;
      own.weight += part[lang]?.weight ?? 0;
    }
    nll += own.nll;
    weight += own.weight;
    lossByLanguage[lang] = own.nll / own.weight;
  }
  const loss = nll / weight;
  return { loss, perplexity: Math.exp(loss), lossByLanguage };
}

/**
 * A call that ends soon after the signal, with its reason. It cancels what the session does: no gradients may be pending that are
 * still wanted, as none are while a set is scored.
 */
export async function interruptible<T>(
  session: RunSession,
  signal: AbortSignal | undefined,
  call: () => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const cancel = (): void => session.cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    return await call();
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}
