// How well one model predicts the reference responses: nats, tokens and bytes of each, a line a record; and which label it
// finds likeliest where a record is a choice among some.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Example } from '../../data/example';
import { itemOf } from '../../data/hold-out';
import { responseBytes } from '../../data/mixture/manifest';
import { lengthWithin, type RenderedExample, renderExamples } from '../../data/render';
import { labelItems } from '../../eval/label-set';
import { scoreLabels } from '../../eval/labels';
import { score } from '../../eval/score';
import { Adapter } from '../../model/adapter';
import type { Model } from '../../model/model';
import type { ChatTemplate, ChatTurn } from '../../model/template';
import type { Tokenizer } from '../../model/tokenizer';
import type { Assignment, JobProgress } from '../executor';
import { hasReference } from '../inputs';
import type { ScoreDescription } from '../job';
import { readEvaluation } from './evaluation';
import { adapterFolder } from './sample';
import type { Workshop } from './workshop';

export async function runScore(
  work: Assignment,
  shop: Workshop,
  onProgress: (progress: Omit<JobProgress, 'hash'>) => void,
): Promise<Record<string, unknown>> {
  const description = work.job.description as ScoreDescription;
  const model = await shop.model(work.job.files[description.model]!);
  const template = await shop.template(model, description, work.job.files);
  const all = (await readEvaluation(work.job, shop)).examples.filter(hasReference);
  const { system } = description;
  const maxLength = lengthWithin(model.config.contextLength, description.maxLength);
  // Of a choice among labels the reference is one, and scored with the others.
  const items = labelItems(all);
  const closed = new Set(items.filter(({ turns }) => !turns.some(byAssistant)).map(({ id }) => id));
  const examples = all.filter(({ id }) => !closed.has(id));
  const folder = adapterFolder(work);
  await using adapter = folder === undefined ? undefined : await Adapter.load(model, folder);
  const share = all.length === 0 ? 0 : examples.length / all.length;
  const { lines, cutBytes } = await scoreReferences(examples, {
    model,
    adapter,
    template,
    maxLength,
    ...(system !== null && { system }),
    signal: shop.signal,
    onProgress: (fraction) =>
      onProgress({ fraction: fraction * share, detail: `${examples.length} references` }),
  });
  const labelled = await scoreLabels({
    model,
    adapter,
    items,
    template,
    system: system ?? undefined,
    maxLength,
    signal: shop.signal,
    onProgress: (fraction) =>
      onProgress({ fraction: share + fraction * (1 - share), detail: `labels of ${items.length} questions` }),
  });
  const measures = new Map(labelled.map((label) => [label.id, label.measures]));
  for (const { id, correct, nats, tokens } of labelled)
    if (closed.has(id)) lines.set(id, { nats: nats[correct]!, tokens: tokens[correct]! });
  const sums = { nats: 0, tokens: 0 };
  const text = all.map((example) => {
    const { nats, tokens } = lines.get(example.id)!;
    sums.nats += nats;
    sums.tokens += tokens;
    const { id, lang } = example;
    const bytes = cutBytes.get(id) ?? responseBytes(example);
    const line = { id, lang, parallel_id: itemOf(example), nats, tokens, bytes, measures: measures.get(id) };
    return `${JSON.stringify(line)}\n`;
  });
  await writeFile(join(work.folder, 'likelihoods.jsonl'), text.join(''));
  return { baseDtype: model.baseDtype, records: all.length, ...sums };
}

const byAssistant = ({ role }: ChatTurn): boolean => role === 'assistant';

interface Scorer {
  model: Model;
  adapter: Adapter | undefined;
  template: ChatTemplate;
  maxLength: number;
  system?: string;
  signal: AbortSignal | undefined;
  onProgress: (fraction: number) => void;
}

/** Sums by record, and the bytes of what was scored of those that were cut. */
async function scoreReferences(
  examples: readonly Example[],
  { model, adapter, template, maxLength, system, signal, onProgress }: Scorer,
): Promise<{ lines: Map<string, { nats: number; tokens: number }>; cutBytes: Map<string, number> }> {
  const lines = new Map<string, { nats: number; tokens: number }>();
  if (examples.length === 0) return { lines, cutBytes: new Map() };
  const { tokenizer } = model;
  const context = { tokenizer, template, maxLength, ...(system !== undefined && { system }) };
  const rendered = renderExamples(examples, context);
  const known = new Set(examples.map((example) => example.id));
  // A conversation that was rendered in parts is one record still.
  const recordOf = (id: string): string => (known.has(id) ? id : id.replace(/#\d+$/, ''));
  await score({
    model,
    adapter,
    examples: rendered.examples,
    signal,
    targets: 'supervised',
    onRecord: ({ id, logprobs, supervised }) => {
      const own = recordOf(id);
      const sums = lines.get(own) ?? { nats: 0, tokens: 0 };
      for (const [at, logprob] of logprobs.entries()) {
        if (supervised[at] === 0 || logprob === null) continue;
        sums.nats -= logprob;
        sums.tokens += 1;
      }
      lines.set(own, sums);
    },
    onProgress,
  });
  return { lines, cutBytes: scoredBytes(rendered.examples, recordOf, tokenizer) };
}

/** Of records that were cut: the bytes of what is left to score, for a whole reference's would make each look cheap. */
function scoredBytes(
  rendered: readonly RenderedExample[],
  recordOf: (id: string) => string,
  tokenizer: Tokenizer,
): Map<string, number> {
  const cut = new Set(rendered.filter((part) => part.cut).map(({ id }) => recordOf(id)));
  const bytes = new Map<string, number>();
  for (const { id, tokens, weights } of rendered) {
    const record = recordOf(id);
    if (!cut.has(record)) continue;
    const text = tokenizer.decode(
      tokens.filter((_, at) => weights[at] !== 0),
      { skipSpecial: true },
    );
    bytes.set(record, (bytes.get(record) ?? 0) + Buffer.byteLength(text));
  }
  return bytes;
}
