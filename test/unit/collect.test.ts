// From the store of an experiment to results: what is joined, what is missing, and what is said of both.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sharedOpening } from '../../lib/experiment/analysis/common-text';
import { collectModels, collectResults } from '../../lib/experiment/collect';
import { expandProtocol } from '../../lib/experiment/protocols';
import type { ExperimentSpec } from '../../lib/experiment/spec';
import { Store } from '../../lib/experiment/store/store';
import { simulatedSpec } from '../support/simulated-models';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mlit-collect-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const spec: ExperimentSpec = simulatedSpec({
  name: 'small',
  examples: 10,
  arms: { english: 'mono:language=en', even: 'uniform:languages=en+fi' },
});

let next = 0;
const hashOf = (): string => (next++).toString(16).padStart(32, 'f');

async function finish(store: Store, files: Record<string, string>): Promise<string> {
  const hash = hashOf();
  const part = await store.begin(hash);
  for (const [file, text] of Object.entries(files)) await writeFile(join(part, file), text);
  await store.commit({
    hash,
    kind: 'measure',
    description: {},
    startedAt: new Date(0).toISOString(),
    seconds: 1,
    host: 'h',
    threads: 1,
    summary: {},
  });
  return hash;
}

const jsonl = (lines: readonly object[]): string => lines.map((line) => `${JSON.stringify(line)}\n`).join('');
const LANGUAGES = ['en', 'fi'];

function measureFiles(match: number): Record<string, string> {
  const lines = ['a', 'b', 'c'].flatMap((item) =>
    LANGUAGES.map((lang) => ({
      id: `${item}.${lang}`,
      sample: 0,
      item,
      lang,
      answerLang: match === 1 ? lang : 'en',
      answerLangBy: 'script',
      measures: { languageMatch: match, languageUndecided: 0, chrf: 40 + 20 * match },
    })),
  );
  const summary = {
    version: 1,
    answers: 6,
    identification: {},
    rule: { references: {}, shuffled: {} },
    notes: [],
  };
  return { 'measures.jsonl': jsonl(lines), 'summary.json': JSON.stringify(summary) };
}

function scoreFiles(nats: number): Record<string, string> {
  const lines = ['c', 'b', 'a'].flatMap((item) =>
    LANGUAGES.map((lang) => ({ id: `${item}.${lang}`, lang, parallel_id: item, nats, tokens: 4, bytes: 10 })),
  );
  return { 'likelihoods.jsonl': jsonl(lines) };
}

const SYSTEM = 'You are a helpful assistant.';

function answerFiles(system: string): Record<string, string> {
  const prompt = (text: string): string =>
    `<|im_start|>system\n${system}<|im_end|>\n<|im_start|>user\n${text}`;
  return {
    'answers.jsonl': jsonl([
      { id: 'a.en', lang: 'en', prompt: prompt('Say one'), response: 'one' },
      { id: 'a.fi', lang: 'fi', prompt: prompt('Sano yksi'), response: 'yksi' },
    ]),
  };
}

/** Arms with jobs that are there, but for those in `unfinished`; returns the hashes of `measure` by arm. */
async function makeExperiment(
  unfinished: readonly string[] = [],
  system = '',
): Promise<Record<string, string>> {
  const arms = expandProtocol(spec);
  const measured: Record<string, string> = {};
  await using store = await Store.open(folder, { write: true });
  const models: { arm: string; seed: number; jobs: Record<string, string> }[] = [];
  for (const [place, { id }] of arms.entries()) {
    const measure = unfinished.includes(id) ? hashOf() : await finish(store, measureFiles(place % 2));
    measured[id] = measure;
    const score = await finish(store, scoreFiles(10 + place));
    const sample = await finish(store, answerFiles(system));
    models.push({ arm: id, seed: 0, jobs: { sample, measure, score } });
  }
  const graph = {
    version: 1,
    experiment: 'small',
    protocol: spec.protocol,
    spec,
    arms,
    seeds: [0],
    models,
    estimates: {},
    provenance: {
      model: '../private/models/m.gguf',
      modelSha256: 'abc',
      data: [
        { file: '../private/train.jsonl', sha256: 'd' },
        { file: 'hf:owner/name', sha256: 'e' },
      ],
      machine: 'two cores',
    },
  };
  await store.experiments.write('small', { 'graph.json': JSON.stringify(graph) });
  return measured;
}

describe('collectModels', () => {
  it('joins answers and likelihoods by record', async () => {
    await makeExperiment();
    const { models, warnings, summaries, provenance } = await collectModels(folder, 'small');
    expect(models.map(({ arm }) => arm.id)).toEqual(['base', 'english', 'even', 'mono-fi']);
    expect(warnings).toEqual([]);
    expect(summaries).toHaveLength(4);
    const [base, english] = models;
    expect(base?.items).toHaveLength(6);
    expect(english?.items.find(({ item, lang }) => item === 'b' && lang === 'fi')).toEqual({
      item: 'b',
      lang: 'fi',
      answerLang: 'fi',
      measures: { languageMatch: 1, languageUndecided: 0, chrf: 60, nats: 11, targetTokens: 4, bytes: 10 },
    });
    expect(provenance).toMatchObject({ modelSha256: 'abc', machine: 'two cores', seeds: [0] });
    // A report can be shown to others: files have names in it, not places.
    expect(provenance).toMatchObject({
      model: 'm.gguf',
      data: [
        { file: 'train.jsonl', sha256: 'd' },
        { file: 'hf:owner/name', sha256: 'e' },
      ],
      eval: [{ file: 'eval.jsonl', sha256: '' }],
    });
    expect(Object.keys(provenance.jobs)).toEqual(['base', 'english', 'even', 'mono-fi']);
  });

  it('leaves out models that are not finished, and counts them', async () => {
    await makeExperiment(['even', 'mono-fi']);
    const { models, warnings } = await collectModels(folder, 'small');
    expect(models.map(({ arm }) => arm.id)).toEqual(['base', 'english']);
    expect(warnings).toEqual([expect.stringMatching(/^2 of 4 models are not finished/)]);
  });

  it('quotes what a template puts before every prompt', async () => {
    await makeExperiment([], SYSTEM);
    const { warnings } = await collectModels(folder, 'small');
    expect(warnings).toEqual([expect.stringContaining(`"system ${SYSTEM} user`)]);
    expect(sharedOpening(['<start_of_turn>user\nSay', '<start_of_turn>user\nSano'])).toBeUndefined();
    expect(sharedOpening(['the same words in all of one language'])).toBeUndefined();
  });

  it('names the line of a file that is damaged', async () => {
    await using store = await Store.open(folder, { write: true });
    const good = measureFiles(1);
    const measure = await finish(store, {
      ...good,
      'measures.jsonl': `${good['measures.jsonl']}{"id": 1}\n`,
    });
    const graph = {
      version: 1,
      spec,
      arms: expandProtocol(spec),
      seeds: [0],
      models: [{ arm: 'base', seed: 0, jobs: { measure } }],
    };
    await store.experiments.write('small', { 'graph.json': JSON.stringify(graph) });
    await expect(collectModels(folder, 'small')).rejects.toMatchObject({
      code: 'STORE_INVALID',
      message: expect.stringMatching(/measures\.jsonl:7: id: .*Remove the job's folder/),
    });
  });

  it('refuses a graph whose models have no arm', async () => {
    await using store = await Store.open(folder, { write: true });
    const graph = { version: 1, spec, arms: [], seeds: [0], models: [{ arm: 'gone', seed: 0, jobs: {} }] };
    await store.experiments.write('small', { 'graph.json': JSON.stringify(graph) });
    await expect(collectModels(folder, 'small')).rejects.toThrow(
      /graph\.json: models: there is no arm 'gone'/,
    );
  });
});

describe('collectResults', () => {
  it('ends in tables and figures, with what is missing first among the warnings', async () => {
    await makeExperiment(['mono-fi']);
    const results = await collectResults(folder, 'small');
    expect(results.experiment).toBe('small');
    expect(results.tables.map(({ id }) => id)).toContain('likelihood');
    expect(results.figures.map(({ id }) => id)).toContain('arms-language-match');
    expect(results.warnings[0]).toMatch(/1 of 4 models are not finished/);
    expect(JSON.parse(JSON.stringify(results))).toEqual(results);
  });

  it('says which experiments there are', async () => {
    await makeExperiment();
    await expect(collectResults(folder, 'smal')).rejects.toMatchObject({
      code: 'STORE_INVALID',
      message: expect.stringContaining("has no experiment 'smal'; it has small"),
    });
    await expect(collectResults(join(folder, 'none'), 'small')).rejects.toMatchObject({
      code: 'STORE_INVALID',
    });
  });

  it('needs one finished model', async () => {
    await makeExperiment(['base', 'english', 'even', 'mono-fi']);
    await expect(collectResults(folder, 'small')).rejects.toMatchObject({
      code: 'EXPERIMENT_INVALID',
      message: expect.stringMatching(/no model of it is finished/),
    });
  });
});
