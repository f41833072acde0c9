// W&B's offline runs: what `wandb sync` sends later, from a machine that may. The file is LevelDB's log format with CRC-32 and
// a header of W&B's own (wandb/sdk/internal/datastore.py of wandb 0.19), its records are wandb_internal.proto's. Neither is
// a documented interface; both have stayed readable for years.
import { packageVersion } from '../../native/version';
import { crc32 } from './crc';
import { Message } from './protobuf';
import type { TrackedRun } from './run-events';

const BLOCK = 32768;
const FRAME_HEADER = 7;
const FULL = 1;
const FIRST = 2;
const MIDDLE = 3;
const LAST = 4;
/** `:W&B`, 0xBEE1, version 0. */
const FILE_HEADER = Buffer.from([0x3a, 0x57, 0x26, 0x42, 0xe1, 0xbe, 0x00]);

/** Oldest reader that is told to understand the records: none is used that is younger. */
const MIN_CONSUMER = '0.40.0';

export interface WandbNames {
  /** Letters and digits; the same for the same run, so that sending twice makes one. */
  id: string;
  project: string;
  /** Runs that are compared: seeds of one arm. */
  group: string;
  name: string;
}

/** A run's `.wandb` file: header, run with its options, a row of history a step, summary, exit. */
export function wandbFile(run: TrackedRun, names: WandbNames): Buffer {
  const rows = historyRows(run);
  const last = Object.assign({}, ...rows.map((row) => row.values)) as Record<string, number>;
  const runtime = Math.max(0, Math.round((run.steps.at(-1)?.time ?? run.started) - run.started));
  const version = new Message().text(1, `mlit-native ${packageVersion}`).text(2, MIN_CONSUMER);
  const records: [field: number, record: Message][] = [
    [21, new Message().message(1, version)],
    [17, runRecord(run, names)],
    ...rows.map(({ step, values }): [number, Message] => [
      2,
      items(new Message(), 1, values).message(2, new Message().integer(1, step)),
    ]),
    [3, items(new Message(), 1, last)],
    [18, new Message().integer(1, 0).integer(2, runtime)],
  ];
  const info = new Message().text(1, names.id);
  const messages = records.map(([field, record], at) =>
    new Message()
      .integer(1, at + 1)
      .message(field, record)
      .message(200, info)
      .finish(),
  );
  return levelDbLog(messages);
}

/** `offline-run-20260131_120000-ID/run-ID.wandb`: where `wandb sync` looks for it below a folder `wandb`. */
export function wandbPath({ started }: TrackedRun, { id }: WandbNames): string {
  const [day = '', time = ''] = new Date(Math.floor(started) * 1000).toISOString().split(/[T.]/);
  return `offline-run-${day.replaceAll('-', '')}_${time.replaceAll(':', '')}-${id}/run-${id}.wandb`;
}

function runRecord({ record, started }: TrackedRun, names: WandbNames): Message {
  const config = new Message();
  const options = { ...record.options, mlit: record.chosen };
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined) continue;
    config.message(1, new Message().text(1, key).text(16, JSON.stringify(value)));
  }
  const seconds = Math.floor(started);
  const time = new Message().integer(1, seconds).integer(2, Math.round((started - seconds) * 1e9));
  return new Message()
    .text(1, names.id)
    .text(3, names.project)
    .message(4, config)
    .text(6, names.group)
    .text(7, 'train')
    .text(8, names.name)
    .message(17, time);
}

/** One row a step: what training and dev set say of it, with the moment of the later. */
function historyRows({ steps, started }: TrackedRun): { step: number; values: Record<string, number> }[] {
  const rows = new Map<number, Record<string, number>>();
  for (const { step, time, values } of steps) {
    rows.set(step, {
      ...rows.get(step),
      ...values,
      _timestamp: time,
      _runtime: time - started,
      _step: step,
    });
  }
  return [...rows].map(([step, values]) => ({ step, values }));
}

/** Keys go as one nested key each, as wandb's own client writes them: a slash or dot in them means nothing. */
function items(message: Message, field: number, values: Readonly<Record<string, number>>): Message {
  for (const [key, value] of Object.entries(values)) {
    message.message(field, new Message().text(2, key).text(16, JSON.stringify(value)));
  }
  return message;
}

/** Records cut into frames that do not cross the borders of blocks. */
export function levelDbLog(records: readonly Uint8Array[]): Buffer {
  const parts: Uint8Array[] = [FILE_HEADER];
  let at = FILE_HEADER.length;
  const put = (type: number, data: Uint8Array): void => {
    const header = Buffer.alloc(FRAME_HEADER);
    header.writeUInt32LE(crc32(Buffer.of(type), data), 0);
    header.writeUInt16LE(data.length, 4);
    header.writeUInt8(type, 6);
    parts.push(header, data);
    at += FRAME_HEADER + data.length;
  };
  for (const record of records) {
    let rest = record;
    let begun = false;
    for (;;) {
      const space = BLOCK - (at % BLOCK);
      if (space < FRAME_HEADER) {
        parts.push(new Uint8Array(space));
        at += space;
        continue;
      }
      const room = space - FRAME_HEADER;
      if (rest.length <= room) {
        put(begun ? LAST : FULL, rest);
        break;
      }
      put(begun ? MIDDLE : FIRST, rest.subarray(0, room));
      rest = rest.subarray(room);
      begun = true;
    }
  }
  return Buffer.concat(parts);
}
