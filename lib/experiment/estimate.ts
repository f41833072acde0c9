// What an experiment will take before it begins: jobs, tokens, time and disk, from lengths of the records and a short
// measurement.
import { type Example, place } from '../data/example';
import {
  countTargets,
  type RenderedExample,
  renderExample,
  renderExamples,
  renderPrompt,
} from '../data/render';
import { plantPairs } from '../eval/judges/planted';
import { labelSetOf } from '../eval/label-set';
import type { Model } from '../model/model';
import type { ChatTemplate } from '../model/template';
import type { Tokenizer } from '../model/tokenizer';
import { MlitError } from '../native/errors';
import type { NativeAdapterSpec } from '../native/types';
import { stepFlops } from '../train/plan';
import type { JobGraph } from './graph';
import { hasReference, promptOf, renderingOf } from './inputs';
import {
  canonicalJson,
  JOB_KINDS,
  type JobKind,
  type JudgeDescription,
  type MixDescription,
  type SampleDescription,
  type TrainDescription,
} from './job';
import { SAVE_EVERY } from './jobs/train';
import type { PreparedJudge } from './judges';
import type { ExperimentSpec } from './spec';
import { evenly, type Speed } from './speed';

/** Jobs, tokens, time and disk that an experiment will take. */
export interface ExperimentPlan {
  jobs: Record<JobKind, { total: number; todo: number; seconds: number }>;
  /** Of the jobs to do. */
  seconds: number;
  trainTokens: number;
  supervisedTokens: number;
  promptTokens: number;
  /** Predicted: tuned models answer as long as their data does, untuned ones up to the limit. */
  newTokens: number;
  diskBytes: number;
  /**
   * Questions to endpoints that judge, at most: two for each pair of answers, of which identical ones are not asked, and for each planted
   * pair, once a judge. What the store has of them already is in it.
   */
  judgeCalls: number;
  /** Seconds by job hash, finished ones too. */
  estimates: Record<string, number>;
}

/** Mean tokens of a record, by language. */
export interface Lengths {
  tokens: number;
  supervised: number;
}

const RECORDS_A_LANGUAGE = 200;

/** Mean lengths by language, over up to two hundred records of each. */
export function measureLengths(
  examples: readonly Example[],
  spec: ExperimentSpec,
  model: Model,
  template: ChatTemplate,
): Record<string, Lengths> {
  const byLanguage = new Map<string, Example[]>();
  for (const example of examples) {
    const list = byLanguage.get(example.lang) ?? [];
    list.push(example);
    byLanguage.set(example.lang, list);
  }
  const lengths: Record<string, Lengths> = {};
  for (const [lang, list] of byLanguage) {
    const { tokenizer } = model;
    const options = renderingOf(spec, { tokenizer, template });
    const { examples: rendered } = renderExamples(evenly(list, RECORDS_A_LANGUAGE), options);
    const mean = (count: (example: RenderedExample) => number): number =>
      rendered.reduce((sum, example) => sum + count(example), 0) / rendered.length;
    lengths[lang] = {
      tokens: mean(({ tokens }) => tokens.length),
      supervised: mean(({ weights }) => countTargets(weights)),
    };
  }
  return lengths;
}

/**
 * A prompt that does not fit is met when answers are drawn, after all training: better now.
 *
 * @throws MlitError `DATA_INVALID` naming the record
 */
export function refuseLongPrompts(
  evaluation: readonly Example[],
  context: { spec: ExperimentSpec; template: ChatTemplate; tokenizer: Tokenizer; contextLength: number },
): void {
  const { spec, template, tokenizer, contextLength } = context;
  const { maxLength } = spec.train;
  const most = contextLength > 0 ? contextLength : Number.POSITIVE_INFINITY;
  for (const example of evaluation) {
    const { tokens } = renderPrompt(promptOf(example), { tokenizer, template, system: spec.system });
    const scored = hasReference(example);
    if (tokens.length < (scored ? Math.min(most, maxLength) : most)) continue;
    const limit =
      tokens.length < most
        ? `maxLength is ${maxLength}, so nothing of its reference would be scored; raise train.maxLength, or leave the record out`
        : `the model's context is ${contextLength}; shorten the record, or leave it out`;
    throw new MlitError(
      'DATA_INVALID',
      `${place(example.source)}: record "${example.id}": its prompt has ${tokens.length} tokens, and ${limit}`,
      { fields: { ...example.source, id: example.id } },
    );
  }
}

/**
 * A drawn record whose prompt leaves no room for its response would end a later model's training, and correcting the data
 * would make anew what was trained before it: better now. Only records long enough to be one are rendered.
 *
 * @throws MlitError `DATA_INVALID` naming the record
 */
export function refuseLongExamples(
  drawn: Iterable<Example>,
  { spec, template, tokenizer }: { spec: ExperimentSpec; template: ChatTemplate; tokenizer: Tokenizer },
): void {
  const { train, system } = spec;
  const options = renderingOf(spec, { tokenizer, template });
  for (const example of drawn) {
    const bytes = example.turns.reduce((sum, { content }) => sum + Buffer.byteLength(content), 0);
    if (bytes + Buffer.byteLength(system ?? '') < train.maxLength / 2) continue;
    renderExample(example, options);
  }
}

export interface EstimateInputs {
  spec: ExperimentSpec;
  graph: JobGraph;
  finished: ReadonlySet<string>;
  speed: Speed;
  lengths: Readonly<Record<string, Lengths>>;
  model: Model;
  adapter: NativeAdapterSpec;
  parameters: number;
  template: ChatTemplate;
  evaluation: readonly Example[];
  judges: readonly PreparedJudge[];
}

/** The plan where nothing is left to do. */
export function emptyPlan(graph: JobGraph, estimates: Readonly<Record<string, number>>): ExperimentPlan {
  const plan: ExperimentPlan = {
    jobs: Object.fromEntries(
      JOB_KINDS.map((kind) => [kind, { total: 0, todo: 0, seconds: 0 }]),
    ) as ExperimentPlan['jobs'],
    seconds: 0,
    trainTokens: 0,
    supervisedTokens: 0,
    promptTokens: 0,
    newTokens: 0,
    diskBytes: 0,
    judgeCalls: 0,
    estimates: { ...estimates },
  };
  for (const { description } of graph.jobs.values()) plan.jobs[description.kind].total += 1;
  return plan;
}

export function estimate(inputs: EstimateInputs): ExperimentPlan {
  const { graph, finished, speed } = inputs;
  const work = evaluationWork(inputs);
  const judging = new JudgeWork(inputs);
  const plan = emptyPlan(graph, {});
  for (const [hash, job] of graph.jobs) {
    const { description } = job;
    const todo = !finished.has(hash);
    let seconds = 0.2;
    let bytes = 0;
    if (description.kind === 'train') {
      const train = trainWork(description, inputs);
      seconds =
        train.flops / speed.trainFlops +
        (1 + train.steps / SAVE_EVERY) * speed.save +
        devSeconds(description, train, speed);
      bytes = inputs.parameters * 4;
      if (todo) plan.trainTokens += train.tokens;
      if (todo) plan.supervisedTokens += train.supervised;
    } else if (description.kind === 'sample') {
      const newTokens = inputs.evaluation.length * answerTokens(description.train, inputs);
      seconds = work.promptTokens * speed.promptToken + newTokens * speed.newToken;
      bytes = inputs.evaluation.length * 300 + newTokens * 12;
      if (todo) plan.promptTokens += work.promptTokens;
      if (todo) plan.newTokens += newTokens;
    } else if (description.kind === 'score') {
      seconds = work.scoredTokens * speed.scoreToken;
      bytes = inputs.evaluation.length * 120;
    } else if (description.kind === 'measure') {
      seconds = 0.1 + inputs.evaluation.length * speed.answer;
      bytes = inputs.evaluation.length * 500;
    } else if (description.kind === 'judge') {
      const questions = judging.questions(description, todo);
      seconds = judging.seconds(description, questions, work.promptTokens / inputs.evaluation.length);
      bytes = questions * 450;
      if (todo && description.judge.by === 'openai') plan.judgeCalls += questions;
    } else {
      bytes = Object.values(description.allocation).reduce((sum, count) => sum + count, 0) * 300;
    }
    plan.estimates[hash] = seconds;
    const entry = plan.jobs[description.kind];
    if (!todo) continue;
    entry.todo += 1;
    entry.seconds += seconds;
    plan.seconds += seconds;
    plan.diskBytes += bytes;
  }
  return plan;
}

/** What an endpoint is taken to need for an answer; how the first jobs went corrects it. */
const CALL_SECONDS = 1;
/** Tokens that a question has around prompt and answers. */
const WORDING_TOKENS = 350;

/** Questions to judges, planted ones counted where they come first. */
class JudgeWork {
  readonly #inputs: EstimateInputs;
  /** Judge and language of planted pairs that are counted. */
  readonly #planted = new Set<string>();

  constructor(inputs: EstimateInputs) {
    this.#inputs = inputs;
  }

  questions({ judge, languages }: JudgeDescription, todo: boolean): number {
    const { evaluation } = this.#inputs;
    const pairs = evaluation.filter(({ lang }) => languages.includes(lang)).length;
    const fresh = languages.filter((lang) => !this.#planted.has(canonicalJson([judge, lang])));
    if (todo) for (const lang of fresh) this.#planted.add(canonicalJson([judge, lang]));
    return 2 * (pairs + (fresh.length === 0 ? 0 : plantPairs(evaluation, fresh).length));
  }

  seconds({ judge, a, b }: JudgeDescription, questions: number, promptTokens: number): number {
    const { speed, graph, judges } = this.#inputs;
    if (judge.by === 'openai') {
      const { concurrency = 1 } = judges.find(({ key }) => key.name === judge.name)?.spec ?? {};
      return (questions * CALL_SECONDS) / concurrency;
    }
    const answers = [a, b].map((hash) => {
      const { train } = graph.jobs.get(hash)!.description as SampleDescription;
      return answerTokens(train, this.#inputs);
    });
    const tokens = WORDING_TOKENS + promptTokens + answers[0]! + answers[1]!;
    return questions * tokens * speed.promptToken;
  }
}

function trainWork(
  description: TrainDescription,
  { graph, lengths, model, adapter }: EstimateInputs,
): {
  steps: number;
  tokens: number;
  supervised: number;
  flops: number;
  exampleTokens: number;
  exampleSupervised: number;
} {
  const { allocation } = graph.jobs.get(description.mix)!.description as MixDescription;
  const { epochs, steps: limit, batchExamples, batchTokens, recompute, dev = 0 } = description.options;
  let examples = 0;
  let tokens = 0;
  let supervised = 0;
  for (const [lang, count] of Object.entries(allocation)) {
    const mean = lengths[lang]!;
    examples += count;
    tokens += count * mean.tokens;
    supervised += count * mean.supervised;
  }
  const [exampleTokens, exampleSupervised] = [tokens / examples, supervised / examples];
  // What is taken out for the dev set is trained on no more.
  const left = Math.max(1, examples - dev) / examples;
  examples *= left;
  tokens *= left;
  supervised *= left;
  const anEpoch = Math.ceil(batchTokens === undefined ? examples / batchExamples : tokens / batchTokens);
  const steps = limit ?? Math.ceil(anEpoch * epochs);
  const passes = steps / anEpoch;
  const flops = stepFlops(
    model.config,
    adapter,
    tokens * passes,
    supervised * passes,
    recompute === 'auto' ? 'none' : recompute,
  );
  return {
    steps,
    tokens: tokens * passes,
    supervised: supervised * passes,
    flops,
    exampleTokens,
    exampleSupervised,
  };
}

/** Seconds of all scores of the dev set, answers among them where adapters are chosen by those. */
function devSeconds(
  { options }: TrainDescription,
  { steps, exampleTokens, exampleSupervised }: ReturnType<typeof trainWork>,
  speed: Speed,
): number {
  const { dev = 0, evalEvery = 0, select } = options;
  const scores = evalEvery === 0 ? 1 : Math.ceil(steps / evalEvery);
  const answer =
    select === 'rouge-l'
      ? (exampleTokens - exampleSupervised) * speed.promptToken + exampleSupervised * speed.newToken
      : 0;
  return scores * dev * (exampleTokens * speed.scoreToken + answer);
}

/** Tokens that an answer is expected to have. */
function answerTokens(train: string | null, { spec, graph, lengths }: EstimateInputs): number {
  const limit = spec.sample.maxNewTokens;
  if (train === null) return limit;
  const { mix } = graph.jobs.get(train)!.description as TrainDescription;
  const { allocation } = graph.jobs.get(mix)!.description as MixDescription;
  let examples = 0;
  let tokens = 0;
  for (const [lang, count] of Object.entries(allocation)) {
    examples += count;
    tokens += count * Math.min(limit, lengths[lang]!.supervised);
  }
  return tokens / examples;
}

function evaluationWork({ spec, model, template, evaluation }: EstimateInputs): {
  promptTokens: number;
  scoredTokens: number;
} {
  const chosen = evenly(evaluation, 2 * RECORDS_A_LANGUAGE);
  const { tokenizer } = model;
  let prompt = 0;
  let whole = 0;
  for (const example of chosen) {
    const { tokens } = renderPrompt(promptOf(example), { tokenizer, template, system: spec.system });
    prompt += tokens.length;
    if (!hasReference(example)) continue;
    // Labels are all scored, behind a prompt that is computed once.
    const answers = labelSetOf(example)?.labels ?? [example.turns.at(-1)!.content];
    const written = answers.reduce(
      (sum, answer) => sum + tokenizer.encode(answer, { addBos: false }).length + 1,
      0,
    );
    whole += Math.min(spec.train.maxLength, tokens.length + written);
  }
  const scale = evaluation.length / chosen.length;
  return { promptTokens: prompt * scale, scoredTokens: whole * scale };
}
