// Types of measure.mjs, for the tests.
import type { QuickstartRecord } from './data.mjs';
export interface Measured {
  loss: Record<string, number>;
  answers: Map<string, string>;
  language: Record<string, { share: number; undecided: number }>;
}
export function readJsonl(path: string): QuickstartRecord[];
export function pickMixture(
  records: readonly QuickstartRecord[],
  languages: readonly string[],
  count: number,
): QuickstartRecord[];
export function lossPerByte(records: readonly QuickstartRecord[], scoreLines: string): Record<string, number>;
export function answersInLanguage(
  records: readonly QuickstartRecord[],
  answers: readonly { id: string; response: string }[],
): Promise<Record<string, { share: number; undecided: number }>>;
export function report(
  records: readonly QuickstartRecord[],
  before: Measured,
  after: Measured,
  languages: readonly string[],
): string;
