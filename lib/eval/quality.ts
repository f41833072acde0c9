// What integer products cost in quality, told of the model and the data that they are to be used with: held-out responses before and
// after the same steps of LoRA training, the losses of these steps, and how far gradients point apart.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Example } from '../data/example';
import { packExamples } from '../data/packing';
import { describeReport, lengthWithin, type RenderedExample, renderExamples } from '../data/render';
import { Adapter } from '../model/adapter';
import { refuseCompute } from '../model/compute';
import { Model, type ModelLoadOptions } from '../model/model';
import { loadTokenizer, resolveModel } from '../model/source';
import { ChatTemplate } from '../model/template';
import { loadAddon } from '../native/addon';
import { MlitError } from '../native/errors';
import type { Compute } from '../native/types';
import { refuseUnknownOptions } from '../text/options';
import { interruptible } from '../train/dev';
import { TrainingSession } from '../train/session';
import { adapterGradient, gradientCosines } from './adapter-gradient';
import { builtInRecords } from './quality-records';
import { score } from './score';
import { PairedBootstrap } from './statistics/bootstrap';
import type { Estimate } from './statistics/estimate';

/** Model, data and size of {@link compareQuality}. */
export interface QualityOptions
  extends Pick<ModelLoadOptions, 'model' | 'device' | 'threads' | 'isa' | 'signal' | 'onNote' | 'onFetch'> {
  /** Records with responses. Default: a few built-in ones in eight languages. */
  examples?: readonly Example[] | undefined;
  /** As for training. Default `auto`. */
  template?: string;
  /** Records of a language that are held out at most; half of what there is where there are fewer than twice as many. Default 16. */
  heldOut?: number;
  /** Steps of AdamW, of 8 records each. Default 10. */
  steps?: number;
  /** Tokens of a record, longer ones are left out. Default 512. */
  maxLength?: number;
  /** Fraction done, and what is being done. */
  onProgress?: ((fraction: number, what: string) => void) | undefined;
}

/** Mean negative log-likelihood of held-out responses, in nats a token. */
export interface QualityRow {
  /** A language, or `all`. */
  lang: string;
  records: number;
  tokens: number;
  f32: number;
  int8: number;
  /** 100 · (int8 / f32 − 1), with a 95 % interval over records, both arithmetics on the same ones. */
  difference: Estimate;
  /** Of what was trained: 100 · (f32 from another seed / f32 − 1), what chance alone changes; a yardstick for the difference. */
  otherSeed?: number;
}

/** What {@link compareQuality} measures. */
export interface QualityReport {
  model: string;
  /** Of the weights in memory. */
  bytes: Record<Compute, number>;
  /** The bare base. */
  base: QualityRow[];
  /** With the adapter that the steps made. */
  trained: QualityRow[];
  /** Mean loss of each step. */
  losses: Record<Compute, number[]>;
  /** Of the gradients of one adapter, that of the float32 steps, over the same held-out records. */
  cosine: { byLayer: number[]; all: number; records: number };
  /** The language in which the base differs most, and the layer whose gradients agree least. */
  worst: { lang: string; percent: number; layer: number; cosine: number };
}

const BATCH = 8;
const LEARNING_RATE = 2e-4;
const MICRO_TOKENS = 1024;

interface Parts {
  heldOut: RenderedExample[];
  batches: RenderedExample[][];
  probe: RenderedExample[];
  microTokens: number;
}

interface Measured {
  bytes: number;
  layers: number;
  base: Map<string, number>;
  trained: Map<string, number>;
  /** In f32 alone. */
  otherSeed?: Map<string, number>;
  losses: number[];
  gradient: Float32Array;
}

/**
 * Loads the model twice, one after the other, and does the same with both. Adapters have rank 16 on all projections, learning rate
 * 2e-4 and seed 0; float32 trains once more from seed 1.
 *
 * @throws RangeError where integers can't be had (a card is asked for); MlitError `DATA_EMPTY` where nothing can be held out, and what
 * models and data throw
 */
export async function compareQuality(options: QualityOptions): Promise<QualityReport> {
  refuseUnknownOptions('compareQuality', options, {
    model: true,
    device: true,
    threads: true,
    isa: true,
    signal: true,
    onNote: true,
    onFetch: true,
    examples: true,
    template: true,
    heldOut: true,
    steps: true,
    maxLength: true,
    onProgress: true,
  });
  const { signal, onNote, onFetch, examples = builtInRecords() } = options;
  const { heldOut = 16, steps = 10, maxLength = 512, template: templateName = 'auto' } = options;
  for (const [name, value] of Object.entries({ heldOut, steps }))
    if (!Number.isSafeInteger(value) || value < 1)
      throw new RangeError(`compareQuality: ${name} is ${value}, expected a whole number from 1`);
  refuseCompute({ compute: 'int8', device: options.device });
  const source =
    typeof options.model === 'string'
      ? await resolveModel(options.model, { signal, onNote, onFetch })
      : options.model;
  const tokenizer = await loadTokenizer(source);
  const template = await ChatTemplate.create({ template: templateName, tokenizer });
  if (template.note !== undefined) onNote?.(template.note);
  const { contextLength } = await loadAddon().readModelConfig(source.path);
  const rendered = renderExamples(enoughOfEach(examples, 2 * heldOut + BATCH * steps), {
    tokenizer,
    template,
    truncate: 'drop',
    maxLength: lengthWithin(contextLength, maxLength, onNote ?? (() => {})),
  });
  for (const line of describeReport(rendered.report)) onNote?.(line);
  const parts = divide(rendered.examples, heldOut, steps);

  const folder = await mkdtemp(join(tmpdir(), 'mlit-quality-'));
  try {
    const measure = (compute: Compute, from: number): Promise<Measured> =>
      measureOne({ ...options, model: source }, compute, parts, folder, (fraction, what) =>
        options.onProgress?.(from + fraction / 2, `${compute}: ${what}`),
      );
    const f32 = await measure('f32', 0);
    const int8 = await measure('int8', 0.5);
    return report(source.baseName, parts, f32, int8);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The first of each language, so that of a large data set no more is rendered than can be used. */
function enoughOfEach(examples: readonly Example[], count: number): Example[] {
  const taken = new Map<string, number>();
  return examples.filter(({ lang }) => {
    const before = taken.get(lang) ?? 0;
    taken.set(lang, before + 1);
    return before < count;
  });
}

/** By language the first are held out; of the others, language by language in turn, come the steps, from the start again where they end. */
function divide(examples: readonly RenderedExample[], heldOut: number, steps: number): Parts {
  const byLanguage = new Map<string, RenderedExample[]>();
  for (const example of examples)
    byLanguage.set(example.lang, [...(byLanguage.get(example.lang) ?? []), example]);
  const held: RenderedExample[] = [];
  const queues: RenderedExample[][] = [];
  const probes: RenderedExample[][] = [];
  for (const own of byLanguage.values()) {
    const count = Math.min(heldOut, Math.floor(own.length / 2));
    held.push(...own.slice(0, count));
    probes.push(own.slice(0, count));
    queues.push(own.slice(count));
  }
  if (held.length === 0) {
    throw new MlitError(
      'DATA_EMPTY',
      `${examples.length} ${examples.length === 1 ? 'record' : 'records'}, and no language has two: one to hold out and one to train on; give more data`,
      { fields: { records: examples.length } },
    );
  }
  const order = inTurn(queues);
  const batches = Array.from({ length: steps }, (_, step) =>
    Array.from(
      { length: Math.min(BATCH, order.length) },
      (_, i) => order[(step * BATCH + i) % order.length]!,
    ),
  );
  const longest = examples.reduce((most, { tokens }) => Math.max(most, tokens.length), 1);
  return {
    heldOut: held,
    batches,
    probe: inTurn(probes).slice(0, BATCH),
    microTokens: Math.max(MICRO_TOKENS, longest),
  };
}

function inTurn<T>(queues: readonly (readonly T[])[]): T[] {
  const most = Math.max(...queues.map((queue) => queue.length));
  return Array.from({ length: most }, (_, i) => queues.flatMap((queue) => queue.slice(i, i + 1))).flat();
}

async function measureOne(
  options: QualityOptions,
  compute: Compute,
  parts: Parts,
  folder: string,
  onProgress: (fraction: number, what: string) => void,
): Promise<Measured> {
  const { model: source, threads, isa, signal } = options;
  const { heldOut, batches, probe, microTokens } = parts;
  await using model = await Model.load({
    model: source,
    device: 'cpu',
    compute,
    signal,
    ...(threads !== undefined && { threads }),
    ...(isa !== undefined && { isa }),
    onProgress: (fraction) => onProgress(0, `loading, ${Math.round(100 * fraction)} %`),
  });

  // Work in tokens; a step computes each about three times.
  const tokensOf = (examples: readonly RenderedExample[]): number =>
    examples.reduce((sum, { tokens }) => sum + tokens.length, 0);
  const times = compute === 'f32' ? 2 : 1; // it trains from two seeds
  const total = (1 + times) * tokensOf(heldOut) + 3 * times * tokensOf(batches.flat()) + 3 * tokensOf(probe);
  let done = 0;
  const advance = (tokens: number, what: string): void => {
    done += tokens;
    onProgress(done / total, what);
  };
  const likelihoods = async (adapter: Adapter | undefined): Promise<Map<string, number>> => {
    const nll = new Map<string, number>();
    await score({
      model,
      adapter,
      examples: heldOut,
      microTokens,
      targets: 'supervised',
      signal,
      onRecord: ({ id, tokens, logprobs }) => {
        nll.set(id, -logprobs.reduce<number>((sum, logprob) => sum + (logprob ?? 0), 0));
        advance(tokens.length, 'held-out responses');
      },
    });
    return nll;
  };

  const train = async (adapter: Adapter): Promise<number[]> => {
    const losses: number[] = [];
    await using session = await TrainingSession.create({ model, adapters: [adapter], microTokens });
    for (const [index, examples] of batches.entries()) {
      let [loss, weight] = [0, 0];
      for (const { batch } of packExamples(examples, { microTokens })) {
        const sums = await interruptible(session, signal, () => session.forwardBackward(batch));
        loss += sums.loss;
        weight += sums.weight;
      }
      await session.optimStep({ learningRate: LEARNING_RATE });
      losses.push(loss / weight);
      advance(3 * tokensOf(examples), `step ${index + 1} of ${batches.length}`);
    }
    return losses;
  };

  const base = await likelihoods(undefined);
  await using adapter = await Adapter.create(model, { seed: 0 });
  const losses = await train(adapter);
  const trained = await likelihoods(adapter);
  const saved = join(folder, 'adapter');
  if (compute === 'f32') await adapter.save(saved, model.source.baseName);
  await using probed = await Adapter.load(model, saved);
  const gradient = await adapterGradient(probed, probe, { microTokens, folder, signal });
  advance(3 * tokensOf(probe), 'gradient');
  const measured = { bytes: model.bytes, layers: model.config.layers, base, trained, losses, gradient };
  if (compute === 'int8') return measured;
  await using other = await Adapter.create(model, { seed: 1 });
  await train(other);
  return { ...measured, otherSeed: await likelihoods(other) };
}

function report(model: string, parts: Parts, f32: Measured, int8: Measured): QualityReport {
  const base = compareRows(parts.heldOut, f32.base, int8.base);
  const trained = compareRows(parts.heldOut, f32.trained, int8.trained, f32.otherSeed);
  const { byLayer, all } = gradientCosines(f32.gradient, int8.gradient, f32.layers);
  const largest = base
    .slice(0, -1)
    .reduce((most, row) => (Math.abs(row.difference.value) > Math.abs(most.difference.value) ? row : most));
  const cosine = Math.min(...byLayer);
  return {
    model,
    bytes: { f32: f32.bytes, int8: int8.bytes },
    base,
    trained,
    losses: { f32: f32.losses, int8: int8.losses },
    cosine: { byLayer, all, records: parts.probe.length },
    worst: { lang: largest.lang, percent: largest.difference.value, layer: byLayer.indexOf(cosine), cosine },
  };
}

function compareRows(
  examples: readonly RenderedExample[],
  f32: ReadonlyMap<string, number>,
  int8: ReadonlyMap<string, number>,
  otherSeed?: ReadonlyMap<string, number>,
): QualityRow[] {
  const measured = otherSeed ? [f32, int8, otherSeed] : [f32, int8];
  const langs = ['all', ...[...new Set(examples.map(({ lang }) => lang))].sort()];
  const tokens = examples.map(({ weights }) =>
    weights.reduce((count, weight) => count + (weight > 0 ? 1 : 0), 0),
  );
  const cells = langs.flatMap((lang) =>
    measured.map((nll) => ({
      values: examples.map(({ id, lang: own }) =>
        lang === 'all' || own === lang ? nll.get(id)! : Number.NaN,
      ),
      weights: tokens,
    })),
  );
  const bootstrap = new PairedBootstrap(cells);
  const { values } = bootstrap;
  const rows = langs.map((lang, at) => {
    const first = measured.length * at;
    const own = examples.map((example) => lang === 'all' || example.lang === lang);
    return {
      lang,
      records: own.filter(Boolean).length,
      tokens: tokens.reduce((sum, count, i) => sum + (own[i] ? count : 0), 0),
      f32: values[first]!,
      int8: values[first + 1]!,
      difference: bootstrap.contrast((drawn) => 100 * (drawn[first + 1]! / drawn[first]! - 1)),
      ...(otherSeed && { otherSeed: 100 * (values[first + 2]! / values[first]! - 1) }),
    };
  });
  return [...rows.slice(1), rows[0]!];
}
