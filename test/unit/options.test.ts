// A mistyped option is refused by every call of the public surface, with the one that was meant; and what a schema finds wrong
// is said in our own words.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { meantFlag } from '../../lib/cli/flags';
import * as library from '../../lib/index';
import { describeIssues } from '../../lib/text/issues';
import { unknownOption } from '../../lib/text/options';
import { trainFields } from '../../lib/train/options';
import { fixture, scratch, writeRecords } from '../support/fixtures';

const model = fixture('smol-tiny', 'model');
const data = writeRecords(join(scratch(), 'train.jsonl'), 4);
/** As a caller without types gives it. */
const wrong = (options: object): never => options as never;

describe('an unknown option', () => {
  const calls: Record<string, (extra: object) => unknown> = {
    'Adapter.create': (extra) => library.Adapter.create(wrong({}), wrong(extra)),
    'Adapter.load': (extra) => library.Adapter.load(wrong({}), 'folder', wrong(extra)),
    'Model.load': (extra) => library.Model.load(wrong({ model, ...extra })),
    'Sampler.create': (extra) => library.Sampler.create(wrong(extra)),
    'Sampler.plan': (extra) => library.Sampler.plan(wrong({}), wrong(extra)),
    'TrainingSession.create': (extra) => library.TrainingSession.create(wrong(extra)),
    'Trainer.create': (extra) =>
      library.Trainer.create(wrong({ model, data: [data], out: 'none', ...extra })),
    'Trainer.create of a run that goes on': (extra) =>
      library.Trainer.create(wrong({ out: 'none', resume: true, ...extra })),
    planTraining: (extra) => library.planTraining({ model, data: [data] }, wrong(extra)),
    'planTraining’s options': (extra) => library.planTraining(wrong({ model, data: [data], ...extra })),
    'Experiment.open': (extra) => library.Experiment.open('none.yaml', {}, wrong(extra)),
    'ChatTemplate.create': (extra) => library.ChatTemplate.create(wrong(extra)),
    'Ranks.join': (extra) => library.Ranks.join(wrong(extra)),
    'Store.open': (extra) => library.Store.open('none', wrong({ write: false, ...extra })),
    PairedBootstrap: (extra) => new library.PairedBootstrap([], wrong(extra)),
    bootstrapSeeds: (extra) => library.bootstrapSeeds([1, 2, 3, 4, 5], wrong(extra)),
    checkAnswerLanguageRule: (extra) => library.checkAnswerLanguageRule([], wrong(extra)),
    checkInstruction: (extra) => library.checkInstruction('', wrong({ type: 'json' }), wrong(extra)),
    chrf: (extra) => library.chrf('a', 'b', wrong(extra)),
    collectModels: (extra) => library.collectModels('none', 'none', wrong(extra)),
    compareAnswers: (extra) => library.compareAnswers([], [], wrong(extra)),
    corpusChrf: (extra) => library.corpusChrf([], wrong(extra)),
    dataReport: (extra) => library.dataReport(wrong(extra)),
    describeResults: (extra) => library.describeResults(wrong({}), wrong(extra)),
    drawMixture: (extra) => library.drawMixture(wrong({}), wrong(extra)),
    exportModel: (extra) => library.exportModel(wrong(extra)),
    findLeaks: (extra) => library.findLeaks([], [], wrong(extra)),
    groupItems: (extra) => library.groupItems([], wrong(extra)),
    importData: (extra) => library.importData('lima', [], wrong(extra)),
    languageOfAnswer: (extra) => library.languageOfAnswer('', wrong(extra)),
    learningRateAt: (extra) => library.learningRateAt(1, wrong(extra)),
    measureAnswers: (extra) => library.measureAnswers([], [], wrong(extra)),
    mixture: (extra) => library.mixture([], 'mono:language=en', wrong(extra)),
    packExamples: (extra) => library.packExamples([], wrong(extra)),
    pearson: (extra) => library.pearson([], [], wrong(extra)),
    planSteps: (extra) => library.planSteps(wrong(extra)),
    preview: (extra) => library.preview([], 1, wrong({}), wrong(extra)),
    pullModel: (extra) => library.pullModel('none', wrong(extra)),
    queryStore: (extra) => library.queryStore('none', '', wrong(extra)),
    readExamples: (extra) => library.readExamples([data], wrong(extra)),
    renderExample: (extra) => library.renderExample(wrong({}), wrong(extra)),
    renderExamples: (extra) => library.renderExamples([], wrong(extra)),
    renderPrompt: (extra) => library.renderPrompt([], wrong(extra)),
    renderReport: (extra) => library.renderReport(wrong({}), wrong(extra)),
    resolveModel: (extra) => library.resolveModel(model, wrong(extra)),
    rougeL: (extra) => library.rougeL('a', 'b', wrong(extra)),
    score: (extra) => library.score(wrong(extra)),
    scoreLabels: (extra) => library.scoreLabels(wrong(extra)),
    sideBySide: (extra) => library.sideBySide([], wrong(extra)),
    splitHoldOut: (extra) => library.splitHoldOut([], wrong(extra)),
    wilson: (extra) => library.wilson(1, 2, wrong(extra)),
    writeModelFolder: (extra) => library.writeModelFolder(wrong(extra)),
    writeReport: (extra) => library.writeReport(wrong({}), 'none', wrong(extra)),
  };

  it.each(Object.entries(calls))('of %s is named, with all there are', async (_, call) => {
    const refused = (async () => call({ notThere: 1 }))();
    await expect(refused).rejects.toThrow(RangeError);
    await expect(refused).rejects.toThrow(/there is no option 'notThere'.* options are \w+/);
  });

  it.each<[string, () => unknown]>([
    ['OpenAIJudge: protocol', () => new library.OpenAIJudge(wrong({ protocol: 'ties' }))],
    ['OpenAIRater: rubric', () => new library.OpenAIRater(wrong({ rubric: 'ties' }))],
    ['LocalJudge.create: protocol', () => library.LocalJudge.create(wrong({ protocol: 'ties' }))],
    ['LocalRater.create: rubric', () => library.LocalRater.create(wrong({ rubric: 'ties' }))],
  ])('word in %s is refused with those there are', async (option, call) => {
    const refused = (async () => call())();
    await expect(refused).rejects.toThrow(RangeError);
    await expect(refused).rejects.toThrow(`${option}: expected one of `);
    await expect(refused).rejects.toThrow('got "ties"');
  });

  it('of a session, an adapter, a sampler and a request is refused where they are used', async () => {
    await using base = await library.Model.load({ model, threads: 1 });
    await expect(library.Adapter.create(base, wrong({ rnk: 4 }))).rejects.toThrow(
      /^Adapter.create: there is no option 'rnk'; did you mean 'rank'\? The options are rank, alpha, /,
    );
    const adapter = await library.Adapter.create(base, { rank: 2 });
    const session = await library.TrainingSession.create({ model: base, adapters: [adapter] });
    await expect(session.optimStep(wrong({ lr: 1 }))).rejects.toThrow(
      /^optimStep: there is no option 'lr'; did you mean 'learningRate'\?/,
    );
    await expect(session.forwardBackward(wrong({}), wrong({ logprob: true }))).rejects.toThrow(
      /did you mean 'logprobs'/,
    );
    await using sampler = await library.Sampler.create({ model: base, maxRows: 1 });
    const request = { id: 'a', prompt: base.tokenizer.encode('a'), temp: 1 };
    await expect(sampler.generate([wrong(request)])).rejects.toThrow(/'temp'; did you mean 'temperature'/);
    await expect(sampler.generate([], wrong({ abort: 1 }))).rejects.toThrow(/Sampler.*'abort'.*signal/);
    expect(() => base.tokenizer.encode('a', wrong({ bos: true }))).toThrow(/'bos'.*addBos/);
    expect(() => base.tokenizer.decode([1], wrong({ skip: true }))).toThrow(/did you mean 'skipSpecial'/);
  });

  it('that is undefined is as good as absent, and a text is no object of options', async () => {
    expect(library.wilson(1, 2, wrong({ notThere: undefined })).n).toBe(2);
    await expect(library.Model.load(wrong('model' as never))).rejects.toThrow(
      /^Model.load: expected an object of options \(model, .*\), got string/,
    );
  });

  it.each([
    ['rnk', ['rank', 'alpha'], 'rank'],
    ['learning_rate', ['learningRate', 'seed'], 'learningRate'],
    ['lr', ['learningRate', 'steps'], 'learningRate'],
    ['temp', ['temperature', 'topP'], 'temperature'],
    ['lora_r', ['rank', 'alpha'], 'rank'],
    ['lora_r', ['alpha', 'learningRate'], undefined],
    ['max', ['maxLength', 'maxPrompt'], undefined],
    ['wholly other', ['rank'], undefined],
  ])('%s of %j means %s', (name, known, meant) => {
    const text = unknownOption(name, known);
    if (meant === undefined) expect(text).not.toContain('did you mean');
    else expect(text).toContain(`did you mean '${meant}'?`);
    expect(text).toMatch(new RegExp(`${known.join(', ')}$`));
  });
});

describe('a flag by the name that others have for it', () => {
  const train = [...Object.keys(trainFields.shape), 'out', 'noShuffle'];

  it.each([
    ['--lr', '--learning-rate'],
    ['--wd', '--weight-decay'],
    ['--bs', '--batch-examples'],
    ['--batch-size', '--batch-examples'],
    ['--per_device_train_batch_size', '--batch-examples'],
    ['--max-seq-length', '--max-length'],
    ['--max_seq_len', '--max-length'],
    ['--warmup', '--warmup-steps'],
    ['--num-train-epochs', '--epochs'],
    ['--max-steps', '--steps'],
    ['--save-steps', '--save-every'],
    ['--lora-r', '--rank'],
    ['--lora_alpha', '--alpha'],
    ['--output-dir', '--out'],
    ['--warm-up-steps', '--warmup-steps'],
    ['--no-shufle', '--no-shuffle'],
  ])('%s means %s', (typed, ours) => {
    expect(meantFlag(typed, train)).toBe(ours);
    expect(meantFlag(typed.slice(2), train)).toBe(ours); // as a key of a YAML file
  });

  it('means nothing where nothing is near', () => {
    expect(meantFlag('--fp16-full-eval', train)).toBeUndefined();
  });
});

describe('what a schema finds wrong', () => {
  const schema = z.strictObject({
    rank: z.int().min(1),
    rate: z.number().positive().max(1).optional(),
    kind: z.enum(['constant', 'linear']).optional(),
    threads: z.union([z.literal('auto'), z.int()]).optional(),
    list: z.array(z.string().min(1)).min(1).optional(),
    when: z.iso.datetime().optional(),
    device: z.string().regex(/^c/, 'cpu or cuda').optional(),
    code: z.string().regex(/^c/).optional(),
    inner: z.strictObject({ on: z.boolean() }).optional(),
  });

  it.each([
    [{}, 'rank: is needed, but was not given'],
    [{ rank: 1.5 }, 'rank: expected a whole number, got 1.5'],
    [{ rank: 'x' }, 'rank: expected a number, got "x"'],
    [{ rank: 0 }, 'rank: expected at least 1, got 0'],
    [{ rank: 1, rate: 0 }, 'rate: expected more than 0, got 0'],
    [{ rank: 1, rate: 2 }, 'rate: expected at most 1, got 2'],
    [
      { rank: 1, kind: 'linar' },
      `kind: expected one of constant, linear, got "linar"; did you mean 'linear'?`,
    ],
    [{ rank: 1, threads: 'all' }, 'threads: expected auto or a number, got "all"'],
    [{ rank: 1, list: [] }, 'list: expected at least one entry, got []'],
    [{ rank: 1, list: ['a', ''] }, 'list[1]: expected a text that is not empty, got ""'],
    [{ rank: 1, when: 'now' }, 'when: expected a time such as 2026-01-31T12:00:00Z, got "now"'],
    [{ rank: 1, device: 'gpu' }, 'device: expected cpu or cuda, got "gpu"'],
    [{ rank: 1, code: 'x' }, 'code: expected text that matches /^c/, got "x"'],
    [{ rank: 1, inner: { on: 'yes' } }, 'inner.on: expected true or false, got "yes"'],
    [{ rank: 1, inner: { on: true, off: 1 } }, "inner: there is no key 'off' here"],
    [{ rank: 1, rnak: 2 }, "there is no option 'rnak'; did you mean 'rank'? The options are rank, kind"],
    [7, 'expected an object, got 7'],
  ])('in %j is a sentence of ours', (value, said) => {
    const { error } = schema.safeParse(value);
    expect(describeIssues(error!, value, { known: ['rank', 'kind'] })).toBe(said);
  });

  it('bears the name that was typed', () => {
    const { error } = schema.safeParse({ rank: 0 });
    expect(describeIssues(error!, { rank: 0 }, { name: (key) => `--${key}` })).toMatch(/^--rank: /);
  });
});
