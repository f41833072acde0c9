// Files for TensorBoard and W&B are written without their libraries; they are held to the published formats and checksums.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { crc32, crc32c, maskedCrc32c } from '../../lib/report/trackers/crc';
import { trackerFiles } from '../../lib/report/trackers/files';
import { Message } from '../../lib/report/trackers/protobuf';
import { readTrackedRun, type TrackedRun, trackedSteps } from '../../lib/report/trackers/run-events';
import { tensorboardFile, tensorboardName, tfRecord } from '../../lib/report/trackers/tensorboard';
import { levelDbLog, wandbFile, wandbPath } from '../../lib/report/trackers/wandb';
import type { TrainEvent } from '../../lib/train/events';
import { results } from '../support/report-results';

const folder = await mkdtemp(join(tmpdir(), 'mlit-trackers-'));
afterAll(() => rm(folder, { recursive: true, force: true }));

const step = (at: number): TrainEvent => ({
  type: 'step',
  step: at,
  loss: 3 / at,
  learningRate: 1e-4,
  gradNorm: 1.5,
  tokens: 100,
  supervisedTokens: 40,
  seconds: 0.5,
  tokensPerSecond: 200,
});
const dev: TrainEvent = {
  type: 'eval',
  step: 2,
  loss: 1.25,
  perplexity: 3.5,
  lossByLanguage: { he: 1.5 },
  best: true,
  seconds: 1,
};
const events: TrainEvent[] = [step(1), step(2), dev, { type: 'end', step: 2, reason: 'finished' }];
const started = 1_790_000_000.25;
const run = {
  started,
  record: { options: { rank: 16, target: ['all-linear'] }, chosen: { version: '0.1.0' } },
  steps: trackedSteps(events, started),
} as unknown as TrackedRun;

/** Fields of a message by number, decoded by a reader that shares nothing with the writer. */
function decode(data: Buffer): Map<number, (number | Buffer)[]> {
  const fields = new Map<number, (number | Buffer)[]>();
  let at = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = BigInt(data[at++]!);
      value |= (byte & 0x7fn) << shift;
      if (byte < 0x80n) return Number(value);
    }
  };
  while (at < data.length) {
    const tag = varint();
    const kind = tag & 7;
    let value: number | Buffer;
    if (kind === 0) value = varint();
    else if (kind === 1) {
      value = data.readDoubleLE(at);
      at += 8;
    } else if (kind === 5) {
      value = data.readFloatLE(at);
      at += 4;
    } else {
      expect(kind).toBe(2);
      const length = varint();
      value = data.subarray(at, at + length);
      at += length;
    }
    fields.set(tag >> 3, [...(fields.get(tag >> 3) ?? []), value]);
  }
  expect(at).toBe(data.length);
  return fields;
}

const only = (fields: Map<number, (number | Buffer)[]>, field: number): never =>
  fields.get(field)![0] as never;
const textAt = (fields: Map<number, (number | Buffer)[]>, field: number): string =>
  String(only(fields, field));

describe('checksums', () => {
  it('agree with published values', () => {
    const digits = Buffer.from('123456789');
    expect(crc32c(digits)).toBe(0xe3069283); // RFC 3720, B.4, and the catalogue of CRC algorithms
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
    expect(crc32(digits)).toBe(0xcbf43926);
    expect(crc32(digits.subarray(0, 4), digits.subarray(4))).toBe(0xcbf43926);
    expect(maskedCrc32c(Buffer.alloc(32))).toBe(
      ((((0x8a9136aa >>> 15) | (0x8a9136aa << 17)) >>> 0) + 0xa282ead8) >>> 0,
    );
  });
});

describe('messages', () => {
  it('hold numbers and texts as they came', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.double({ noNaN: true }), fc.string(), (whole, real, words) => {
        const fields = decode(new Message().integer(1, whole).double(200, real).text(16, words).finish());
        expect(only(fields, 1)).toBe(whole);
        expect(only(fields, 200)).toBe(real);
        expect(textAt(fields, 16)).toBe(Buffer.from(words).toString());
      }),
    );
    expect(() => new Message().integer(1, -1)).toThrow(RangeError);
  });
});

describe('TensorBoard', () => {
  it('frames records: length, its checksum, data, its checksum', () => {
    const frame = tfRecord(Buffer.from('abc'));
    expect(frame.length).toBe(3 + 16);
    expect(frame.readBigUInt64LE(0)).toBe(3n);
    expect(frame.readUInt32LE(8)).toBe(maskedCrc32c(frame.subarray(0, 8)));
    expect(frame.toString('utf8', 12, 15)).toBe('abc');
    expect(frame.readUInt32LE(15)).toBe(maskedCrc32c(Buffer.from('abc')));
  });

  it('has the version first and then a scalar for every value', () => {
    const file = tensorboardFile(run);
    const messages: ReturnType<typeof decode>[] = [];
    for (let at = 0; at < file.length; ) {
      const length = Number(file.readBigUInt64LE(at));
      expect(file.readUInt32LE(at + 8)).toBe(maskedCrc32c(file.subarray(at, at + 8)));
      const data = file.subarray(at + 12, at + 12 + length);
      expect(file.readUInt32LE(at + 12 + length)).toBe(maskedCrc32c(data));
      messages.push(decode(data));
      at += length + 16;
    }
    expect(textAt(messages[0]!, 3)).toBe('brain.Event:2');
    const scalars = messages.slice(1).flatMap((message) =>
      decode(only(message, 5))
        .get(1)!
        .map((value) => {
          const fields = decode(value as Buffer);
          return [only(message, 1), only(message, 2), textAt(fields, 1), only(fields, 2)];
        }),
    );
    expect(scalars).toEqual([
      [started + 0.5, 1, 'train/loss', 3],
      [started + 0.5, 1, 'train/learning_rate', Math.fround(1e-4)],
      [started + 0.5, 1, 'train/grad_norm', 1.5],
      [started + 0.5, 1, 'train/tokens_per_second', 200],
      [started + 1, 2, 'train/loss', 1.5],
      [started + 1, 2, 'train/learning_rate', Math.fround(1e-4)],
      [started + 1, 2, 'train/grad_norm', 1.5],
      [started + 1, 2, 'train/tokens_per_second', 200],
      [started + 2, 2, 'dev/loss', 1.25],
      [started + 2, 2, 'dev/perplexity', 3.5],
      [started + 2, 2, 'dev/loss/he', 1.5],
    ]);
    expect(tensorboardName(run)).toBe('events.out.tfevents.1790000000.mlit');
  });
});

/** Records of W&B's log, read as its own reader does: frames never cross blocks, checksums include the type. */
function readLog(log: Buffer): Buffer[] {
  expect(log.toString('hex', 0, 7)).toBe('3a572642e1be00');
  const records: Buffer[] = [];
  let parts: Buffer[] | undefined;
  for (let at = 7; at < log.length; ) {
    const left = 32768 - (at % 32768);
    if (left < 7) {
      expect(log.subarray(at, at + left).every((byte) => byte === 0)).toBe(true);
      at += left;
      continue;
    }
    const length = log.readUInt16LE(at + 4);
    const type = log.readUInt8(at + 6);
    const data = log.subarray(at + 7, at + 7 + length);
    expect(length + 7).toBeLessThanOrEqual(left);
    expect(log.readUInt32LE(at)).toBe(crc32(Buffer.of(type), data));
    expect([1, 2].includes(type)).toBe(parts === undefined);
    parts = [...(parts ?? []), data];
    if (type === 1 || type === 4) {
      records.push(Buffer.concat(parts));
      parts = undefined;
    }
    at += 7 + length;
  }
  expect(parts).toBeUndefined();
  return records;
}

describe('W&B', () => {
  it('cuts records of any length at the borders of blocks', () => {
    const lengths = fc.oneof(fc.nat(40), fc.integer({ min: 32700, max: 32800 }), fc.nat(100_000));
    fc.assert(
      fc.property(fc.array(lengths, { maxLength: 6 }), (sizes) => {
        const records = sizes.map((size, at) => Buffer.alloc(size, at + 1));
        const read = readLog(levelDbLog(records));
        expect(read.length).toBe(records.length);
        expect(read.every((record, at) => record.equals(records[at]!))).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it('has header, run, a row a step, summary and exit', () => {
    const names = { id: 'abc123', project: 'e2', group: 'pinch-10', name: 'pinch-10 seed 0' };
    const records = readLog(wandbFile(run, names)).map(decode);
    const kinds = [2, 3, 17, 18, 21];
    expect(records.map((record) => kinds.find((kind) => record.has(kind)))).toEqual([21, 17, 2, 2, 3, 18]);
    expect(records.map((record) => only(record, 1))).toEqual([1, 2, 3, 4, 5, 6]);
    const described = decode(only(records[1]!, 17));
    expect([1, 3, 6, 8].map((field) => textAt(described, field))).toEqual([
      'abc123',
      'e2',
      'pinch-10',
      'pinch-10 seed 0',
    ]);
    const second = decode(only(records[3]!, 2));
    const row = second.get(1)!.map((item) => decode(item as Buffer));
    expect(Object.fromEntries(row.map((item) => [textAt(item, 2), JSON.parse(textAt(item, 16))]))).toEqual({
      'train/loss': 1.5,
      'train/learning_rate': 0.0001,
      'train/grad_norm': 1.5,
      'train/tokens_per_second': 200,
      'dev/loss': 1.25,
      'dev/perplexity': 3.5,
      'dev/loss/he': 1.5,
      _timestamp: started + 2,
      _runtime: 2,
      _step: 2,
    });
    expect(wandbPath(run, names)).toBe('offline-run-20260921_141320-abc123/run-abc123.wandb');
  });
});

describe('events of a run', () => {
  it('are read from its folder, without a last line that was cut and without values that are none', async () => {
    await writeFile(
      join(folder, 'run.yaml'),
      [
        'options: {model: m.gguf, data: [d.jsonl]}',
        'chosen: {version: 0.1.0, threads: 1, isa: avx2, microTokens: 64, recompute: none, baseDtype: f32, totalSteps: 2,',
        '  modelIdentity: m, dataHash: d, startedAt: 2026-09-21T14:13:20.250Z}',
      ].join('\n'),
    );
    const lines = [step(1), { ...step(2), loss: null }].map((event) => `${JSON.stringify(event)}\n`).join('');
    await writeFile(join(folder, 'events.jsonl'), `${lines}{"type":"st`);
    const { started: began, steps } = await readTrackedRun(folder);
    expect(began).toBe(started);
    expect(steps.map(({ step: at }) => at)).toEqual([1, 2]);
    expect(Object.keys(steps[1]!.values)).not.toContain('train/loss');
    const jobs = {
      a: { '0': { train: 'f'.repeat(32) } },
      b: { '0': { train: 'f'.repeat(32) }, '1': { train: 'gone' } },
      base: { '0': {} },
    };
    const notes: string[] = [];
    const files = await trackerFiles(
      { ...results, provenance: { ...results.provenance, jobs } },
      ['tensorboard', 'wandb'],
      {
        runFolder: (train) => (train === 'gone' ? join(folder, 'gone') : folder),
        onNote: (note) => notes.push(note),
      },
    );
    expect([...files.keys()]).toEqual([
      'tensorboard/a/seed-0/events.out.tfevents.1790000000.mlit',
      'wandb/offline-run-20260921_141320-ffffffffffffffff/run-ffffffffffffffff.wandb',
      'tensorboard/b/seed-0/events.out.tfevents.1790000000.mlit',
    ]);
    expect(notes).toEqual([expect.stringMatching(/^b, seed 1: no curves: .*run\.yaml/)]);
    expect((await trackerFiles(results, [], { runFolder: () => 'nowhere' })).size).toBe(0);
    await writeFile(join(folder, 'events.jsonl'), `{"type":\n${lines}`);
    await expect(readTrackedRun(folder)).rejects.toMatchObject({
      code: 'RUN_INVALID',
      message: /events.jsonl:1/,
    });
    await rm(join(folder, 'events.jsonl'));
    await expect(readTrackedRun(folder)).rejects.toMatchObject({
      code: 'RUN_INVALID',
      message: /cannot read/,
    });
  });
});
