// A dev set by what the model says: ROUGE-L of greedy responses, sampled between two steps from the adapter as it is, each
// language counting alike.
import type { Adapter } from '../model/adapter';
import type { Model } from '../model/model';
import { type SampleRequest, Sampler } from '../sample/sampler';
import { rougeLOfTokens, rougeTokens } from '../text/rouge';
import type { DevAnswer, DevContext, DevEvaluator, DevMeasure, DevMeasuring } from '../train/evaluator';

/** Sequences at once. */
const ROWS = 32;

/** Responses that are kept for people. */
const SHOWN = 8;

/** For a trainer with `select: 'rouge-l'`. Words are Unicode's, by the record's language. */
export function rougeEvaluator(): DevEvaluator {
  return {
    measures: 'rouge-l',
    plan: (context, { adapter, ...base }) =>
      Sampler.plan({ ...base, adapters: adapter ? [adapter] : [] }, limitsOf(context)),
    open: async (context, model, adapter) => RougeMeasuring.create(context, model, adapter),
  };
}

class RougeMeasuring implements DevMeasuring {
  readonly #sampler: Sampler;
  readonly #requests: SampleRequest[];
  /** By place: the words that are hoped for. */
  readonly #references: { lang: string; words: string[] }[];
  /** By place, of those that are shown. */
  readonly #shown = new Map<number, Omit<DevAnswer, 'response'>>();

  private constructor(sampler: Sampler, { items, endOfTurnIds, maxNewTokens }: DevContext, model: Model) {
    this.#sampler = sampler;
    for (const place of shownPlaces(items)) {
      const { id, lang, prompt } = items[place]!;
      this.#shown.set(place, { id, lang, prompt: model.tokenizer.decode(prompt) });
    }
    this.#requests = items.map(({ prompt }, place) => ({
      id: String(place),
      prompt,
      maxNewTokens,
      endOfTurnIds,
    }));
    this.#references = items.map(({ lang, reference }) => ({
      lang,
      words: rougeTokens(reference, { lang }),
    }));
  }

  static async create(
    context: DevContext,
    model: Model,
    adapter: Adapter | undefined,
  ): Promise<RougeMeasuring> {
    const adapters = adapter ? [adapter] : [];
    return new RougeMeasuring(
      await Sampler.create({ model, adapters, ...limitsOf(context) }),
      context,
      model,
    );
  }

  async measure(signal: AbortSignal): Promise<DevMeasure> {
    const results = await this.#sampler.generate(this.#requests, { signal });
    const scores = new Map<string, number[]>();
    for (const [place, { response }] of results.entries()) {
      const { lang, words } = this.#references[place]!;
      const score = rougeLOfTokens(rougeTokens(response, { lang }), words);
      scores.set(lang, [...(scores.get(lang) ?? []), score]);
    }
    const byLanguage: Record<string, number> = {};
    for (const lang of [...scores.keys()].sort()) byLanguage[lang] = mean(scores.get(lang)!);
    const answers = [...this.#shown].map(([place, asked]) => ({
      ...asked,
      response: results[place]!.response,
    }));
    return { value: mean(Object.values(byLanguage)), byLanguage, answers };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#sampler.dispose();
  }
}

/** The first record of each language, then the second of each. */
function shownPlaces(items: DevContext['items']): number[] {
  const seen = new Map<string, number>();
  const rounds = items.map(({ lang }) => {
    seen.set(lang, (seen.get(lang) ?? 0) + 1);
    return seen.get(lang)!;
  });
  return [...items.keys()].sort((a, b) => rounds[a]! - rounds[b]! || a - b).slice(0, SHOWN);
}

function limitsOf({ items, maxNewTokens }: DevContext): { maxRows: number; cacheTokens: number } {
  const longest = items.reduce((most, { prompt }) => Math.max(most, prompt.length), 0);
  const maxRows = Math.min(ROWS, items.length);
  return { maxRows, cacheTokens: maxRows * (longest + maxNewTokens + 32) };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
