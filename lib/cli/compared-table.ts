// The table of a side by side, whoever judged it.
import type { ComparedLanguages } from '../eval/answer-pairs';
import type { Estimate } from '../eval/statistics/estimate';
import { GREY_MARK } from '../report/layout';
import { table } from './output';

export const S_NOTE =
  'S: 50 is parity. Intervals are over items, given these answers. match: answers in the prompt’s language, in %, of those decided.';
export const GATE_NOTE =
  'gate: an answer in the wrong language loses to one in the right language; undecided ones stand';

/**
 * A row a language and one for all.
 *
 * @param options `consistency`: a column of how often both orders agree; `isGrey`: whose numbers are marked as not to be relied upon
 */
export function comparedTable(
  { byLanguage, all }: ComparedLanguages,
  options: { consistency?: boolean; isGrey?: (lang: string) => boolean } = {},
): string {
  const { consistency = false, isGrey = () => false } = options;
  const header = [
    ...['language', 'n', 'S(A, B)', '95 %', 'win', 'tie', 'lose', 'left out'],
    ...(consistency ? ['consistent'] : []),
    ...['match A', 'match B', 'undecided'],
  ];
  const rows = [...Object.entries(byLanguage), ['all', all] as const].map(([lang, one]) => {
    const { score, wins, ties, losses, leftOut, languageMatch, undecided } = one;
    return [
      lang,
      String(one.pairs),
      `${shown(score.value)}${isGrey(lang) ? GREY_MARK : ''}`,
      interval(score),
      ...[wins, ties, losses, leftOut].map(String),
      ...(consistency
        ? [one.positionConsistency === undefined ? '–' : percent(one.positionConsistency)]
        : []),
      percent(languageMatch.a),
      percent(languageMatch.b),
      `${undecided.a} / ${undecided.b}`,
    ];
  });
  return table(header, rows);
}

/** Bounds times `scale`. */
export function interval({ low, high }: Estimate, scale = 1, digits = 1): string {
  if (low === undefined || high === undefined) return '–';
  return `${(scale * low).toFixed(digits)}–${(scale * high).toFixed(digits)}`;
}

/** A share in %. */
export function percent({ value }: Estimate): string {
  return shown(100 * value);
}

export function shown(value: number): string {
  return Number.isNaN(value) ? '–' : value.toFixed(1);
}
