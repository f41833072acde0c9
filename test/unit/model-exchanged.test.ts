// A model's files exchanged while a run goes on, or between its stop and its resumption: what is trained stays what it was, the
// error names the file, nothing is lost, and with the right files back the run ends in the bytes of one that nobody touched.
import { cpSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Trainer, type TrainerOptions } from '../../lib/index';
import { fixture, scratch, writeRecords } from '../support/fixtures';

const folder = scratch();
const data = [writeRecords(join(folder, 'train.jsonl'), 12)];
const dev = writeRecords(join(folder, 'dev.jsonl'), 14);
writeFileSync(dev, readFileSync(dev, 'utf8').replace(/"(r|item)(\d+)"/g, '"$1dev$2"'));
const options = { rank: 2, batchExamples: 3, learningRate: 1e-3, threads: 1 } as const;

/** A model of its own for each test, and the same with other weights. */
function ownModel(name: string): { model: string; exchange: () => void; putBack: () => void } {
  const model = join(folder, name);
  cpSync(fixture('smol-tiny', 'model'), model, { recursive: true });
  const file = join(model, 'model.safetensors');
  const bytes = readFileSync(file);
  const other = Buffer.from(bytes);
  for (let at = other.length - 4096; at < other.length; at += 1) other[at]! ^= 1;
  return {
    model,
    exchange: () => writeFileSync(file, other),
    putBack: () => writeFileSync(file, bytes),
  };
}

async function train(given: TrainerOptions, onStep: (step: number) => boolean | undefined): Promise<void> {
  await using trainer = await Trainer.create(given);
  const run = trainer.start();
  for await (const event of run) if (event.type === 'step' && onStep(event.step)) break;
  await run.done;
}

const result = (out: string, file: string): string => readFileSync(join(out, file)).toString('base64');
const snapshot = (out: string): [string, string][] =>
  readdirSync(out, { recursive: true, encoding: 'utf8' })
    .sort()
    .filter((name) => statSync(join(out, name)).isFile())
    .map((name) => [name, result(out, name)]);

describe('a LoRA run', () => {
  it('goes on with what it has read, and is resumed with nothing else', async () => {
    const { model, exchange, putBack } = ownModel('lora');
    const whole = join(folder, 'lora-whole');
    await train({ ...options, model, data, out: whole }, () => undefined);

    const during = join(folder, 'lora-during');
    await train({ ...options, model, data, out: during }, (step) => void (step === 1 && exchange()));
    const adapter = 'adapter/adapter_model.safetensors';
    expect(result(during, adapter)).toBe(result(whole, adapter));

    putBack();
    const parts = join(folder, 'lora-parts');
    await train({ ...options, model, data, out: parts }, (step) => step === 2);
    const stopped = snapshot(parts);
    exchange();
    await expect(Trainer.create({ out: parts, resume: true } as TrainerOptions)).rejects.toMatchObject({
      code: 'STATE_MISMATCH',
      message: expect.stringContaining(`${model} is not the model that the run was started with`),
      fields: { file: model },
    });
    expect(snapshot(parts)).toEqual(stopped);
    putBack();
    await train({ out: parts, resume: true } as TrainerOptions, () => undefined);
    expect(result(parts, adapter)).toBe(result(whole, adapter));
  });
});

describe('a run of full tuning', () => {
  it.each([
    ['where it saves the best', { dev, evalEvery: 2 }, 2],
    ['at its end', {}, 4],
  ])('ends %s, and goes on when the files are back', async (_, more, at) => {
    const { model, exchange, putBack } = ownModel(`full-${at}`);
    const { rank: __, ...others } = options;
    const full = { ...others, ...more, method: 'full', model, data } as const;
    const whole = join(folder, `full-whole-${at}`);
    await train({ ...full, out: whole }, () => undefined);

    const out = join(folder, `full-out-${at}`);
    await expect(train({ ...full, out }, (step) => void (step === 1 && exchange()))).rejects.toMatchObject({
      code: 'FILE_DAMAGED',
      message: expect.stringContaining(`${model} was changed while the run went on`),
      fields: { file: model },
    });
    expect(readdirSync(join(out, 'checkpoints'))).toEqual([`step-0000000${at}`]);
    expect(readdirSync(out).filter((name) => name.startsWith('model'))).toEqual([]);
    putBack();
    await train({ out, resume: true } as TrainerOptions, () => undefined);
    for (const file of readdirSync(join(whole, 'model')))
      expect(result(out, `model/${file}`), file).toBe(result(whole, `model/${file}`));
  });
});
