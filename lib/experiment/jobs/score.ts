// How well one model predicts the reference responses: nats, tokens and bytes of each, a line a record; and which label it
// finds likeliest where a record is a choice among some.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { itemOf } from '../../data/hold-out';
import { renderExamples } from '../../data/render';
import { labelItems } from '../../eval/label-set';
import { scoreLabels } from '../../eval/labels';
import { score } from '../../eval/score';
import { Adapter } from '../../model/adapter';
import type { Assignment, JobProgress } from '../executor';
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
  const { examples } = await readEvaluation(work.job, shop);
  const { maxLength, system } = description;
  const rendered = renderExamples(examples, {
    tokenizer: model.tokenizer,
    template,
    maxLength,
    ...(system !== null && { system }),
  });
  const known = new Set(examples.map((example) => example.id));
  const lines = new Map<string, { nats: number; tokens: number }>();
  const folder = adapterFolder(work);
  await using adapter = folder === undefined ? undefined : await Adapter.load(model, folder);
  const { all } = await score({
    model,
    adapter,
    examples: rendered.examples,
    signal: shop.signal,
    targets: 'supervised',
    onRecord: ({ id, logprobs, supervised }) => {
      // A conversation that was rendered in parts is one record still.
      const own = known.has(id) ? id : id.replace(/#\d+$/, '');
      const sums = lines.get(own) ?? { nats: 0, tokens: 0 };
      for (const [at, logprob] of logprobs.entries()) {
        if (supervised[at] === 0 || logprob === null) continue;
        sums.nats -= logprob;
        sums.tokens += 1;
      }
      lines.set(own, sums);
    },
    onProgress: (fraction) => onProgress({ fraction, detail: `${examples.length} references` }),
  });
  // Where records are choices among labels, which label the model finds likeliest is known too.
  const items = labelItems(examples);
  const labelled = await scoreLabels({
    model,
    adapter,
    items,
    template,
    system: system ?? undefined,
    maxLength,
    signal: shop.signal,
    onProgress: (fraction) => onProgress({ fraction, detail: `labels of ${items.length} questions` }),
  });
  const measures = new Map(labelled.map((label) => [label.id, label.measures]));
  const text = examples.map((example) => {
    const { nats, tokens } = lines.get(example.id)!;
    const { id, lang, turns } = example;
    const answers = turns.filter(({ role }) => role === 'assistant');
    const bytes = answers.reduce((sum, { content }) => sum + Buffer.byteLength(content), 0);
    const line = { id, lang, parallel_id: itemOf(example), nats, tokens, bytes, measures: measures.get(id) };
    return `${JSON.stringify(line)}\n`;
  });
  await writeFile(join(work.folder, 'likelihoods.jsonl'), text.join(''));
  return { records: all.records, tokens: all.tokens, nats: all.nll };
}
