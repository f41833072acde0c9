// From files to the steps of a run, without weights: what is read, rendered, held out and in which order it will be met.
// Everything here is a function of the files and the options, so a resumed run finds the same by doing it again.
import { createHash } from 'node:crypto';
import type { Example } from '../data/example';
import {
  type Mixture,
  type MixtureManifest,
  mixture,
  ParallelTable,
  pinchNote,
  sizeMixture,
} from '../data/mixture';
import { epochOrder, planSteps } from '../data/order';
import { isNamedByPlace, readExamples } from '../data/read';
import {
  describeReport,
  lengthWithin,
  type RenderedExample,
  type RenderOptions,
  type RenderReport,
  renderExamples,
} from '../data/render';
import { loadTokenizer, type ModelSource } from '../model/source';
import { ChatTemplate } from '../model/template';
import type { Tokenizer } from '../model/tokenizer';
import { loadAddon } from '../native/addon';
import { MlitError } from '../native/errors';
import { devItems } from './dev';
import type { DevItem } from './evaluator';
import type { TrainOptions } from './options';
import { describeRate, describeWarmup } from './schedule';

export interface PrepareContext {
  signal?: AbortSignal | undefined;
  onNote?: ((note: string) => void) | undefined;
  /** ISO time at which a template's clock stands. */
  clock: string;
}

/** mixture.json: what the run is trained on, by language. */
export interface MixtureSummary {
  files: string[];
  /** What was drawn from them, dev items included, where a recipe was given. */
  drawn?: MixtureManifest;
  /** SHA-256 over the sorted ids of the training examples. */
  idsHash: string;
  languages: Record<string, { examples: number; tokens: number; supervisedTokens: number }>;
  dev: Record<string, number>;
  /** Records cut or left out for their length, by language. */
  cut: Record<string, number>;
  dropped: Record<string, number>;
  /** Records whose own text spells control tokens. */
  controlTokenRecords: number;
  template: string;
}

export interface PreparedData {
  train: RenderedExample[];
  dev: RenderedExample[];
  /** The dev set as prompts and references; empty unless the adapter is chosen by responses. */
  devItems: DevItem[];
  /** Ids that end a response. */
  endOfTurnIds: number[];
  /** Indices into `train` of every optimiser step. */
  steps: number[][];
  mixture: MixtureSummary;
  /** SHA-256 over ids, tokens and weights of both sets, in order. */
  hash: string;
  tokenizer: Tokenizer;
}

/** @throws MlitError `DATA_INVALID`, `DATA_EMPTY`, `TEMPLATE_INVALID`, `TOKENIZER_UNSUPPORTED`, `FILE_NOT_FOUND` */
export async function prepareData(
  options: TrainOptions,
  source: ModelSource,
  context: PrepareContext,
): Promise<PreparedData> {
  const { onNote, signal } = context;
  const tokenizer = await loadTokenizer(source);
  const template = await ChatTemplate.create({
    template: options.template,
    tokenizer,
    now: context.clock,
  });
  if (template.note !== undefined) onNote?.(template.note);

  const need = template.name === 'none' ? 'text' : 'response';
  const reading = { need, field: options.field, signal, onNote } as const;
  const { contextLength } = await loadAddon().readModelConfig(source.path);
  const maxLength = lengthWithin(contextLength, options.maxLength, onNote);
  const { system, maxPrompt, maxResponse, truncate, lossNorm } = options;
  const rendering = { tokenizer, template, system, maxLength, maxPrompt, maxResponse, truncate, lossNorm };
  const read = await readExamples(options.data, reading);
  const drawn = options.mix === undefined ? undefined : draw(read, options.mix, rendering, onNote);
  const all = drawn?.examples ?? read;
  const [trainExamples, devExamples] =
    typeof options.dev === 'string'
      ? [all, await readExamples([options.dev], reading)]
      : splitDev(all, options.dev ?? 0, options.seed);
  if (typeof options.dev === 'string') refuseSharedIds(trainExamples, devExamples, options.dev);

  const train = renderExamples(trainExamples, rendering);
  const dev = devExamples.length > 0 ? renderExamples(devExamples, rendering).examples : [];
  for (const line of describeReport(train.report)) onNote?.(line);

  const lengths = train.examples.map((example) => example.tokens.length);
  const { seed, shuffle, epochs, steps: limit, batchExamples, batchTokens } = options;
  const steps = planSteps({ lengths, seed, shuffle, epochs, steps: limit, batchExamples, batchTokens });
  for (const line of describeWarmup(options.warmupSteps, steps.length)) onNote?.(line);
  for (const line of describeRate(options.learningRate)) onNote?.(line);
  return {
    train: train.examples,
    dev,
    devItems: options.select === 'loss' ? [] : devItems(devExamples, dev),
    endOfTurnIds: template.end.ids.slice(-1),
    steps,
    mixture: {
      ...summarize(options, train.examples, dev, train.report, template.name),
      ...(drawn && { drawn: drawn.manifest }),
    },
    hash: hashExamples([...train.examples, ...dev]),
    tokenizer,
  };
}

/** The dev set is taken from what is drawn here, so it has the mixture's own items and languages. */
function draw(
  examples: readonly Example[],
  recipe: string,
  rendering: RenderOptions,
  onNote: PrepareContext['onNote'],
): Mixture {
  const table = ParallelTable.from(examples);
  const spec = sizeMixture(recipe, table);
  const remark = pinchNote(spec);
  if (remark !== undefined) onNote?.(remark);
  const drawn = mixture(table, spec, { rendering, countTokens: false });
  const counts = Object.entries(drawn.allocation).map(([lang, n]) => `${lang} ${n}`);
  onNote?.(`mixture ${drawn.manifest.spec}: ${counts.join(', ')}`);
  return drawn;
}

/**
 * Takes `count` items out of the data: a seeded choice of items, each with its translations, so that no dev item is seen in
 * any language.
 */
export function splitDev(examples: readonly Example[], count: number, seed: number): [Example[], Example[]] {
  if (count === 0) return [[...examples], []];
  const itemOf = (example: Example): string => example.parallelId ?? `\0${example.id}`;
  const items = [...new Set(examples.map(itemOf))];
  if (count >= items.length) {
    throw new RangeError(
      `train options: dev is ${count}, but the data has ${items.length} items; take fewer, or give a file`,
    );
  }
  const order = epochOrder(items.length, seed, 0xffffffff);
  const chosen = new Set([...order.subarray(0, count)].map((at) => items[at]!));
  return [examples.filter((e) => !chosen.has(itemOf(e))), examples.filter((e) => chosen.has(itemOf(e)))];
}

function refuseSharedIds(train: readonly Example[], dev: readonly Example[], file: string): void {
  // Two files may have the same name: without ids, only the same line of the same file is the same record.
  const idOf = (e: Example): string => (isNamedByPlace(e) ? `\0${e.source.file}:${e.source.line}` : e.id);
  const items = new Set(
    train.flatMap((e) => (e.parallelId === undefined ? [idOf(e)] : [idOf(e), e.parallelId])),
  );
  const shared = dev.filter(
    (e) => items.has(idOf(e)) || (e.parallelId !== undefined && items.has(e.parallelId)),
  );
  if (shared.length === 0) return;
  throw new MlitError(
    'DATA_INVALID',
    `${file}: ${shared.length} dev records are items of the training data, '${shared[0]!.id}' the first; remove them from one of the two`,
    { fields: { file, ids: shared.slice(0, 20).map((example) => example.id) } },
  );
}

function summarize(
  options: TrainOptions,
  train: readonly RenderedExample[],
  dev: readonly RenderedExample[],
  report: RenderReport,
  template: string,
): MixtureSummary {
  const ids = createHash('sha256');
  for (const id of train.map((example) => example.id).sort()) ids.update(`${id}\n`);
  const languages: MixtureSummary['languages'] = {};
  for (const lang of Object.keys(report.tokens).sort()) {
    languages[lang] = {
      examples: train.filter((example) => example.lang === lang).length,
      tokens: report.tokens[lang]!,
      supervisedTokens: report.supervisedTokens[lang]!,
    };
  }
  const devCounts: Record<string, number> = {};
  for (const { lang } of dev) devCounts[lang] = (devCounts[lang] ?? 0) + 1;
  const { cut, dropped, controlTokenRecords } = report;
  return {
    files: options.data,
    idsHash: ids.digest('hex'),
    languages,
    dev: devCounts,
    cut,
    dropped,
    controlTokenRecords,
    template,
  };
}

function hashExamples(examples: readonly RenderedExample[]): string {
  const hash = createHash('sha256');
  for (const { id, tokens, weights } of examples) {
    hash.update(`${id}\n${tokens.length}\n`);
    hash.update(new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength));
    hash.update(new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength));
  }
  return hash.digest('hex');
}
