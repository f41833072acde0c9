// When a number is shown but not to be relied upon: most of what it is made of was left out, or could not have come out
// otherwise. One place, so that tables and figures are grey alike.
import type { CellTable } from './cells';
import { undecidedShare } from './language-table';
import type { ScoreTable } from './scores';
import type { Study } from './study';

/** Share of undecided answers over which a language match is grey. */
export const GREY_UNDECIDED = 0.5;
/** Share of pairs that tie because neither answer is near the reference, over which a score is grey. */
export const GREY_FAR = 0.8;

/** Whether an arm's number over these languages is grey. */
export type Grey = (arm: string, languages: readonly string[]) => boolean;

export function greyMatch(study: Study): Grey {
  return (arm, languages) => mean(languages, (lang) => undecidedShare(study, arm, lang)) > GREY_UNDECIDED;
}

export function greyScore({ far, cells, unqualified }: ScoreTable): Grey {
  return (arm, languages) => {
    if (languages.some((lang) => unqualified.has(lang) && cells.has(arm, lang))) return true;
    const own = languages.flatMap((lang) => far.get(`${arm} ${lang}`) ?? []);
    return own.length > 0 && mean(own, (share) => share) > GREY_FAR;
  };
}

/**
 * Whether the arm has no cell in a language in which others have one, or not in each of its seeds: its mean is not over the
 * same languages as theirs, or leaves a seed out.
 */
export function isPartial(
  study: Study,
  cells: CellTable,
  arm: string,
  languages: readonly string[],
  isOpponent: (lang: string) => boolean = () => false,
): boolean {
  return languages.some((lang) => {
    if (isOpponent(lang)) return false;
    if (cells.has(arm, lang)) return cells.seeds(arm, lang) < study.columns(arm, lang).size;
    return study.arms.some(({ id }) => cells.has(id, lang));
  });
}

function mean<T>(values: readonly T[], of: (value: T) => number): number {
  return values.reduce((sum, value) => sum + of(value), 0) / values.length;
}
