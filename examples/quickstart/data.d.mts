// Types of data.mjs, for the tests.
export type Part = 'train' | 'dev' | 'test';
export interface Item {
  id: string;
  kind: 'emoji' | 'flag';
  symbol: string;
  key: string;
  names: Record<string, string>;
}
export interface QuickstartRecord {
  id: string;
  lang: string;
  instruction: string;
  response: string;
  parallel_id: string;
}
export const LANGUAGES: readonly string[];
export function normalize(text: string): string;
export function emojiKey(emoji: string): string;
export function readItems(): Item[];
export function groupItems(items: readonly Item[]): Item[][];
export function splitItems(items: readonly Item[]): Record<Part, Item[]>;
export function recordsOf(item: Item, part: Part): QuickstartRecord[];
export function buildData(folder: string): Record<Part, string> & { items: Record<Part, number> };
