// TensorBoard's event files: TFRecord frames around Event messages. Written here because no kept package does it for Node;
// the format is fixed: tensorflow/core/util/event.proto, framework/summary.proto and the TFRecord page of TensorFlow's guide.
import { maskedCrc32c } from './crc';
import { Message } from './protobuf';
import type { TrackedRun } from './run-events';

/** A frame: length (u64), its masked CRC, the data, its masked CRC; all little-endian. */
export function tfRecord(data: Uint8Array): Buffer {
  const frame = Buffer.alloc(data.length + 16);
  frame.writeBigUInt64LE(BigInt(data.length), 0);
  frame.writeUInt32LE(maskedCrc32c(frame.subarray(0, 8)), 8);
  frame.set(data, 12);
  frame.writeUInt32LE(maskedCrc32c(data), 12 + data.length);
  return frame;
}

/** A run as an event file with a scalar for each value of each step. */
export function tensorboardFile({ started, steps }: TrackedRun): Buffer {
  const frames = [tfRecord(new Message().double(1, started).text(3, 'brain.Event:2').finish())];
  for (const { step, time, values } of steps) {
    const summary = new Message();
    for (const [tag, value] of Object.entries(values)) {
      summary.message(1, new Message().text(1, tag).float(2, value));
    }
    frames.push(tfRecord(new Message().double(1, time).integer(2, step).message(5, summary).finish()));
  }
  return Buffer.concat(frames);
}

/** The name that TensorBoard looks for in a run's folder. */
export function tensorboardName({ started }: TrackedRun): string {
  return `events.out.tfevents.${String(Math.floor(started)).padStart(10, '0')}.mlit`;
}
