// The dev set's score: mean nats a supervised token, forward only, in the session that trains.
import { performance } from 'node:perf_hooks';
import { packExamples } from '../data/packing';
import type { RenderedExample } from '../data/render';
import type { TrainingSession } from './session';

export interface DevScores {
  loss: number;
  perplexity: number;
  lossByLanguage: Record<string, number>;
  seconds: number;
}

export async function scoreDev(
  session: TrainingSession,
  examples: readonly RenderedExample[],
  microTokens: number,
): Promise<DevScores> {
  const started = performance.now();
  const byLanguage = new Map<string, { nll: number; weight: number }>();
  for (const { batch, members } of packExamples(examples, { microTokens })) {
    const { logprobs } = await session.score(batch);
    members.forEach((member, document) => {
      const lang = examples[member]!.lang;
      const sums = byLanguage.get(lang) ?? { nll: 0, weight: 0 };
      for (let t = batch.cuSeqlens[document]!; t < batch.cuSeqlens[document + 1]!; t++) {
        sums.nll -= batch.weights[t]! * logprobs[t]!;
        sums.weight += batch.weights[t]!;
      }
      byLanguage.set(lang, sums);
    });
  }
  let nll = 0;
  let weight = 0;
  const lossByLanguage: Record<string, number> = {};
  for (const [lang, sums] of [...byLanguage].sort(([a], [b]) => (a < b ? -1 : 1))) {
    nll += sums.nll;
    weight += sums.weight;
    lossByLanguage[lang] = sums.nll / sums.weight;
  }
  const loss = nll / weight;
  return { loss, perplexity: Math.exp(loss), lossByLanguage, seconds: (performance.now() - started) / 1000 };
}
