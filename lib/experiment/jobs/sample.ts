// Many models' answers over one resident base: requests of all jobs go through one sampler with all adapters, in the order
// of the jobs, so that the first job's answers are complete while the last ones' still wait.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { itemOf } from '../../data/hold-out';
import { renderPrompt } from '../../data/render';
import { Adapter } from '../../model/adapter';
import type { Model } from '../../model/model';
import { type SampleRequest, Sampler } from '../../sample/sampler';
import type { Assignment, JobOutcome, JobProgress } from '../executor';
import { promptOf } from '../inputs';
import { canonicalJson, type Job, type SampleDescription } from '../job';
import { readEvaluation } from './evaluation';
import type { Workshop } from './workshop';

/** Sequences at once, whoever's they are. */
const ROWS = 32;

/** What jobs have in common that can share a sampler: everything but the adapter. */
export function sampleGroup(job: Job): string {
  const { train: _, seed: __, ...common } = job.description as SampleDescription;
  return canonicalJson(common);
}

interface Pending {
  work: Assignment;
  /** Answers by place; complete when `left` is 0. */
  lines: (Answer | undefined)[];
  left: number;
  tokens: number;
}

/** A line of answers.jsonl, as `mlit sample` prints it. */
interface Answer {
  id: string;
  lang: string;
  parallel_id: string;
  sample: number;
  adapter: number | null;
  prompt: string;
  response: string;
  tokens: number[];
  finishReason: string;
}

export async function* runSamples(
  works: readonly Assignment[],
  shop: Workshop,
  onProgress: (progress: JobProgress) => void,
): AsyncGenerator<JobOutcome> {
  const { files } = works[0]!.job;
  const description = works[0]!.job.description as SampleDescription;
  const model = await shop.model(files[description.model]!);
  const template = await shop.template(model, description, files);
  const { examples } = await readEvaluation(works[0]!.job, shop);
  const prompts = examples.map((example) => {
    const turns = promptOf(example);
    const system = description.system ?? undefined;
    return { example, ...renderPrompt(turns, { tokenizer: model.tokenizer, template, system }) };
  });
  await using adapters = await loadAdapters(works, model);

  const pending = new Map<string, Pending>();
  const requests: SampleRequest[] = [];
  for (const work of works) {
    const { options, seed } = work.job.description as SampleDescription;
    pending.set(work.job.hash, {
      work,
      lines: new Array<Answer | undefined>(prompts.length),
      left: prompts.length,
      tokens: 0,
    });
    for (const [place, { tokens }] of prompts.entries()) {
      requests.push({
        ...options,
        id: `${work.job.hash} ${place}`,
        prompt: tokens,
        seed,
        endOfTurnIds: template.end.ids.length > 0 ? [template.end.ids.at(-1)!] : [],
        adapter: adapters.indexOf(work),
      });
    }
  }

  const longest = prompts.reduce((most, { tokens }) => Math.max(most, tokens.length), 0);
  const maxRows = Math.min(ROWS, requests.length);
  await using sampler = await Sampler.create({
    model,
    adapters: adapters.list,
    maxRows,
    cacheTokens: maxRows * (longest + description.options.maxNewTokens + 32),
  });
  let since = performance.now();
  let done = 0;
  let drawn = 0;
  const started = since;
  for await (const event of sampler.stream(requests, { signal: shop.signal })) {
    if (event.type !== 'result') continue;
    const [hash, place] = event.id.split(' ') as [string, string];
    const job = pending.get(hash)!;
    const { example, text } = prompts[Number(place)]!;
    job.lines[Number(place)] = {
      id: example.id,
      lang: example.lang,
      parallel_id: itemOf(example),
      sample: 0,
      adapter: adapters.indexOf(job.work) < 0 ? null : 0,
      prompt: text,
      response: event.response,
      tokens: event.tokens,
      finishReason: event.finishReason,
    };
    job.left -= 1;
    job.tokens += event.tokens.length;
    done += 1;
    drawn += event.tokens.length;
    const rate = drawn / ((performance.now() - started) / 1000);
    onProgress({
      hash,
      fraction: 1 - job.left / prompts.length,
      detail: `${done}/${requests.length} answers of ${works.length} models  ${rate.toFixed(0)} new tokens/s`,
    });
    if (job.left > 0) continue;
    const lines = job.lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    await writeFile(join(job.work.folder, 'answers.jsonl'), lines);
    const seconds = (performance.now() - since) / 1000;
    since = performance.now();
    yield {
      hash,
      seconds,
      summary: { baseDtype: model.baseDtype, answers: prompts.length, newTokens: job.tokens },
    };
  }
}

/** The adapters that the jobs answer with; the base needs none. */
class Adapters implements AsyncDisposable {
  readonly list: Adapter[] = [];
  readonly #places = new Map<string, number>();

  async add(folder: string, model: Model): Promise<void> {
    if (this.#places.has(folder)) return;
    this.#places.set(folder, this.list.length);
    this.list.push(await Adapter.load(model, folder));
  }

  indexOf(work: Assignment): number {
    return this.#places.get(adapterFolder(work) ?? '') ?? -1;
  }

  /** For `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const adapter of this.list) await adapter.dispose();
  }
}

async function loadAdapters(works: readonly Assignment[], model: Model): Promise<Adapters> {
  const adapters = new Adapters();
  for (const work of works) {
    const folder = adapterFolder(work);
    if (folder !== undefined) await adapters.add(folder, model);
  }
  return adapters;
}

/** Where the adapter of a sampling or scoring job is; undefined for the base as it is. */
export function adapterFolder(work: Assignment): string | undefined {
  const { train } = work.job.description as SampleDescription;
  return train === null ? undefined : join(work.inputs[train]!, 'adapter');
}
