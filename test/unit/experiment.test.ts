// Experiments as graphs of jobs named by what they are made of: nothing twice, everything resumable, plans that come first.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { dataReport } from '../../lib/data/data-report';
import { Experiment } from '../../lib/experiment/experiment';
import { canonicalJson, jobHash } from '../../lib/experiment/job';
import { readExperiment, resolveExperiment } from '../../lib/experiment/spec';
import { experimentStatus } from '../../lib/experiment/status';
import type { ExperimentEvent } from '../../lib/experiment/walk';
import { loadTokenizer } from '../../lib/model/source';
import { isMlitError } from '../../lib/native/errors';
import { smallExperiment, writeItems } from '../support/experiment';
import { scratch } from '../support/fixtures';

const root = scratch();
let folders = 0;
const fresh = (): string => {
  folders += 1;
  return join(root, String(folders));
};

async function runAll(input: Parameters<typeof Experiment.open>[0]): Promise<ExperimentEvent[]> {
  await using experiment = await Experiment.open(input);
  const events: ExperimentEvent[] = [];
  await experiment.run({ onEvent: (event) => events.push(event) });
  return events;
}
const kindsDone = (events: readonly ExperimentEvent[]): string[] =>
  events.flatMap((event) => (event.type === 'job' ? [event.job.description.kind] : []));

describe('a job', () => {
  it('is named by its description, whatever the order of its keys', () => {
    const description = {
      kind: 'mix' as const,
      data: ['a'],
      field: {},
      allocation: { en: 1, fi: 2 },
      policy: 'disjoint' as const,
      seed: 0,
    };
    const turned = { ...description, allocation: { fi: 2, en: 1 } };
    expect(jobHash(turned)).toBe(jobHash(description));
    expect(jobHash({ ...description, seed: 1 })).not.toBe(jobHash(description));
    expect(canonicalJson({ b: [{ d: 1, c: 2 }], a: null })).toBe('{"a":null,"b":[{"c":2,"d":1}]}');
  });
});

describe('an experiment', () => {
  it('looks at its data as the template renders it: each response ends in a token that is learnt', async () => {
    const input = smallExperiment(fresh());
    await using experiment = await Experiment.open(input);
    const { en } = (await experiment.dataReport()).train.languages;
    const { data, source } = experiment.prepared;
    const bare = await dataReport({ train: data, tokenizer: await loadTokenizer(source) });
    expect(en!.tokens!.supervised).toBe(bare.train.languages.en!.tokens!.supervised + 60);
  });

  it('does every job once, and the next run finds nothing to do', async () => {
    const input = smallExperiment(fresh());
    const first = kindsDone(await runAll(input));
    // Three mixtures and models; the base is a fourth that answers.
    expect(first).toEqual([
      ...Array(3).fill('mix'),
      ...Array(3).fill('train'),
      ...Array(4).fill('sample'),
      ...Array(4).fill('score'),
      ...Array(4).fill('measure'),
    ]);
    expect(kindsDone(await runAll(input))).toEqual([]);
    const [status] = await experimentStatus(input.store!);
    expect(status).toMatchObject({ name: 'small', total: 18, finished: 18, secondsLeft: null, models: 4 });
  });

  it('shares what another experiment has done: E1’s English model is the pinch of none', async () => {
    const folder = fresh();
    const input = smallExperiment(folder, { ticks: [0], base: false });
    await runAll(input);
    const { ticks: _, ...rest } = input;
    const monolingual = { ...rest, name: 'mono', protocol: 'monolingual' as const, base: true };
    const done = kindsDone(await runAll(monolingual));
    expect(done.filter((kind) => kind === 'train')).toHaveLength(3);
    const all = await experimentStatus(input.store!);
    expect(all.map(({ name, finished, total }) => [name, finished === total])).toEqual([
      ['mono', true],
      ['small', true],
    ]);
  });

  it('does again what depends on a changed file or option, and nothing else', async () => {
    const folder = fresh();
    const input = smallExperiment(folder);
    await runAll(input);
    writeItems(join(folder, 'test.jsonl'), 100, 109);
    expect(new Set(kindsDone(await runAll(input)))).toEqual(new Set(['sample', 'score', 'measure']));
    const shorter = { ...input, sample: { maxNewTokens: 4 } };
    expect(new Set(kindsDone(await runAll(shorter)))).toEqual(new Set(['sample', 'measure']));
  });

  it('gives the same adapters and answers when done twice', async () => {
    const [a, b] = [fresh(), fresh()];
    await runAll(smallExperiment(a));
    await runAll(smallExperiment(b));
    const jobs = readdirSync(join(a, 'runs', 'jobs')).sort();
    expect(readdirSync(join(b, 'runs', 'jobs')).sort()).toEqual(jobs);
    for (const job of jobs) {
      for (const file of [
        'adapter/adapter_model.safetensors',
        'answers.jsonl',
        'likelihoods.jsonl',
        'measures.jsonl',
      ]) {
        const path = join(a, 'runs', 'jobs', job, file);
        if (!existsSync(path)) continue;
        expect(
          readFileSync(join(b, 'runs', 'jobs', job, file)).equals(readFileSync(path)),
          `${job} ${file}`,
        ).toBe(true);
      }
    }
  });

  it('says of each mixture what the model was shown: tokens by language and an item of each', async () => {
    const input = smallExperiment(fresh(), { ticks: ['count:6'], against: 'none' });
    await using experiment = await Experiment.open(input);
    await experiment.run();
    const { jobs } = experiment.prepared.graph.models.find(({ arm }) => arm === 'pinch-count6')!;
    const file = join(input.store!, 'jobs', jobs.train!, 'manifest.json');
    const manifest = JSON.parse(readFileSync(file, 'utf8'));
    expect(manifest).toMatchObject({ n: 40, languages: { en: { examples: 34 }, fi: { examples: 2 } } });
    expect(manifest.languages.ru.supervisedTokens).toBeGreaterThan(0);
    expect(manifest.languages.ru.rendered).toMatch(/<start_of_turn>user\nНазови число/);
  });

  it('stops at a signal with what is finished kept, and goes on', async () => {
    const input = smallExperiment(fresh());
    const controller = new AbortController();
    const reason = new Error('enough');
    {
      await using experiment = await Experiment.open(input, {}, { signal: controller.signal });
      let jobs = 0;
      const stopped = experiment.run({
        onEvent: (event) => {
          if (event.type === 'job' && ++jobs === 5) controller.abort(reason);
        },
      });
      await expect(stopped).rejects.toBe(reason);
    }
    const [status] = await experimentStatus(input.store!);
    // What is trained beside the fifth may have ended with it.
    expect([5, 6]).toContain(status!.finished);
    expect(status!.secondsLeft).toBeGreaterThan(0);
    expect(kindsDone(await runAll(input))).toHaveLength(18 - status!.finished);
  });

  it('plans before anything is written, and keeps its estimates', async () => {
    const input = smallExperiment(fresh());
    await using experiment = await Experiment.open(input);
    const plan = await experiment.plan();
    expect(existsSync(input.store!)).toBe(false);
    expect(plan.jobs.train).toMatchObject({ total: 3, todo: 3 });
    expect(Object.keys(plan.estimates)).toHaveLength(18);
    expect(Object.values(plan.estimates).every((seconds) => seconds > 0)).toBe(true);
    const total = Object.values(plan.jobs).reduce((sum, { seconds }) => sum + seconds, 0);
    expect(plan.seconds).toBeCloseTo(total, 6);
    await experiment.run();
    const graph = JSON.parse(readFileSync(join(input.store!, 'experiments', 'small', 'graph.json'), 'utf8'));
    expect(graph.estimates).toEqual(plan.estimates);
    expect((await experiment.plan()).seconds).toBe(0);
  });

  it('pairs arms by seed: each seed has mixtures of its own, the base is one', async () => {
    await using experiment = await Experiment.open(smallExperiment(fresh(), { seeds: 2 }));
    const { models } = experiment.prepared.graph;
    expect(models.map(({ arm, seed }) => `${arm} ${seed}`)).toEqual([
      'base 0',
      'pinch-0 0',
      'pinch-count6 0',
      'pinch-50 0',
      'pinch-0 1',
      'pinch-count6 1',
      'pinch-50 1',
    ]);
    expect(new Set(models.map(({ jobs }) => jobs.mix)).size).toBe(7);
  });

  it('evaluates without references where there are none', async () => {
    const folder = fresh();
    const input = smallExperiment(folder, { ticks: [0] });
    const bare = readFileSync(join(folder, 'test.jsonl'), 'utf8').replace(/,"response":"[^"]*"/g, '');
    writeFileSync(join(folder, 'test.jsonl'), bare);
    expect(new Set(kindsDone(await runAll(input)))).toEqual(new Set(['mix', 'train', 'sample', 'measure']));
  });
});

describe('what is refused', () => {
  const refusal = async (input: Parameters<typeof Experiment.open>[0]): Promise<string> => {
    const error = await Experiment.open(input).then(
      () => undefined,
      (cause: unknown) => cause,
    );
    expect(isMlitError(error)).toBe(true);
    return (error as Error).message;
  };

  it('an unknown key, with the one that was meant', () => {
    const input = { ...smallExperiment(fresh()), evalItem: 3, train: { learningrate: 1 } };
    expect(() => resolveExperiment(input, 'x.yaml')).toThrow(
      /x\.yaml: train: there is no key 'learningrate'; did you mean 'learningRate'\?; there is no key 'evalItem'; did you mean 'evalItems'\?|x\.yaml: there is no key 'evalItem'; did you mean 'evalItems'\?; train: there is no key 'learningrate'; did you mean 'learningRate'\?/,
    );
  });

  it('a key by the name that other trainers have for it', () => {
    const input = { ...smallExperiment(fresh()), train: { lr: 1, lora_r: 8 } };
    expect(() => resolveExperiment(input, 'x.yaml')).toThrow(
      /'lr'; did you mean 'learningRate'\?.*'lora_r'; did you mean 'rank'\?/,
    );
  });

  it('a wrong value, with the value', () => {
    const input = { ...smallExperiment(fresh()), protocol: 'pinches' };
    expect(() => resolveExperiment(input, 'x.yaml')).toThrow(
      /protocol: expected one of .*, got "pinches"; did you mean 'pinch'\?/,
    );
  });

  it('an evaluation that shares items with training', async () => {
    const folder = fresh();
    const input = smallExperiment(folder);
    writeItems(join(folder, 'test.jsonl'), 59, 62);
    expect(await refusal(input)).toMatch(/evaluation: 4 of 12 records are trained on/);
  });

  it('a language with too few items, with how many are missing, before a model is loaded', async () => {
    const input = smallExperiment(fresh(), { examples: 61 });
    expect(await refusal(input)).toMatch(/1 missing/);
  });

  it('a language that is not evaluated', async () => {
    const input = smallExperiment(fresh(), { evalLanguages: ['en', 'de'] });
    expect(await refusal(input)).toMatch(/no record is in de/);
  });

  it('a file that is not YAML, and one that is not there', async () => {
    const file = join(root, 'broken.yaml');
    writeFileSync(file, 'a: [1');
    await expect(readExperiment(file)).rejects.toThrow(/broken\.yaml: not YAML/);
    await expect(readExperiment(join(root, 'none.yaml'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });

  it('two runs on one store', async () => {
    const input = smallExperiment(fresh());
    await using experiment = await Experiment.open(input);
    await using other = await Experiment.open({ ...input, name: 'other' });
    // Whichever comes first has it; the other is told.
    const ended = await Promise.allSettled([experiment.run(), other.run()]);
    expect(ended.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const refused = ended.find((each) => each.status === 'rejected');
    expect(refused?.reason).toMatchObject({ code: 'STORE_LOCKED' });
  });
});
