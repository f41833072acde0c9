// Protocol Buffers' wire format, as much of it as two trackers' messages need: numbers, texts, and messages in messages.

/** A message being written: fields in the order of the calls. */
export class Message {
  readonly #parts: Buffer[] = [];

  /** int32, int64, enum, bool. Negative numbers are not needed and refused. */
  integer(field: number, value: number): this {
    this.#parts.push(varint(field * 8), varint(value));
    return this;
  }

  double(field: number, value: number): this {
    const data = Buffer.alloc(8);
    data.writeDoubleLE(value);
    this.#parts.push(varint(field * 8 + 1), data);
    return this;
  }

  float(field: number, value: number): this {
    const data = Buffer.alloc(4);
    data.writeFloatLE(value);
    this.#parts.push(varint(field * 8 + 5), data);
    return this;
  }

  text(field: number, value: string): this {
    return this.#bytes(field, Buffer.from(value));
  }

  message(field: number, value: Message): this {
    return this.#bytes(field, value.finish());
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts);
  }

  #bytes(field: number, data: Buffer): this {
    this.#parts.push(varint(field * 8 + 2), varint(data.length), data);
    return this;
  }
}

function varint(value: number): Buffer {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`expected a whole number from 0 to 2^53 − 1, got ${value}`);
  }
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  return Buffer.from([...bytes, rest]);
}
