// Sentences and columns that all tables and figures have in common.
import { languageName } from '../../text/language-codes';
import type { ResultColumn } from '../results';
import type { Study } from './study';

/** What the intervals are, once for every caption. */
export function aboutIntervals(study: Study): string {
  const { seeds } = study;
  const repeated =
    seeds.length > 1
      ? ` Values are means over ${seeds.length} seeds, arms paired by seed; each seed's own value stands beside. The interval is not one over seeds: ${seeds.length} are too few.`
      : ' One seed: what another run of the same training would give is not in the interval.';
  return `Intervals: 95 %, bootstrap over prompts (the item is the unit, jointly over languages), conditional on these models.${repeated}`;
}

/** The same in a picture, where there is room for a line. */
export function briefIntervals({ seeds }: Study): string {
  return `Intervals: 95\u00a0%, over prompts, of these models; ${seeds.length > 1 ? `means over ${seeds.length} seeds` : 'one seed'}.`;
}

export function languageColumns(
  languages: readonly string[],
  format: Omit<ResultColumn, 'key' | 'label' | 'kind'>,
): ResultColumn[] {
  return languages.map((lang) => ({ key: lang, label: lang, kind: 'number', ...format }));
}

export const ARM_COLUMN: ResultColumn = { key: 'arm', label: 'tuned on', kind: 'text' };

export function listLanguages(codes: readonly string[]): string {
  return codes.map((code) => `${languageName(code)} (${code})`).join(', ');
}
