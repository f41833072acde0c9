// What decides when a run ends and which adapter it publishes: responses to the dev set, patience, and a stop that comes in
// the middle of a dev score. Every run is the same whether or not it was interrupted.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import {
  Adapter,
  type DevEvaluator,
  type EvalEvent,
  Model,
  planTraining,
  rougeEvaluator,
  rougeL,
  Sampler,
  type TrainEvent,
  Trainer,
  type TrainerOptions,
} from '../../lib/index';
import { fixture, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();
const train = writeRecords(join(folder, 'train.jsonl'), 24);
const dev = join(folder, 'dev.jsonl');
writeFileSync(
  dev,
  readFileSync(train, 'utf8')
    .split('\n')
    .slice(0, 3)
    .map((line, i) => ({
      ...JSON.parse(line),
      id: `d${i}`,
      lang: i < 2 ? 'en' : 'fi',
      parallel_id: undefined,
    }))
    .map((record) => `${JSON.stringify(record)}\n`)
    .join(''),
);
const options = {
  model: fixture('smol-tiny', 'model'),
  data: [train],
  dev,
  evalEvery: 1,
  rank: 4,
  learningRate: 0.05,
  schedule: 'constant',
  warmupSteps: 0,
  batchExamples: 4,
  epochs: 3,
  maxResponse: 24,
  threads: 1,
} satisfies Partial<TrainerOptions>;

const events = (out: string): TrainEvent[] =>
  readFileSync(join(out, 'events.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as TrainEvent);
const evals = (out: string): EvalEvent[] => events(out).filter((event) => event.type === 'eval');
const bytes = (out: string): Buffer => readFileSync(join(out, 'adapter', 'adapter_model.safetensors'));

/** The first of the highest figure and, of those, of the lowest loss. */
const highestOf = (scored: readonly EvalEvent[]): EvalEvent =>
  scored.reduce((a, b) => (b.rougeL! > a.rougeL! || (b.rougeL === a.rougeL && b.loss < a.loss) ? b : a));

/** Values that a test decides, in the order in which they are asked for. */
function scripted(values: readonly number[]): DevEvaluator & { asked: number } {
  const evaluator = {
    asked: 0,
    measures: 'rouge-l' as const,
    plan: async () => [{ name: 'scratch', bytes: 1000 }],
    open: async () => ({
      measure: async () => {
        const value = values[evaluator.asked++]!;
        return { value, byLanguage: { en: value } };
      },
      [Symbol.asyncDispose]: async () => undefined,
    }),
  };
  return evaluator;
}

describe('select rouge-l', () => {
  it('publishes the adapter whose greedy responses are nearest, languages counting alike', async () => {
    const out = join(folder, 'rouge');
    await using trainer = await Trainer.create({
      ...options,
      out,
      evalEvery: 6,
      epochs: 6,
      learningRate: 0.01,
      select: 'rouge-l',
      evaluator: rougeEvaluator(),
    });
    const { best } = await trainer.start().done;
    const scored = evals(out);
    expect(scored).toHaveLength(6);
    const highest = highestOf(scored);
    expect(best).toEqual({ step: highest.step, loss: highest.loss, rougeL: highest.rougeL });

    await using model = await Model.load({ model: options.model, threads: 1 });
    const adapter = await Adapter.load(model, join(out, 'adapter'));
    await using sampler = await Sampler.create({ model, adapters: [adapter] });
    const { devItems, endOfTurnIds } = trainer.data;
    const answers = await sampler.generate(
      devItems.map(({ id, prompt }) => ({ id, prompt, maxNewTokens: 24, endOfTurnIds })),
    );
    const by = { en: [] as number[], fi: [] as number[] };
    for (const [i, { response }] of answers.entries()) {
      const { lang, reference } = devItems[i]!;
      by[lang as 'en' | 'fi'].push(rougeL(response, reference, { lang }));
    }
    const [en, fi] = [(by.en[0]! + by.en[1]!) / 2, by.fi[0]!];
    expect(highest.rougeLByLanguage).toEqual({ en, fi });
    expect(highest.rougeL).toBeCloseTo((en + fi) / 2, 10);
    expect(Math.max(en, fi), 'nothing is measured here').toBeGreaterThan(0);
  });

  it('takes the highest where the loss would choose another, and plans what it holds', async () => {
    const out = join(folder, 'scripted');
    const evaluator = scripted([10, 30, 29, 20, 5, 1]);
    await using trainer = await Trainer.create({ ...options, out, epochs: 1, select: 'rouge-l', evaluator });
    expect(trainer.plan().memory.at(-1)).toEqual({ name: 'dev responses', bytes: 1000 });
    expect((await trainer.start().done).best).toMatchObject({ step: 2, rougeL: 30 });
    const best = join(out, 'checkpoints', 'best-00000002', 'adapter_model.safetensors');
    expect(bytes(out).equals(readFileSync(best))).toBe(true);
  });

  it.each([
    ['in one go', false],
    ['stopped on the way', true],
  ])('takes the lower loss of equal figures, %s', async (_, isStopped) => {
    const out = join(folder, `equals-${isStopped}`);
    const evaluator = scripted(new Array<number>(18).fill(0));
    const given = { ...options, out, select: 'rouge-l', patience: 18, evaluator } as const;
    for (let at = 3; isStopped && at < 18; at += 3) {
      await using part = await Trainer.create({ ...given, resume: at > 3 });
      for await (const event of part.start()) if (event.type === 'eval' && event.step === at) break;
    }
    await using trainer = await Trainer.create({ ...given, resume: isStopped });
    const { best } = await trainer.start().done;
    const scored = evals(out);
    const lowest = scored.reduce((a, b) => (b.loss < a.loss ? b : a));
    const better = scored.map(({ loss }, i) => scored.slice(0, i).every((before) => loss < before.loss));
    expect(new Set(better.slice(1)).size, 'the loss only falls, or only rises').toBe(2);
    expect(scored.map((event) => event.best)).toEqual(better);
    expect(best).toEqual({ step: lowest.step, loss: lowest.loss, rougeL: 0 });
    const chosen = join(out, 'checkpoints', `best-${String(lowest.step).padStart(8, '0')}`);
    expect(bytes(out).equals(readFileSync(join(chosen, 'adapter_model.safetensors')))).toBe(true);
    expect(scored.at(-1)?.sinceBest).toBe(18 - lowest.step);
  });

  describe('of full tuning', () => {
    const full = {
      ...options,
      method: 'full',
      rank: undefined,
      learningRate: 2e-3,
      select: 'rouge-l',
    } as const;
    const model = (run: string) => readFileSync(join(run, 'model', 'model.safetensors'));

    it('publishes the model that it has measured', async () => {
      const out = join(folder, 'full-rouge');
      const given = { ...full, out, evalEvery: 6, epochs: 6, evaluator: rougeEvaluator() } as const;
      await using trainer = await Trainer.create(given);
      const { best } = await trainer.start().done;
      const scored = evals(out);
      const highest = highestOf(scored);
      expect(best).toEqual({ step: highest.step, loss: highest.loss, rougeL: highest.rougeL });
      expect(new Set(scored.map((event) => event.rougeL)).size, 'nothing is measured here').toBeGreaterThan(
        1,
      );
      const { devItems, endOfTurnIds } = trainer.data;
      await trainer.dispose();

      await using published = await Model.load({ model: join(out, 'model'), threads: 1 });
      await using sampler = await Sampler.create({ model: published });
      const answers = await sampler.generate(
        devItems.map(({ id, prompt }) => ({ id, prompt, maxNewTokens: 24, endOfTurnIds })),
      );
      const values = answers.map(({ response }, i) => {
        const { lang, reference } = devItems[i]!;
        return rougeL(response, reference, { lang });
      });
      const [en, fi] = [(values[0]! + values[1]!) / 2, values[2]!];
      expect(highest.rougeLByLanguage).toEqual({ en, fi });
    });

    it('takes the highest where the loss would choose another, also over interruptions', async () => {
      const values = [10, 30, 29, 20, 5, 1];
      const whole = join(folder, 'full-scripted');
      await using one = await Trainer.create({ ...full, out: whole, epochs: 1, evaluator: scripted(values) });
      expect((await one.start().done).best).toMatchObject({ step: 2, rougeL: 30 });
      await one.dispose();
      const losses = evals(whole).map((event) => event.loss);
      expect(Math.min(...losses), 'the loss chooses the same').toBeLessThan(losses[1]!);

      const two = join(folder, 'full-of-two-steps');
      await using shorter = await Trainer.create({
        ...full,
        out: two,
        steps: 2,
        evaluator: scripted(values),
      });
      await shorter.start().done;
      await shorter.dispose();
      expect(model(two).equals(model(whole)), 'the model after step 2').toBe(true);

      const parts = join(folder, 'full-parts');
      const evaluator = scripted(values);
      for (let at = 1; at < 6; at++) {
        const given = { ...full, out: parts, epochs: 1, evaluator, resume: at > 1 };
        await using part = await Trainer.create(given);
        for await (const event of part.start()) if (event.type === 'eval' && event.step === at) break;
        await part.dispose();
      }
      await using last = await Trainer.create({ ...full, out: parts, epochs: 1, evaluator, resume: true });
      expect((await last.start().done).best).toMatchObject({ step: 2, rougeL: 30 });
      expect(evaluator.asked).toBe(6);
      expect(model(parts).equals(model(whole))).toBe(true);
    });
  });

  it('has prompts cut where training cuts them, and the last response of each as reference', async () => {
    const several = join(folder, 'several.jsonl');
    const turn = (role: string, content: string) => ({ role, content });
    const messages = [
      turn('user', 'a b c d e'),
      turn('assistant', 'one'),
      turn('user', 'f'),
      turn('assistant', 'two'),
    ];
    writeFileSync(several, `${JSON.stringify({ id: 'x#2', messages })}\n`);
    const { data } = await planTraining(
      { ...options, dev: several, select: 'rouge-l', maxPrompt: 9 },
      { evaluator: rougeEvaluator() },
    );
    expect(data.devItems).toHaveLength(1);
    const [{ prompt, reference }] = data.devItems as [(typeof data.devItems)[0]];
    expect(reference).toBe('two');
    const text = data.tokenizer.decode(prompt);
    expect(text).toContain('one');
    expect(text).not.toContain('two');
    expect(data.dev[0]!.promptLength).toBe(9);
  });
});

describe('patience', () => {
  const values = [10, 30, 20, 29, 25, 90];

  it('ends a run after so many scores without a better one, and says so', async () => {
    const out = join(folder, 'patient');
    const evaluator = scripted(values);
    const given = { ...options, out, epochs: 1, select: 'rouge-l', patience: 3, evaluator } as const;
    await using trainer = await Trainer.create(given);
    expect(await trainer.start().done).toMatchObject({
      reason: 'finished',
      step: 5,
      early: true,
      best: { step: 2 },
    });
    expect(evals(out).map((event) => event.sinceBest)).toEqual([0, 0, 1, 2, 3]);
    expect(events(out).at(-1)).toMatchObject({ type: 'end', step: 5, reason: 'finished', early: true });
    expect(parse(readFileSync(join(out, 'run.yaml'), 'utf8'))).toMatchObject({
      options: { patience: 3 },
      ended: { step: 5, early: true, best: { step: 2 } },
    });
    await trainer.dispose();

    // A run that has ended has ended: resuming it trains no further.
    await using again = await Trainer.create({ ...given, resume: true, evaluator: scripted([]) });
    expect(await again.start().done).toMatchObject({ step: 5, early: true });
  });

  it.each([
    ['in one go', false],
    ['stopped after every score', true],
  ])('counts from the last better score, %s', async (_, isStopped) => {
    // 7 is better than 5 after one that was not; 9 ends a wait of two.
    const rising = [5, 4, 7, 6, 6, 9, 8.9, 8, 8.5];
    const waits = [0, 1, 0, 1, 2, 0, 1, 2, 3];
    const out = join(folder, `waits-${isStopped}`);
    const evaluator = scripted(rising);
    const given = { ...options, out, epochs: 2, select: 'rouge-l', patience: 3, evaluator } as const;
    for (let at = 1; isStopped && at < rising.length; at++) {
      await using part = await Trainer.create({ ...given, resume: at > 1 });
      for await (const event of part.start()) if (event.type === 'eval' && event.step === at) break;
    }
    await using trainer = await Trainer.create({ ...given, resume: isStopped });
    const end = { reason: 'finished', step: 9, early: true, best: { step: 6, rougeL: 9 } };
    expect(await trainer.start().done).toMatchObject(end);
    expect(evals(out).map((event) => event.sinceBest)).toEqual(waits);
    expect(evaluator.asked).toBe(rising.length);
  });

  it('waits no longer where the loss stays what it was', async () => {
    const out = join(folder, 'level');
    await using trainer = await Trainer.create({ ...options, out, learningRate: 1e-30, patience: 2 });
    expect(await trainer.start().done).toMatchObject({ step: 3, early: true, best: { step: 1 } });
    const scored = evals(out);
    expect(new Set(scored.map((event) => event.loss)).size, 'the losses are no equals').toBe(1);
    expect(scored.map(({ best, sinceBest }) => [best, sinceBest])).toEqual([
      [true, 0],
      [false, 1],
      [false, 2],
    ]);
  });

  it('stops at the same step with the same bytes after an interruption', async () => {
    const loss = { ...options, patience: 2 } as const;
    const whole = join(folder, 'patient-whole');
    await using one = await Trainer.create({ ...loss, out: whole });
    const { step, early, best } = await one.start().done;
    expect(early).toBe(true);
    await one.dispose();

    const parts = join(folder, 'patient-parts');
    for (let at = 1; at < step; at++) {
      await using part = await Trainer.create({ ...loss, out: parts, resume: at > 1 });
      for await (const event of part.start()) if (event.type === 'step' && event.step === at) break;
      await part.dispose();
    }
    await using last = await Trainer.create({ ...loss, out: parts, resume: true });
    expect(await last.start().done).toMatchObject({ step, early, best });
    expect(bytes(parts).equals(bytes(whole))).toBe(true);
    const figures = (out: string) => evals(out).map(({ seconds: _, ...event }) => event);
    expect(figures(parts)).toEqual(figures(whole));
  });

  it.each([
    [{ patience: 2, evalEvery: 0 }, /patience.*evalEvery/],
    [{ patience: 2, dev: undefined }, /patience.*dev/],
    [{ select: 'rouge-l', dev: undefined }, /select.*dev/],
    [{ select: 'rouge-l', template: 'none' }, /select.*template none/],
    [{ select: 'rouge-l' }, /select.*evaluator/],
  ] as const)('that could do nothing is refused: %o', async (more, message) => {
    await expect(planTraining({ ...options, ...more } as TrainerOptions)).rejects.toThrow(message);
  });
});

describe('a stop during a dev score', () => {
  it('is answered at once; the score is made when the run goes on', async () => {
    const longDev = join(folder, 'long-dev.jsonl');
    const records = readFileSync(writeRecords(longDev, 400), 'utf8');
    writeFileSync(longDev, records.replace(/"r(\d+)"/g, '"v$1"').replaceAll('"item', '"other'));
    const long = { ...options, dev: longDev } as const;
    const whole = join(folder, 'score-whole');
    await using one = await Trainer.create({ ...long, out: whole, steps: 2 });
    const { best } = await one.start().done;
    const took = evals(whole)[0]!.seconds;
    await one.dispose();

    const parts = join(folder, 'score-parts');
    const abort = new AbortController();
    const reason = new Error('enough');
    await using two = await Trainer.create({ ...long, out: parts, steps: 2, signal: abort.signal });
    const run = two.start();
    for await (const event of run) {
      if (event.type !== 'step') continue;
      const started = performance.now();
      setTimeout(() => abort.abort(reason), 5);
      await expect(run.done).rejects.toBe(reason);
      expect((performance.now() - started) / 1000).toBeLessThan(Math.max(took, 0.5));
      break;
    }
    await two.dispose();
    expect(evals(parts)).toEqual([]);

    await using three = await Trainer.create({ ...long, out: parts, steps: 2, resume: true });
    expect((await three.start().done).best).toEqual(best);
    expect(evals(parts).map((event) => [event.step, event.loss])).toEqual(
      evals(whole).map((event) => [event.step, event.loss]),
    );
    expect(bytes(parts).equals(bytes(whole))).toBe(true);
  });
});
