// Every other file that is read in TypeScript: records, recipes, experiments, what a run and a store keep of themselves.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { labelItems } from '../../lib/eval/label-set';
import { readExperiment } from '../../lib/experiment/spec';
import { Store } from '../../lib/experiment/store/store';
import {
  ChatTemplate,
  formatMixtureSpec,
  parseInstructionChecks,
  parseMixtureSpec,
  readExamples,
  readMixtureSpec,
  Tokenizer,
} from '../../lib/index';
import { latestCheckpoint } from '../../lib/train/checkpoint';
import { RunDirectory, readRunRecord } from '../../lib/train/run-directory';
import { fixture, root } from '../support/fixtures';
import { answers, damaged, deep, hostileFolder, mutated, property, textOf } from './hostile';

const write = hostileFolder();
const jsonl = (...records: unknown[]): string =>
  records.map((record) => `${JSON.stringify(record)}\n`).join('');
const RECORDS = [
  {
    id: 'a',
    lang: 'fi',
    parallel_id: 7,
    instruction: 'Say',
    input: 'x',
    response: 'kissa',
    labels: ['kissa', 'koira'],
    source: 's',
  },
  {
    id: 2,
    messages: [
      { role: 'system', content: 's' },
      { role: 'user', content: [{ type: 'text', text: 'q' }] },
      { role: 'assistant', content: 'a' },
    ],
  },
  {
    conversations: [
      { from: 'human', value: 'q' },
      { from: 'gpt', value: 'a' },
    ],
    checks: [{ type: 'words', max: 5 }],
    adapter: 0,
  },
  { text: 'plain' },
];

describe('records', () => {
  for (const need of ['response', 'prompt', 'reference', 'text'] as const) {
    for (const [i, record] of RECORDS.entries()) {
      property(`for ${need}: record ${i} with places replaced`, mutated(record), async (hostile) => {
        const file = write('data.jsonl', `${textOf(hostile)}\n`);
        const examples = await answers(() => readExamples([file], { need }), 'data.jsonl');
        labelItems(examples ?? []);
        for (const { checks } of examples ?? [])
          if (checks != null)
            await answers(() => parseInstructionChecks(checks, 'data.jsonl:1'), 'data.jsonl');
      });
    }
  }
  property('damaged bytes, as lines', damaged(jsonl(...RECORDS.slice(0, 3))), async (bytes) => {
    const file = write('data.jsonl', bytes);
    await answers(() => readExamples([file]), 'data.jsonl');
  });
  property(
    'damaged bytes, as an array',
    damaged(JSON.stringify(RECORDS.slice(0, 3), null, 1)),
    async (bytes) => {
      const file = write('data.json', bytes);
      await answers(() => readExamples([file]), 'data.json');
    },
  );
  it('nested without end are refused, not followed', async () => {
    for (const text of [
      deep('[', ']'),
      `{"instruction":${deep('[', ']')}}`,
      `{"labels":${deep('{"a":', '', 9000)}1${'}'.repeat(9001)}`,
    ]) {
      const file = write('deep.jsonl', `${text}\n`);
      await expect(readExamples([file])).rejects.toMatchObject({ name: 'MlitError', code: 'DATA_INVALID' });
    }
  });
});

describe('recipes', () => {
  const lines = [
    'pinch:count=40,languages=ar+cs,hub=en,n=480,policy=disjoint,seed=1',
    'explicit:en=440,fi=40,hub=en',
    'prefix:order=en+fi,k=1',
    'temperature:temperature=2,languages=en+fi',
    'weights:en=1,fi=0.5',
  ];
  for (const line of lines) {
    property(`of ${line.split(':')[0]}, damaged lines`, damaged(line), async (bytes) => {
      const spec = await answers(() => parseMixtureSpec(bytes.toString('utf8')));
      if (spec)
        expect(parseMixtureSpec(formatMixtureSpec(spec))).toEqual(parseMixtureSpec(formatMixtureSpec(spec)));
    });
    property(
      `of ${line.split(':')[0]}, mappings with places replaced`,
      mutated(parseMixtureSpec(line)),
      async (value) => {
        await answers(() => parseMixtureSpec(value));
        let text: string;
        try {
          text = stringify(value) ?? '';
        } catch {
          return; // the writer of YAML is not what is asked here
        }
        const file = write('mix.yaml', text);
        await answers(() => readMixtureSpec(file), 'mix.yaml');
      },
    );
  }
  it('of anything are refused', () =>
    fc.assert(
      fc.asyncProperty(fc.anything(), async (value) => void (await answers(() => parseMixtureSpec(value)))),
    ));
});

describe('experiments', () => {
  const text = readFileSync(join(root, 'examples', 'experiments', 'e2-pinch.yaml'), 'utf8');
  property('of damaged bytes', damaged(text), async (bytes) => {
    const file = write('study.yaml', bytes);
    await answers(() => readExperiment(file), 'study.yaml');
  });
  const spec = {
    protocol: 'pinch',
    model: 'm',
    data: 'a.jsonl',
    eval: ['b.jsonl'],
    ticks: [1, 'count:4'],
    train: { rank: 8, learningRate: 1e-4 },
    sample: { stop: ['x'] },
    field: { a: 'b' },
  };
  property('with places replaced', mutated(spec), async (value) => {
    const file = write('study.yaml', textOf(value));
    await answers(() => readExperiment(file), 'study.yaml');
  });
  it('whose YAML is a bomb of aliases are refused', async () => {
    const bomb = ['a: &a [x,x,x,x,x,x,x,x,x]'];
    for (let i = 1; i < 12; i += 1)
      bomb.push(
        `${String.fromCharCode(97 + i)}: &${String.fromCharCode(97 + i)} [${Array(9)
          .fill(`*${String.fromCharCode(96 + i)}`)
          .join(',')}]`,
      );
    const file = write('bomb.yaml', bomb.join('\n'));
    await expect(readExperiment(file)).rejects.toMatchObject({ code: 'EXPERIMENT_INVALID' });
    await expect(readMixtureSpec(file)).rejects.toMatchObject({ code: 'MIXTURE_INVALID' });
    const nested = write('deep.yaml', deep('[', ']', 3000));
    await expect(readExperiment(nested)).rejects.toMatchObject({ code: 'EXPERIMENT_INVALID' });
  });
});

describe('what a run keeps', () => {
  const record = {
    options: { model: 'm', data: ['d.jsonl'], rank: 4 },
    chosen: {
      version: '0.1.0',
      threads: 2,
      isa: 'avx2',
      microTokens: 64,
      recompute: 'none',
      totalSteps: 4,
      modelIdentity: 'x',
      dataHash: 'x',
      startedAt: '2026-01-01T00:00:00.000Z',
    },
  };
  property('run.yaml with places replaced', mutated(record), async (value) => {
    const file = write('run.yaml', textOf(value));
    const read = await answers(() => readRunRecord(join(file, '..')), 'run.yaml');
    if (read) expect(read.chosen.threads).toBeGreaterThan(0);
  });
  property('run.yaml of damaged bytes', damaged(stringify(record)), async (bytes) => {
    const file = write('run.yaml', bytes);
    await answers(() => readRunRecord(join(file, '..')), 'run.yaml');
  });

  const line = { type: 'step', step: 3, loss: 1.5 };
  property(
    'events.jsonl of damaged bytes',
    damaged(jsonl(line, { ...line, step: 4 }, { type: 'end', step: 4 })),
    async (bytes) => {
      const events = write('events.jsonl', bytes);
      const folder = join(events, '..');
      write('run.yaml', '');
      const directory = await RunDirectory.open(folder, true);
      await directory.openEvents(3);
      await directory.close();
      for (const kept of readFileSync(events, 'utf8').split('\n').filter(Boolean))
        expect(JSON.parse(kept).step).toBeLessThanOrEqual(3);
    },
  );

  const tensors = 'tensors';
  const state = '{"step":3,"best":{"step":2,"loss":1}}';
  const sha = (text: string): string => createHash('sha256').update(text).digest('hex');
  const manifest = { files: { 'state.safetensors': sha(tensors), 'trainer.json': sha(state) } };
  const folder = join(write('x', ''), '..', 'checkpoints');
  mkdirSync(join(folder, 'step-00000003'), { recursive: true });
  const put = (name: string, text: string): string => write(join('checkpoints', 'step-00000003', name), text);
  property('a checkpoint whose manifest has places replaced', mutated(manifest), async (value) => {
    put('state.safetensors', tensors);
    put('trainer.json', state);
    put('manifest.json', textOf(value));
    const found = await answers(() => latestCheckpoint(folder), 'step-00000003');
    if (found) expect(found.state.step).toBe(3);
  });
  property(
    'a checkpoint whose state has places replaced, under a manifest that vouches for it',
    mutated(JSON.parse(state)),
    async (value) => {
      const text = textOf(value);
      put('state.safetensors', tensors);
      put('trainer.json', text);
      put('manifest.json', JSON.stringify({ files: { ...manifest.files, 'trainer.json': sha(text) } }));
      const found = await answers(() => latestCheckpoint(folder), 'trainer.json');
      if (found) expect(found.state.step).toBe(3);
    },
  );
});

describe('what a store keeps', () => {
  const job = {
    version: 1,
    hash: 'ab'.repeat(16),
    kind: 'train',
    description: {},
    outputs: { 'a/b.json': { bytes: 3, sha256: 'x' } },
    startedAt: 'x',
    seconds: 1,
    host: 'h',
    threads: 1,
    summary: {},
  };
  write('store.json', '{"version":1}');
  property('jobs.jsonl with places replaced', mutated(job), async (value) => {
    const file = write('jobs.jsonl', `${textOf(value)}\n`);
    write('store.json', '{"version":1}');
    const store = await answers(() => Store.open(join(file, '..'), { write: false }), 'jobs.jsonl');
    await store?.close();
  });
  property('jobs.jsonl of damaged bytes', damaged(jsonl(job, job)), async (bytes) => {
    const file = write('jobs.jsonl', bytes);
    write('store.json', '{"version":1}');
    const store = await answers(() => Store.open(join(file, '..'), { write: false }), 'jobs.jsonl');
    await store?.close();
  });
  property(
    'store.json of damaged bytes',
    damaged('{"version":1,"packageVersion":"0.1.0"}'),
    async (bytes) => {
      write('jobs.jsonl', '');
      const file = write('store.json', bytes);
      const store = await answers(() => Store.open(join(file, '..'), { write: false }), 'store.json');
      await store?.close();
    },
  );
});

describe('templates', () => {
  const tokenizer = Tokenizer.fromJson(
    JSON.parse(readFileSync(fixture('smol-tiny', 'model', 'tokenizer.json'), 'utf8')),
    JSON.parse(readFileSync(fixture('smol-tiny', 'model', 'tokenizer_config.json'), 'utf8')) && {
      config: JSON.parse(readFileSync(fixture('smol-tiny', 'model', 'tokenizer_config.json'), 'utf8')),
    },
  );
  const own = tokenizer.chatTemplate as string;
  property('of damaged bytes', damaged(own), async (bytes) => {
    const file = write('chat.jinja', bytes);
    const template = await answers(() => ChatTemplate.create({ template: file, tokenizer }), 'chat.jinja');
    if (template)
      await answers(
        () => template.render([{ role: 'user', content: '{{ 1 }}' }], { addGenerationPrompt: true }),
        'chat.jinja',
      );
  });
  it('that nest, recurse or ask for a huge range are refused', async () => {
    for (const source of [
      '{{ range(100000000) }}',
      `{{ ${'('.repeat(20_000)}1${')'.repeat(20_000)} }}`,
      '{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}',
      `${'{% if 1 %}'.repeat(9_000)}`,
    ]) {
      const file = write('hostile.jinja', source);
      await expect(ChatTemplate.create({ template: file, tokenizer })).rejects.toMatchObject({
        name: 'MlitError',
        code: 'TEMPLATE_INVALID',
      });
    }
  });
});
