// A gradient as numbers: a step of AdamW without a rate or a memory leaves it, whole, in the first moment, and a state file has that.
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { packExamples } from '../data/packing';
import type { RenderedExample } from '../data/render';
import type { Adapter } from '../model/adapter';
import { interruptible } from '../train/dev';
import { TrainingSession } from '../train/session';

/**
 * The gradient of the mean loss over the examples, in the order of the adapter's parameters: layer by layer, equally many in each.
 *
 * @param folder where a file of three times the adapter's size may be written
 */
export async function adapterGradient(
  adapter: Adapter,
  examples: readonly RenderedExample[],
  { microTokens, folder, signal }: { microTokens: number; folder: string; signal?: AbortSignal | undefined },
): Promise<Float32Array> {
  const path = join(folder, 'gradient.safetensors');
  await using session = await TrainingSession.create({
    model: adapter.model,
    adapters: [adapter],
    microTokens,
  });
  for (const { batch } of packExamples(examples, { microTokens }))
    await interruptible(session, signal, () => session.forwardBackward(batch));
  await session.optimStep({ learningRate: 0, beta1: 0, maxGradNorm: 0 });
  await session.saveState(path);
  return readFloats(path, 'adapter.0.m');
}

/** One float32 tensor of a safetensors file that this process wrote. */
async function readFloats(path: string, name: string): Promise<Float32Array> {
  await using file = await open(path);
  const read = async (at: number, bytes: number): Promise<Buffer> => {
    const { buffer } = await file.read(Buffer.alloc(bytes), 0, bytes, at);
    return buffer;
  };
  const size = Number((await read(0, 8)).readBigUInt64LE());
  const header = JSON.parse((await read(8, size)).toString()) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  const [from, to] = header[name]!.data_offsets;
  const bytes = await read(8 + size + from, to - from);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

/** Cosines of two gradients: of each of `layers` equal parts, and of the whole. NaN where one of them is zero. */
export function gradientCosines(
  a: Float32Array,
  b: Float32Array,
  layers: number,
): { byLayer: number[]; all: number } {
  const width = a.length / layers;
  const sums = Array.from({ length: layers }, (_, layer) => {
    let [ab, aa, bb] = [0, 0, 0];
    for (let i = layer * width; i < (layer + 1) * width; i++) {
      ab += a[i]! * b[i]!;
      aa += a[i]! * a[i]!;
      bb += b[i]! * b[i]!;
    }
    return { ab, aa, bb };
  });
  const cosine = (parts: typeof sums): number => {
    const sum = (key: 'ab' | 'aa' | 'bb'): number => parts.reduce((total, part) => total + part[key], 0);
    return sum('ab') / Math.sqrt(sum('aa') * sum('bb'));
  };
  return { byLayer: sums.map((part) => cosine([part])), all: cosine(sums) };
}
