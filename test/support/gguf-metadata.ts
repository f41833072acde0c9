// The metadata section of a GGUF file, read in TypeScript so that tokenizer tests need no native build.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { GgufMetadata, GgufValue } from '../../lib/native/types';

/** Metadata is at the start, and far smaller than this in any model. */
const HEAD_BYTES = 64 * 2 ** 20;

const SIZES = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];

export function readGgufMetadata(file: string): GgufMetadata {
  const bytes = head(file);
  let at = 8;
  const integer = (): number => {
    at += 8;
    return Number(bytes.readBigUInt64LE(at - 8));
  };
  const text = (): string => {
    const length = integer();
    at += length;
    return bytes.toString('utf8', at - length, at);
  };
  const scalar = (type: number): number | boolean | bigint => {
    at += SIZES[type] as number;
    const from = at - (SIZES[type] as number);
    switch (type) {
      case 0:
        return bytes.readUInt8(from);
      case 1:
        return bytes.readInt8(from);
      case 2:
        return bytes.readUInt16LE(from);
      case 3:
        return bytes.readInt16LE(from);
      case 4:
        return bytes.readUInt32LE(from);
      case 5:
        return bytes.readInt32LE(from);
      case 6:
        return bytes.readFloatLE(from);
      case 7:
        return bytes.readUInt8(from) === 1;
      case 10:
        return bytes.readBigUInt64LE(from);
      case 11:
        return bytes.readBigInt64LE(from);
      case 12:
        return bytes.readDoubleLE(from);
      default:
        throw new Error(`${file}: value type ${type} at byte ${from}`);
    }
  };
  const value = (type: number): GgufValue => {
    if (type === 8) return text();
    if (type !== 9) return scalar(type);
    const item = bytes.readUInt32LE(at);
    at += 4;
    const length = integer();
    if (item === 8) return Array.from({ length }, text);
    if (item === 5) return Int32Array.from({ length }, () => scalar(item) as number);
    return Float32Array.from({ length }, () => Number(scalar(item)));
  };
  integer();
  const count = integer();
  const metadata: GgufMetadata = {};
  for (let i = 0; i < count; i += 1) {
    const key = text();
    const type = bytes.readUInt32LE(at);
    at += 4;
    metadata[key] = value(type);
  }
  return metadata;
}

function head(file: string): Buffer {
  const descriptor = openSync(file, 'r');
  try {
    const bytes = Buffer.alloc(Math.min(fstatSync(descriptor).size, HEAD_BYTES));
    readSync(descriptor, bytes, 0, bytes.length, 0);
    return bytes;
  } finally {
    closeSync(descriptor);
  }
}
