// What may happen to a run between its first and last job: many models, attempts cut off, files that change meanwhile, records
// too long for the model; and that no number in the store is another than it says.
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Experiment } from '../../lib/experiment/experiment';
import { type ExperimentInput, readExperiment, resolveExperiment } from '../../lib/experiment/spec';
import { Store } from '../../lib/experiment/store/store';
import type { ExperimentEvent } from '../../lib/experiment/walk';
import { smallExperiment, writeItems } from '../support/experiment';
import { scratch } from '../support/fixtures';

const root = scratch();
let folders = 0;
const fresh = (): string => {
  folders += 1;
  return join(root, String(folders));
};
type Line = Record<string, unknown> & { id: string };
const linesOf = (file: string): Line[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
function change(file: string, edit: (record: Line) => Line): void {
  const lines = linesOf(file).map((record) => JSON.stringify(edit(record)));
  writeFileSync(file, `${lines.join('\n')}\n`);
}
async function run(
  input: ExperimentInput,
  {
    onEvent,
    ...options
  }: {
    signal?: AbortSignal;
    onNote?: (note: string) => void;
    onEvent?: (event: ExperimentEvent) => void;
  } = {},
): Promise<Experiment> {
  await using experiment = await Experiment.open(input, {}, options);
  await experiment.run(onEvent && { onEvent });
  return experiment;
}
const one = (folder: string): ExperimentInput =>
  smallExperiment(folder, { ticks: [0], base: false, against: 'none' });
const outputOf = ({ prepared, spec }: Experiment, kind: 'train' | 'score', file: string): string =>
  join(spec.store, 'jobs', prepared.graph.models[0]!.jobs[kind]!, file);

describe('references of closed questions', () => {
  it('have the likelihoods that they have without labels, in sets that are closed throughout or in part', async () => {
    const scored = async (labelled: (at: number) => boolean): Promise<Line[]> => {
      const input = one(fresh());
      let at = 0;
      change(input.eval as string, (record) => {
        at += 1;
        return labelled(at) ? { ...record, labels: [record.response, 'no'] } : record;
      });
      const experiment = await run(input);
      return linesOf(outputOf(experiment, 'score', 'likelihoods.jsonl'));
    };
    const [none, some, all] = [
      await scored(() => false),
      await scored((at) => at % 3 === 0),
      await scored(() => true),
    ];
    expect(none.some(({ measures }) => measures !== undefined)).toBe(false);
    expect(some.filter(({ measures }) => measures !== undefined)).toHaveLength(Math.floor(none.length / 3));
    for (const [at, { id, nats, tokens, bytes }] of none.entries()) {
      for (const other of [some[at]!, all[at]!]) {
        expect(other).toMatchObject({ id, tokens, bytes });
        expect(other.nats).toBeCloseTo(nats as number, 3);
      }
      expect(all[at]!.measures).toMatchObject({ labelCorrect: expect.any(Number) });
    }
  });
});

describe('many models', () => {
  it('hold sixteen adapters in memory at most, and share the signal without a warning of Node', async () => {
    const warnings: string[] = [];
    const warned = ({ name }: Error): void => void warnings.push(name);
    process.on('warning', warned);
    onTestFinished(() => void process.off('warning', warned));
    const arms = Object.fromEntries(
      Array.from({ length: 18 }, (_, i) => [`arm${i}`, `explicit:en=${i + 1}`]),
    );
    const { ticks: _, ...rest } = smallExperiment(fresh(), { base: false, against: 'none' });
    const together = new Set<string>();
    let mostUnderWay = 0;
    await run(
      {
        ...rest,
        protocol: 'custom',
        arms,
        evalLanguages: ['en'],
        evalItems: 2,
        train: { ...rest.train, steps: 2 },
      },
      {
        signal: new AbortController().signal,
        onEvent: (event) => {
          const of = event.type === 'progress' ? / answers of (\d+) models/.exec(event.detail) : null;
          if (of) together.add(of[1]!);
          if (event.type === 'progress') mostUnderWay = Math.max(mostUnderWay, event.underWay);
        },
      },
    );
    expect([...together]).toEqual(['16', '2']);
    // After the first of two steps many are halfway.
    expect(mostUnderWay).toBeGreaterThan(1);
    expect(warnings).toEqual([]);
  });
});

describe('an attempt that was cut off', () => {
  /** Stops in the middle of training and gives the folder that the attempt wrote into. */
  async function cutOff(input: ExperimentInput): Promise<string> {
    const controller = new AbortController();
    const stopped = run(input, {
      signal: controller.signal,
      onEvent: (event) => {
        if (event.type === 'progress' && event.detail.startsWith('step 4/')) controller.abort();
      },
    });
    await expect(stopped).rejects.toThrow();
    const jobs = join(input.store!, 'jobs');
    const part = readdirSync(jobs).find((name) => name.endsWith('.part'))!;
    return join(jobs, part);
  }
  const summaryOf = async (experiment: Experiment): Promise<{ tokens: unknown; seconds: number }> => {
    await using store = await Store.open(experiment.spec.store, { write: false });
    const job = store.finished(experiment.prepared.graph.models[0]!.jobs.train!)!;
    return { ...job.summary, tokens: job.summary.tokens, seconds: job.seconds };
  };

  it('is gone on with, and its steps count among the job’s tokens and seconds', async () => {
    const whole = await run(one(fresh()));
    const input = one(fresh());
    await cutOff(input);
    const resumed = await run(input);
    const summary = await summaryOf(resumed);
    expect(summary).toMatchObject({ steps: 10, tokens: (await summaryOf(whole)).tokens });
    const steps = linesOf(outputOf(resumed, 'train', 'run/events.jsonl')).filter(
      ({ type }) => type === 'step',
    );
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(summary.seconds).toBeGreaterThan(steps.reduce((sum, { seconds }) => sum + (seconds as number), 0));
    expect(readFileSync(outputOf(resumed, 'train', 'adapter/adapter_model.safetensors'))).toEqual(
      readFileSync(outputOf(whole, 'train', 'adapter/adapter_model.safetensors')),
    );
  });

  it('is gone on with in a store that was moved', async () => {
    const from = fresh();
    const input = one(from);
    await cutOff(input);
    const to = fresh();
    renameSync(from, to);
    const steps: string[] = [];
    await run(
      {
        ...input,
        data: join(to, 'train.jsonl'),
        eval: join(to, 'test.jsonl'),
        store: join(to, 'runs'),
      },
      {
        onEvent: (event) => {
          if (event.type === 'progress' && event.detail.startsWith('step')) steps.push(event.detail);
        },
      },
    );
    expect(steps[0]).toMatch(/^step [5-9]\//);
  });

  it('is begun again where a crash has damaged its checkpoint', async () => {
    const input = one(fresh());
    const part = await cutOff(input);
    const checkpoints = join(part, 'run', 'checkpoints');
    const [last] = readdirSync(checkpoints);
    appendFileSync(join(checkpoints, last!, 'state.safetensors'), 'x');
    const resumed = await run(input);
    expect(existsSync(outputOf(resumed, 'train', 'adapter/adapter_model.safetensors'))).toBe(true);
  });
});

describe('a job’s name', () => {
  it('does not depend on the seed where the seed chooses nothing', async () => {
    const input = smallExperiment(fresh());
    const baseOf = async (overrides: Partial<ExperimentInput>): Promise<unknown> => {
      await using experiment = await Experiment.open({ ...input, ...overrides });
      return experiment.prepared.graph.models.find(({ arm }) => arm === 'base')!.jobs;
    };
    expect(await baseOf({ seed: 5 })).toEqual(await baseOf({ seed: 0 }));
    expect(await baseOf({ seed: 5, evalItems: 3 })).not.toEqual(await baseOf({ seed: 0, evalItems: 3 }));
  });

  it('holds a file’s name only where its records have no ids and are called by it', async () => {
    const folder = fresh();
    const input = one(folder);
    const from = join(folder, 'test.jsonl');
    const to = join(folder, 'other.jsonl');
    const sample = async (file: string): Promise<unknown> => {
      await using experiment = await Experiment.open({ ...input, eval: file });
      return experiment.prepared.graph.models[0]!.jobs.sample;
    };
    const both = async (): Promise<unknown[]> => {
      copyFileSync(from, to);
      return [await sample(from), await sample(to)];
    };
    const [a, b] = await both();
    expect(a).toBe(b);
    change(from, ({ id: _, parallel_id: __, ...record }) => record as Line);
    const [c, d] = await both();
    expect(c).not.toBe(d);
    await run({ ...input, eval: from });
  });

  it('is kept: a file that changes while the run goes on ends it', async () => {
    const folder = fresh();
    const input = one(folder);
    const file = join(folder, 'test.jsonl');
    const running = run(input, {
      onEvent: (event) => {
        if (event.type === 'job' && event.job.description.kind === 'train')
          change(file, (record) => ({ ...record, response: 'other' }));
      },
    });
    await expect(running).rejects.toMatchObject({
      code: 'DATA_INVALID',
      message: expect.stringMatching(/test\.jsonl has changed since the experiment was begun/),
    });
    await run(input);
  });

  it('says the same on any day: the date that a template asks for stands still', async () => {
    const folder = fresh();
    const template = join(folder, 'dated.jinja');
    const input = { ...one(folder), template };
    writeFileSync(
      template,
      "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{% if m.role == 'user' %}{{ strftime_now('%Y') }} {% endif %}{{ m.content }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
    );
    const experiment = await run(input);
    const { sample, train } = experiment.prepared.graph.models[0]!.jobs;
    const jobs = join(input.store!, 'jobs');
    expect(linesOf(join(jobs, sample!, 'answers.jsonl'))[0]!.prompt).toMatch(/2024 Say the number/);
    const manifest = JSON.parse(readFileSync(join(jobs, train!, 'manifest.json'), 'utf8'));
    expect(manifest.languages.en.rendered).toMatch(/2024 Say the number/);
  });
});

describe('likelihoods', () => {
  it('are of the records that have a reference, which a note says', async () => {
    const folder = fresh();
    const input = one(folder);
    change(join(folder, 'test.jsonl'), ({ response, ...record }) =>
      /^i10[01]\.sw$/.test(record.id) ? record : { ...record, response },
    );
    const notes: string[] = [];
    const experiment = await run(input, { onNote: (note) => notes.push(note) });
    expect(notes.join('\n')).toMatch(/2 of 32 evaluation prompts have no reference response/);
    expect(linesOf(outputOf(experiment, 'score', 'likelihoods.jsonl'))).toHaveLength(30);
    const { tables } = await experiment.results();
    expect(JSON.stringify(tables)).toMatch(/likelihood/i);
  });

  it('count the bytes of what was scored where a reference was cut', async () => {
    const folder = fresh();
    const input = { ...one(folder), train: { ...one(folder).train, maxLength: 64 } };
    change(join(folder, 'test.jsonl'), (record) =>
      record.id === 'i103.en' ? { ...record, response: `the number ${'103 '.repeat(200)}` } : record,
    );
    const experiment = await run(input);
    const lines = linesOf(outputOf(experiment, 'score', 'likelihoods.jsonl'));
    const cut = lines.find(({ id }) => id === 'i103.en')!;
    expect(cut.bytes).toBeGreaterThan(20);
    expect(cut.bytes).toBeLessThan(64 * 8);
    expect(lines.find(({ id }) => id === 'i104.en')!.bytes).toBe('the number 104'.length);
  });

  it('reach to the model’s context where maxLength is over it', async () => {
    const folder = fresh();
    const input = one(folder);
    change(join(folder, 'test.jsonl'), (record) =>
      record.id === 'i103.en' ? { ...record, response: `the number ${'103 '.repeat(800)}` } : record,
    );
    const notes: string[] = [];
    const experiment = await run(input, { onNote: (note) => notes.push(note) });
    expect(notes.join('\n')).toMatch(/the model's context is 512 tokens/);
    const lines = linesOf(outputOf(experiment, 'score', 'likelihoods.jsonl'));
    expect(lines.find(({ id }) => id === 'i103.en')!.tokens).toBeLessThan(512);
  });
});

describe('a budget', () => {
  it('that lengths make smaller is said to be', async () => {
    const folder = fresh();
    const train = { ...one(folder).train, maxLength: 64, truncate: 'drop' as const };
    const input = { ...one(folder), train };
    change(join(folder, 'train.jsonl'), (record) =>
      /^i\d+0\.en$/.test(record.id) ? { ...record, response: 'the number '.repeat(80) } : record,
    );
    const notes: string[] = [];
    await run(input, { onNote: (note) => notes.push(note) });
    expect(notes.join('\n')).toMatch(/\d examples of this mixture are left out for their length \(en \d\)/);
  });
});

describe('before anything is trained', () => {
  it('a prompt that is too long for the model or for the score is refused by name', async () => {
    const folder = fresh();
    const input = one(folder);
    const file = join(folder, 'test.jsonl');
    change(file, (record) =>
      record.id === 'i103.fi' ? { ...record, instruction: 'Sano luku '.repeat(300) } : record,
    );
    await expect(run(input)).rejects.toThrow(
      /test\.jsonl:14: record "i103\.fi": its prompt has \d+ tokens, and the model's context is 512/,
    );
    const short = { ...input, train: { ...input.train, maxLength: 100 } };
    change(file, (record) =>
      record.id === 'i103.fi' ? { ...record, instruction: 'Sano luku '.repeat(30) } : record,
    );
    await expect(run(short)).rejects.toThrow(
      /record "i103\.fi": .* maxLength is 100, .*raise train\.maxLength/,
    );
    expect(existsSync(join(input.store!, 'jobs.jsonl')) && linesOf(join(input.store!, 'jobs.jsonl'))).toEqual(
      [],
    );
  });

  it('a drawn record without room for its response is refused, one that is not drawn is not', async () => {
    const folder = fresh();
    const input = { ...one(folder), train: { ...one(folder).train, maxLength: 64 } };
    // More records than a look at some of each language would meet.
    writeItems(join(folder, 'train.jsonl'), 1000, 1500, ['en']);
    const { drawn } = (await Experiment.open(input)).prepared;
    const ids = [...drawn].map(({ id }) => id);
    expect(ids).toHaveLength(40);
    const spoil = (bad: string): void =>
      change(join(folder, 'train.jsonl'), (record) =>
        record.id === bad ? { ...record, instruction: 'Say '.repeat(100) } : record,
      );
    spoil(linesOf(join(folder, 'train.jsonl')).findLast(({ id }) => !ids.includes(id))!.id);
    await using experiment = await Experiment.open(input);
    await experiment.plan();
    const bad = ids.find((id) => Number(id.slice(1, 5)) % 5 === 1)!;
    spoil(bad);
    await using other = await Experiment.open(input);
    await expect(other.plan()).rejects.toThrow(`record "${bad}" has no supervised token`);
  });

  it('a template that is not there is refused, and a folder of a template’s name is none', async () => {
    const folder = fresh();
    const input = one(folder);
    await expect(Experiment.open({ ...input, template: join(folder, 'no.jinja') })).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
    });
    const file = join(folder, 'x.yaml');
    writeFileSync(file, JSON.stringify({ ...input, template: 'own.txt' }));
    expect((await readExperiment(file)).template).toBe(join(folder, 'own.txt'));
    const before = process.cwd();
    mkdirSync(join(folder, 'gemma'));
    process.chdir(folder);
    try {
      await using experiment = await Experiment.open(input);
      expect(experiment.prepared.graph.jobs.size).toBe(5);
    } finally {
      process.chdir(before);
    }
  });

  it('a folder is no file; a file’s name gives the experiment’s, whatever stands in it', async () => {
    const folder = fresh();
    const input = one(folder);
    await expect(readExperiment(folder)).rejects.toMatchObject({ code: 'FILE_IO' });
    const { name: _, ...unnamed } = input;
    const names: string[] = [];
    for (const file of ['my pinch.yaml', 'e\u0301té (1).yml', '--.yaml', 'e2-cldr.yaml']) {
      writeFileSync(join(folder, file), JSON.stringify(unnamed));
      names.push((await readExperiment(join(folder, file))).name);
    }
    expect(names).toEqual(['my-pinch', 'été-1-', 'experiment', 'e2-cldr']);
  });

  it('a key that the protocol does not read is refused', () => {
    const input = { ...smallExperiment(fresh()), shares: { en: 1 } };
    expect(() => resolveExperiment(input, 'x.yaml')).toThrow(
      "x.yaml: 'shares' is for protocol 'pretraining-share', and this is 'pinch'",
    );
  });
});
