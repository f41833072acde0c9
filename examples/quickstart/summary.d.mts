// Types of summary.mjs, for the tests.
export interface Answered {
  arm: { id: string; label: string };
  items: readonly { item: string; lang: string; measures: Record<string, number>; response?: string }[];
}
export interface Shown {
  value: number;
  low?: number;
  high?: number;
  n: number;
}
export const BY_SCRIPT: readonly string[];
export function summarize(
  models: readonly Answered[],
): { id: string; label: string; numbers: Record<string, Shown> }[];
export function describeByScript(models: readonly Answered[]): string;
export function describe(
  models: readonly Answered[],
  records: readonly { lang: string; parallel_id: string; instruction: string; response: string }[],
): string;
