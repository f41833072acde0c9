// Types of open.mjs, for the tests.
export const FILES: readonly string[];
export const LONGEST: number;
export const TRAINING: Record<string, readonly string[]>;
export const PROMPTS: Record<string, string>;
export function findSets(): { folder: string } | { reason: string };
export function buildOpen(
  sets: string,
  folder: string,
): Record<'train' | 'references' | 'multiq' | 'vicuna', string>;
