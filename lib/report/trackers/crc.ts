// Checksums of the logs that trackers read: CRC-32C (Castagnoli) in TFRecord, CRC-32 as in zlib in W&B's. (Node's own
// zlib.crc32 is younger than the oldest Node that this package runs on.)

const tableOf = (polynomial: number): Uint32Array =>
  Uint32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
    return crc >>> 0;
  });

function checksum(table: Uint32Array, parts: readonly Uint8Array[]): number {
  let crc = 0xffffffff;
  for (const part of parts) for (const byte of part) crc = (crc >>> 8) ^ table[(crc ^ byte) & 0xff]!;
  return (crc ^ 0xffffffff) >>> 0;
}

const CASTAGNOLI = tableOf(0x82f63b78);
const ZLIB = tableOf(0xedb88320);

/** Of the parts one after another. */
export const crc32c = (...parts: readonly Uint8Array[]): number => checksum(CASTAGNOLI, parts);
export const crc32 = (...parts: readonly Uint8Array[]): number => checksum(ZLIB, parts);

/** Rotated and shifted, so that the checksum of data that holds checksums keeps its worth (LevelDB, TensorFlow). */
export function maskedCrc32c(data: Uint8Array): number {
  const crc = crc32c(data);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
