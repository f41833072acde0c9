// Options are told apart before a run: what is wrong is named, what is held out is the same for the same seed.
import { describe, expect, it } from 'vitest';
import { EventStream, type TrainEvent } from '../../lib/train/events';
import { overruled, resolveTrainOptions } from '../../lib/train/options';
import { availableBytes } from '../../lib/train/plan';
import { splitDev } from '../../lib/train/prepare';

describe('resolveTrainOptions', () => {
  const minimal = { model: 'm', data: ['d'] };

  it.each([
    [{ rank: 0 }, /rank: .*got 0/],
    [{ learningRate: -1 }, /learningRate/],
    [{ schedule: 'steps' }, /schedule.*got "steps"/],
    [{ target: ['qproj'] }, /target/],
    [{ dropout: 1 }, /dropout.*got 1/],
    [{ learninRate: 1 }, /learninRate/],
    [{ maxLength: 1 }, /maxLength/],
  ])('names the option in %j', (wrong, message) => {
    expect(() => resolveTrainOptions({ ...minimal, ...wrong })).toThrow(message);
    expect(() => resolveTrainOptions({ ...minimal, ...wrong })).toThrow(RangeError);
  });

  it.each([
    [['all-linear'], 'all-linear'],
    [['down_proj', 'up_proj', 'gate_proj', 'o_proj', 'v_proj', 'k_proj', 'q_proj', 'q_proj'], 'all-linear'],
    [
      ['lm_head', 'all-linear'],
      ['all-linear', 'lm_head'],
    ],
    [
      ['lm_head', 'v_proj', 'q_proj'],
      ['q_proj', 'v_proj', 'lm_head'],
    ],
  ])('spells the target %j in one way', (target, canonical) => {
    expect(resolveTrainOptions({ ...minimal, target }).target).toEqual(canonical);
  });

  it('wants an object', () => {
    expect(() => resolveTrainOptions(null)).toThrow(TypeError);
    expect(() => resolveTrainOptions('x')).toThrow(TypeError);
  });
});

describe('options that another overrules', () => {
  it.each([
    [{ steps: 4 }, []],
    [{ epochs: 2, batchExamples: 4 }, []],
    [{ steps: 4, epochs: 2 }, [/steps \(--steps\) is given.*epochs \(--epochs\) counts for nothing/]],
    [
      { batchTokens: 400, batchExamples: 2 },
      [/batchTokens .* is given.*batchExamples .* counts for nothing/],
    ],
  ])('are told: %j', (given, lines) => {
    expect(overruled(given)).toEqual(lines.map((line) => expect.stringMatching(line)));
  });
});

describe('splitDev', () => {
  const examples = Array.from({ length: 30 }, (_, i) => ({
    id: `r${i}`,
    lang: ['en', 'fi', 'sw'][i % 3]!,
    turns: [],
    parallelId: `item${Math.floor(i / 3)}`,
    source: { file: 'f', line: i + 1 },
  }));

  it('takes items out in all their languages, the same for the same seed', () => {
    const [train, dev] = splitDev(examples, 4, 7);
    expect(dev).toHaveLength(12);
    expect(train).toHaveLength(18);
    const items = new Set(dev.map((example) => example.parallelId));
    expect(items.size).toBe(4);
    expect(train.some((example) => items.has(example.parallelId))).toBe(false);
    expect(splitDev(examples, 4, 7)[1]).toEqual(dev);
    expect(splitDev(examples, 4, 8)[1]).not.toEqual(dev);
  });

  it('does not take everything', () => {
    expect(() => splitDev(examples, 10, 0)).toThrow(/dev is 10.*10 items/);
  });
});

describe('EventStream', () => {
  const event = (step: number): TrainEvent => ({ type: 'checkpoint', step, path: 'p' });

  it('gives kept events to late iterators, waits for new ones, and ends', async () => {
    const stream = new EventStream();
    stream.push(event(1));
    const seen: number[] = [];
    const reading = (async () => {
      for await (const e of stream.iterate(() => undefined)) seen.push(e.step);
    })();
    await Promise.resolve();
    stream.push(event(2));
    stream.close();
    await reading;
    expect(seen).toEqual([1, 2]);
  });

  it('keeps a bounded number', async () => {
    const stream = new EventStream();
    for (let step = 1; step <= 5000; step++) stream.push(event(step));
    stream.close();
    const seen: number[] = [];
    for await (const e of stream.iterate(() => undefined)) seen.push(e.step);
    expect(seen).toHaveLength(4096);
    expect(seen.at(-1)).toBe(5000);
  });

  it('says when a reader leaves early, and passes errors on', async () => {
    const stream = new EventStream();
    stream.push(event(1));
    let left = false;
    for await (const _ of stream.iterate(() => {
      left = true;
    }))
      break;
    expect(left).toBe(true);
    stream.close(new Error('bad'));
    await expect(
      (async () => {
        for await (const _ of stream.iterate(() => undefined)) {
          // read on
        }
      })(),
    ).rejects.toThrow('bad');
  });
});

it('a control group’s limit leaves what this process has not taken yet', () => {
  const memory = { totalBytes: 100, availableBytes: 80, limitBytes: 0 };
  expect(availableBytes(memory, 10)).toBe(80);
  expect(availableBytes({ ...memory, limitBytes: 50 }, 10)).toBe(40);
  expect(availableBytes({ ...memory, limitBytes: 5 }, 10)).toBe(0);
});
