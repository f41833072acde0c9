// `mlit sample`: prompts in, one JSON line a response out, in the order in which they end.
import { type Command, Option } from 'commander';
import { z } from 'zod';
import type { Example } from '../data/example';
import { readExamples } from '../data/read';
import { renderPrompt } from '../data/render';
import type { Model } from '../model/model';
import type { ChatTemplate } from '../model/template';
import { type SampleRequest, Sampler } from '../sample/sampler';
import {
  addCommonFlags,
  checkOptions,
  commonOptions,
  mergeConfig,
  parseCount,
  parseInteger,
  parseNumber,
  parseSwitch,
} from './common';
import { loadModel } from './load-model';
import { note, Progress, printJson } from './output';
import { abortOnSignals } from './signals';

const count = z.int().min(1);
const optionsSchema = z.strictObject({
  ...commonOptions,
  adapter: z.array(z.string()).default([]),
  prompts: z.string().min(1),
  maxNewTokens: count.default(256),
  temperature: z.number().min(0).default(0),
  topP: z.number().gt(0).max(1).default(1),
  topK: z.int().min(0).default(0),
  minP: z.number().min(0).max(1).default(0),
  samples: count.default(1),
  seed: z.int().min(0).default(0),
  stop: z.array(z.string().min(1)).default([]),
  logprobs: z.boolean().default(false),
});
type Options = z.output<typeof optionsSchema>;

export function addSample(program: Command): void {
  const option = (flags: string, description: string): Option => new Option(flags, description);
  addCommonFlags(program.command('sample').description('answer prompts in batches; one JSON line a response'))
    .addOption(
      option(
        '--adapter <dir...>',
        'PEFT folders; a record may choose by a field "adapter", 0 the first (default: the first)',
      ),
    )
    .addOption(option('--prompts <file>', 'JSONL with instruction or messages, or - for standard input'))
    .addOption(option('--max-new-tokens <n>', 'tokens of a response (default: 256)').argParser(parseInteger))
    .addOption(option('--temperature <x>', '0 = greedy (default: 0)').argParser(parseNumber))
    .addOption(option('--top-p <x>', 'nucleus (default: 1)').argParser(parseNumber))
    .addOption(option('--top-k <n>', '0 = off (default: 0)').argParser(parseCount))
    .addOption(option('--min-p <x>', 'share of the best probability (default: 0)').argParser(parseNumber))
    .addOption(option('--samples <n>', 'responses to each prompt (default: 1)').argParser(parseInteger))
    .addOption(option('--seed <n>', 'of the draws (default: 0)').argParser(parseCount))
    .addOption(option('--stop <text...>', 'texts that end a response'))
    .addOption(
      option('--logprobs [on|off]', 'log-probability of each token (default: off)')
        .preset('on')
        .argParser(parseSwitch),
    )
    .action((_given: unknown, command: Command) => sample(command));
}

async function sample(command: Command): Promise<void> {
  const { json: _, ...given } = await mergeConfig(command); // records stream as JSONL either way
  const options = checkOptions(optionsSchema, given);
  if (options.samples > 1 && options.temperature === 0)
    note(
      `--samples ${options.samples} at temperature 0: the responses to a prompt will be the same; --temperature 0.7 draws them`,
    );
  const { signal, release } = abortOnSignals();
  try {
    const need = options.template === 'none' ? 'text' : 'prompt';
    const prompts = await readExamples([options.prompts], {
      need,
      field: options.field,
      signal,
      onNote: note,
    });
    await using loaded = await loadModel(options, options.adapter, signal);
    const { model, template, adapters } = loaded;
    const jobs = prompts.flatMap((prompt) => toJobs(prompt, options, model, template, adapters.length));
    const longest =
      jobs.reduce((most, job) => Math.max(most, job.request.prompt.length), 0) + options.maxNewTokens;
    const maxRows = Math.min(32, jobs.length);
    await using sampler = await Sampler.create({
      model,
      adapters,
      maxRows,
      cacheTokens: maxRows * (longest + 32),
    });
    await run(sampler, jobs, options, signal);
  } finally {
    release();
  }
}

interface Job {
  request: SampleRequest;
  example: Example;
  sample: number;
  adapter: number;
  prompt: string;
}

function toJobs(
  example: Example,
  options: Options,
  model: Model,
  template: ChatTemplate,
  adapters: number,
): Job[] {
  const { tokenizer } = model;
  const turns =
    example.text !== undefined && template.name === 'none'
      ? [{ role: 'user', content: example.text }]
      : example.turns;
  const { text, tokens } = renderPrompt(turns, { tokenizer, template, system: options.system });
  const adapter = example.adapter ?? (adapters > 0 ? 0 : -1);
  if (adapter >= adapters) {
    throw new RangeError(
      `${example.source.file}:${example.source.line}: adapter is ${adapter}, but ${adapters} were given by --adapter`,
    );
  }
  return Array.from({ length: options.samples }, (_, index) => ({
    example,
    sample: index,
    adapter,
    prompt: text,
    request: {
      id: `${example.id}#${index}`,
      prompt: tokens,
      maxNewTokens: options.maxNewTokens,
      temperature: options.temperature,
      topP: options.topP,
      topK: options.topK,
      minP: options.minP,
      // Each sample of a prompt has a draw of its own; the first has the seed as given.
      seed: options.seed + index,
      stop: options.stop,
      endOfTurnIds: template.end.ids.length > 0 ? [template.end.ids.at(-1)!] : [],
      adapter,
    },
  }));
}

async function run(
  sampler: Sampler,
  jobs: readonly Job[],
  options: Options,
  signal: AbortSignal,
): Promise<void> {
  const progress = new Progress('sample');
  const byId = new Map(jobs.map((job) => [job.request.id, job]));
  const started = performance.now();
  let done = 0;
  let tokens = 0;
  const requests = jobs.map((job) => job.request);
  for await (const event of sampler.stream(requests, { signal })) {
    if (event.type !== 'result') continue;
    const { example, sample: index, adapter, prompt } = byId.get(event.id)!;
    tokens += event.tokens.length;
    await printJson({
      id: example.id,
      lang: example.lang,
      ...(example.parallelId !== undefined && { parallel_id: example.parallelId }),
      sample: index,
      adapter: adapter < 0 ? null : adapter,
      prompt,
      response: event.response,
      tokens: event.tokens,
      finishReason: event.finishReason,
      ...(options.logprobs && { logprobs: event.logprobs }),
    });
    done += 1;
    const rate = tokens / ((performance.now() - started) / 1000);
    progress.update(done / jobs.length, `${done}/${jobs.length} responses  ${rate.toFixed(0)} tokens/s`);
  }
  progress.end();
}
