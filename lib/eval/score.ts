// How well a model predicts given texts: negative log-likelihood, perplexity and bits a byte, by language. Bytes make
// languages comparable whose tokens are not.
import { packExamples } from '../data/packing';
import type { RenderedExample } from '../data/render';
import type { Adapter } from '../model/adapter';
import type { Model } from '../model/model';
import { refuseUnknownOptions } from '../text/options';
import { interruptible } from '../train/dev';
import { TrainingSession } from '../train/session';

/** Likelihood of responses: sums over records, and their quotients. */
export interface ScoreSums {
  records: number;
  /** Supervised tokens (all but the first where there is no template). */
  tokens: number;
  /** UTF-8 bytes of the supervised text, control tokens left out. */
  bytes: number;
  /** Sum, in nats. */
  nll: number;
  /** exp(nll / tokens) */
  perplexity: number;
  /** nll / (ln 2 · bytes) */
  bitsPerByte: number;
}

/** Log-probabilities of one record’s tokens. */
export interface RecordScore {
  id: string;
  lang: string;
  /** Every id of the rendered record. */
  tokens: number[];
  /** [length] log-probability of each token given those before it; null for the first, and for those not asked for. */
  logprobs: (number | null)[];
  /** [length] 1 where the token is supervised. */
  supervised: (0 | 1)[];
}

/** Model, adapter and records of {@link score}. */
export interface ScoreOptions {
  model: Model;
  /** Default: the bare base. */
  adapter?: Adapter | undefined;
  examples: readonly RenderedExample[];
  /** Tokens computed at once; at least the longest example. Default 2048. */
  microTokens?: number;
  signal?: AbortSignal | undefined;
  /** Also called for each record, with every token's log-probability; records come in packing order. */
  onRecord?: ((record: RecordScore) => void | Promise<void>) | undefined;
  /**
   * Which tokens a record's `logprobs` are given of: `all`, or `supervised` alone (null elsewhere), which saves the logits of
   * every prompt token; with a vocabulary of 262,144 these cost more than the model. Default `all`.
   */
  targets?: 'all' | 'supervised';
  /** Fraction of tokens done. */
  onProgress?: ((fraction: number) => void) | undefined;
}

/** Likelihoods over all records, and by language. */
export interface Scores {
  all: ScoreSums;
  byLanguage: Record<string, ScoreSums>;
}

/** Scores examples; the model's and the adapter's weights stay as they are. */
export async function score(options: ScoreOptions): Promise<Scores> {
  refuseUnknownOptions('score', options, {
    model: true,
    adapter: true,
    examples: true,
    microTokens: true,
    signal: true,
    onRecord: true,
    targets: true,
    onProgress: true,
  });
  const { model, adapter, examples, signal, onRecord } = options;
  const allTargets = onRecord !== undefined && options.targets !== 'supervised';
  signal?.throwIfAborted();
  const longest = examples.reduce((most, example) => Math.max(most, example.tokens.length), 1);
  const microTokens = Math.max(options.microTokens ?? 2048, longest);
  const session = await TrainingSession.create({
    model,
    adapters: adapter ? [adapter] : [],
    microTokens,
    training: false,
  });
  const sums = new Map<string, ScoreSums>();
  const total = examples.reduce((sum, example) => sum + example.tokens.length, 0);
  let done = 0;
  try {
    const groups = packExamples(examples, {
      microTokens,
      adapters: adapter ? 0 : -1,
      allTargets,
    });
    for (const { batch, members } of groups) {
      const { logprobs } = await interruptible(session, signal, () => session.score(batch));
      for (const [document, member] of members.entries()) {
        const example = examples[member]!;
        const from = batch.cuSeqlens[document]!;
        const own = logprobs.subarray(from, batch.cuSeqlens[document + 1]!);
        addScore(sums, example, own, model);
        if (onRecord) await onRecord(toRecord(example, own, allTargets));
      }
      done += batch.tokens.length;
      options.onProgress?.(done / total);
    }
  } finally {
    await session.dispose();
  }
  return finish(sums);
}

/** own[i] is the log-probability of tokens[i + 1]. */
function addScore(
  sums: Map<string, ScoreSums>,
  example: RenderedExample,
  own: Float32Array,
  model: Model,
): void {
  const entry = sums.get(example.lang) ?? emptySums();
  const supervised: number[] = [];
  for (let i = 1; i < example.tokens.length; i++) {
    if (example.weights[i] === 0) continue;
    entry.nll -= own[i - 1]!;
    supervised.push(example.tokens[i]!);
  }
  entry.records += 1;
  entry.tokens += supervised.length;
  entry.bytes += Buffer.byteLength(model.tokenizer.decode(supervised, { skipSpecial: true }));
  sums.set(example.lang, entry);
}

function toRecord(example: RenderedExample, own: Float32Array, allTargets: boolean): RecordScore {
  return {
    id: example.id,
    lang: example.lang,
    tokens: [...example.tokens],
    logprobs: Array.from(example.tokens, (_, at) =>
      at > 0 && (allTargets || example.weights[at] !== 0) ? own[at - 1]! : null,
    ),
    supervised: Array.from(example.weights, (weight) => (weight === 0 ? 0 : 1)),
  };
}

function emptySums(): ScoreSums {
  return { records: 0, tokens: 0, bytes: 0, nll: 0, perplexity: 0, bitsPerByte: 0 };
}

function finish(sums: Map<string, ScoreSums>): Scores {
  const all = emptySums();
  const byLanguage: Record<string, ScoreSums> = {};
  for (const [lang, entry] of [...sums].sort(([a], [b]) => (a < b ? -1 : 1))) {
    for (const key of ['records', 'tokens', 'bytes', 'nll'] as const) all[key] += entry[key];
    byLanguage[lang] = withRates(entry);
  }
  return { all: withRates(all), byLanguage };
}

function withRates(sums: ScoreSums): ScoreSums {
  return {
    ...sums,
    perplexity: Math.exp(sums.nll / sums.tokens),
    bitsPerByte: sums.nll / (Math.LN2 * sums.bytes),
  };
}
