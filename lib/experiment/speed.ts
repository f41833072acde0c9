// How fast this machine does each kind of work, found out in seconds on the experiment's own records: the ground of the
// plan's times.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import type { Example } from '../data/example';
import { packExamples } from '../data/packing';
import { countTargets, type RenderedExample, renderExamples, renderPrompt } from '../data/render';
import { measureAnswers } from '../eval/measures/measure';
import { score } from '../eval/score';
import { Adapter, toAdapterSpec } from '../model/adapter';
import type { Model } from '../model/model';
import type { ChatTemplate } from '../model/template';
import { Sampler } from '../sample/sampler';
import type { Identify } from '../text/identify';
import { stepFlops } from '../train/plan';
import { TrainingSession } from '../train/session';
import { hasReference, promptOf, renderingOf } from './inputs';
import type { ExperimentSpec } from './spec';

/** Seconds for a unit of each kind of work. */
export interface Speed {
  /** Floating-point operations a second of training, everything included. */
  trainFlops: number;
  /** Seconds of one checkpoint. */
  save: number;
  /** Seconds a token of a prompt, and a token of an answer, with full batches. */
  promptToken: number;
  newToken: number;
  /** Seconds a token of a reference that is scored. */
  scoreToken: number;
  /** Seconds an answer that is measured. */
  answer: number;
}

const MIN_SECONDS = 5;
const ROWS = 32;
const NEW_TOKENS = 12;
const SCORED = 96;
/** Tokens of a measured step, and of what is scored, at most: batches of a hundred long records take minutes. */
const MOST_TOKENS = 8192;
const MEASURED = 48;

export interface SpeedInputs {
  spec: ExperimentSpec;
  model: Model;
  template: ChatTemplate;
  identify: Identify;
  /** A few dozen training records, of all languages. */
  train: readonly Example[];
  /** The evaluation set. */
  evaluation: readonly Example[];
  signal?: AbortSignal | undefined;
}

export async function measureSpeed(inputs: SpeedInputs): Promise<Speed> {
  const { spec, model } = inputs;
  const { rank, alpha, rslora, dropout, target } = spec.train;
  const adapterSpec = toAdapterSpec({ rank, alpha, rslora, dropout, targetModules: target });
  await using adapter = await Adapter.create(model, { ...adapterSpec, seed: 0 });
  const training = await trainSpeed(inputs, adapter);
  const sampling = await sampleSpeed(inputs, adapter);
  return {
    ...training,
    ...sampling,
    scoreToken: await scoreSpeed(inputs, adapter),
    answer: answerSpeed(inputs),
  };
}

function render(examples: readonly Example[], { spec, model, template }: SpeedInputs): RenderedExample[] {
  return renderExamples(examples, renderingOf(spec, { tokenizer: model.tokenizer, template })).examples;
}

async function trainSpeed(
  inputs: SpeedInputs,
  adapter: Adapter,
): Promise<Pick<Speed, 'trainFlops' | 'save'>> {
  const { spec, model, signal } = inputs;
  const size = spec.train.batchExamples;
  const examples = render(inputs.train, inputs);
  const longest = examples.reduce((most, { tokens }) => Math.max(most, tokens.length), 1);
  const microTokens = Math.max(2048, longest);
  await using session = await TrainingSession.create({ model, adapters: [adapter], microTokens });
  const rates: number[] = [];
  const began = performance.now();
  for (let step = 0; step < 4 || (step < 30 && performance.now() - began < MIN_SECONDS * 1000); step += 1) {
    signal?.throwIfAborted();
    const wanted = Array.from({ length: size }, (_, i) => examples[(step * size + i) % examples.length]!);
    const batch = within(wanted, MOST_TOKENS);
    const started = performance.now();
    for (const { batch: packed } of packExamples(batch, { microTokens }))
      await session.forwardBackward(packed);
    await session.optimStep({ learningRate: 0 });
    const seconds = (performance.now() - started) / 1000;
    const tokens = batch.reduce((sum, example) => sum + example.tokens.length, 0);
    const supervised = batch.reduce((sum, example) => sum + countTargets(example.weights), 0);
    // The first step finds caches cold and pages untouched.
    if (step > 0) rates.push(stepFlops(model.config, adapter.spec, tokens, supervised, 'none') / seconds);
  }
  const trainFlops = upperQuartile(rates);
  const folder = await mkdtemp(join(tmpdir(), 'mlit-speed-'));
  try {
    const before = performance.now();
    await session.saveState(join(folder, 'state.safetensors'));
    return { trainFlops, save: (performance.now() - before) / 1000 };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** One run that only reads the prompts, and one that answers too; the difference is the answers' share. */
async function sampleSpeed(
  { spec, model, template, evaluation, signal }: SpeedInputs,
  adapter: Adapter,
): Promise<Pick<Speed, 'promptToken' | 'newToken'>> {
  const chosen = evenly(evaluation, ROWS);
  const rendering = { tokenizer: model.tokenizer, template, system: spec.system };
  const prompts = chosen.map((example) => ({
    id: example.id,
    prompt: renderPrompt(promptOf(example), rendering).tokens,
  }));
  const longest = prompts.reduce((most, { prompt }) => Math.max(most, prompt.length), 0);
  const cacheTokens = ROWS * (longest + NEW_TOKENS + 32);
  await using sampler = await Sampler.create({ model, adapters: [adapter], maxRows: ROWS, cacheTokens });
  const timed = async (maxNewTokens: number): Promise<{ seconds: number; tokens: number }> => {
    const started = performance.now();
    const requests = prompts.map((prompt) => ({ ...prompt, maxNewTokens, endOfTurnIds: [] }));
    const results = await sampler.generate(requests, { signal });
    const tokens = results.reduce((sum, result) => sum + result.tokens.length, 0);
    return { seconds: (performance.now() - started) / 1000, tokens };
  };
  await timed(1);
  const reading = await fastest(() => timed(1));
  const answering = await fastest(() => timed(1 + NEW_TOKENS));
  const read = prompts.reduce((sum, { prompt }) => sum + prompt.length, 0);
  const drawn = Math.max(1, answering.tokens - reading.tokens);
  return {
    promptToken: reading.seconds / read,
    newToken: Math.max(0, answering.seconds - reading.seconds) / drawn,
  };
}

async function scoreSpeed(inputs: SpeedInputs, adapter: Adapter): Promise<number> {
  const withReferences = inputs.evaluation.filter(hasReference);
  if (withReferences.length === 0) return 0;
  const examples = within(render(evenly(withReferences, SCORED), inputs), MOST_TOKENS);
  const { seconds } = await fastest(async () => {
    const started = performance.now();
    await score({ model: inputs.model, adapter, examples, signal: inputs.signal, targets: 'supervised' });
    return { seconds: (performance.now() - started) / 1000 };
  });
  return seconds / examples.reduce((sum, example) => sum + example.tokens.length, 0);
}

/** References of other items stand for answers. */
function answerSpeed({ evaluation, identify }: SpeedInputs): number {
  const chosen = evenly(evaluation, MEASURED);
  const answers = chosen.map(({ id, lang }, at) => {
    const response = chosen[(at + 1) % chosen.length]!.turns.at(-1)!.content;
    return { id, lang, sample: 0, response, tokens: [], finishReason: 'end-of-turn' };
  });
  const started = performance.now();
  measureAnswers(answers, chosen, { identify });
  return (performance.now() - started) / 1000 / chosen.length;
}

/** The better of two goes: what else the machine did in a moment is no part of what hours will take. */
async function fastest<T extends { seconds: number }>(go: () => Promise<T>): Promise<T> {
  const [a, b] = [await go(), await go()];
  return a.seconds <= b.seconds ? a : b;
}

/** For the same reason, the rate that a quarter of the steps reach. */
function upperQuartile(rates: readonly number[]): number {
  return [...rates].sort((a, b) => b - a)[Math.floor(rates.length / 4)]!;
}

/** The first ones, up to so many tokens; one at least. */
function within(examples: readonly RenderedExample[], most: number): RenderedExample[] {
  let sum = 0;
  const end = examples.findIndex(({ tokens }, at) => {
    sum += tokens.length;
    return sum > most && at > 0;
  });
  return examples.slice(0, end < 0 ? undefined : end);
}

/** Up to `count` elements, spread over the whole list. */
export function evenly<T>(list: readonly T[], count: number): T[] {
  if (list.length <= count) return [...list];
  return Array.from({ length: count }, (_, i) => list[Math.floor((i * list.length) / count)]!);
}
