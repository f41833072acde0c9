// What tests use of measure.mjs.
export const TOLERANCE: number;
export function measure(
  folder: string,
  combination: object,
): Promise<{
  nativeBytes: number;
  nodeBytes: number;
  peakBytes: number;
  difference: number;
  nativeDifference: number;
}>;
