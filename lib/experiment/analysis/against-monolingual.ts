// A measure against the model that the paper compares with: the one tuned on the language of the prompt alone, with the whole budget.
import type { MeasureName } from '../../eval/measures/names';
import type { ResultTable } from '../results';
import type { CellTable, Term } from './cells';
import { byLanguage, formatOf, type MeasureTableOptions, shaded } from './measure-tables';
import type { Study } from './study';
import { isPartial } from './trust';
import { ARM_COLUMN, aboutIntervals, languageColumns } from './words';

/** Nothing where the experiment does not compare with monolingual models, or none but the hub's is finished. */
export function againstMonolingual(
  study: Study,
  name: MeasureName,
  { id, title, grey }: Pick<MeasureTableOptions, 'id' | 'title' | 'grey'>,
): ResultTable | undefined {
  if (study.spec.against !== 'monolingual') return undefined;
  const cells = study.measure(name);
  const languages = study.languages.filter((lang) => {
    const own = study.monolingual(lang);
    return own !== undefined && cells.has(own.id, lang);
  });
  // With the hub's alone it is what the table of differences says.
  if (!languages.some((lang) => lang !== study.spec.hub)) return undefined;
  const format = formatOf(name);
  const lessIsBetter = format.better === 'lower';
  const ownIn = (lang: string): string => study.monolingual(lang)!.id;
  const isOwn = (arm: string, lang: string): boolean => ownIn(lang) === arm;
  const isGrey = (arm: string, over: readonly string[]): boolean =>
    isPartial(study, cells, arm, over, (lang) => isOwn(arm, lang)) ||
    over.some((lang) => !isOwn(arm, lang) && (grey?.(arm, [lang]) || grey?.(ownIn(lang), [lang])));
  return {
    id: `${id}-against-monolingual`,
    title: `${title}: difference to the monolingual models`,
    caption: `Each arm less the model tuned on the language of the prompt alone with the whole budget, on the same prompts; a model against itself is left out, of means too. Better and worse count the languages whose interval is wholly on one side of 0. ${aboutIntervals(study)}`,
    columns: [
      ARM_COLUMN,
      ...languageColumns(languages, format),
      { key: 'mean', label: 'mean', kind: 'number', ...format },
      { key: 'better', label: 'better than monolingual in', kind: 'text' },
      { key: 'worse', label: 'worse than monolingual in', kind: 'text' },
    ],
    rows: study.arms.flatMap(({ id: arm, label }) => {
      const others = languages.filter((lang) => !isOwn(arm, lang) && cells.has(arm, lang));
      if (others.length === 0) return [];
      const own = new Map(others.map((lang) => [lang, cells.difference(arm, ownIn(lang), lang)]));
      const known = [...own.values()].filter((cell) => cell !== null);
      const below = known.filter(({ high }) => high !== undefined && high < 0).length;
      const above = known.filter(({ low }) => low !== undefined && low > 0).length;
      return {
        arm: label,
        ...byLanguage(languages, (lang) => shaded(own.get(lang) ?? null, isGrey(arm, [lang]))),
        mean: shaded(meanDifference(cells, arm, others, ownIn), isGrey(arm, languages)),
        better: `${lessIsBetter ? below : above} of ${known.length}`,
        worse: `${lessIsBetter ? above : below} of ${known.length}`,
      };
    }),
  };
}

/** Over several languages, each arm's own opponent in each. */
function meanDifference(
  cells: CellTable,
  arm: string,
  languages: readonly string[],
  ownIn: (lang: string) => string,
): ReturnType<CellTable['combine']> {
  const weight = 1 / languages.length;
  return cells.combine(
    languages.flatMap((lang): Term[] => [
      { arm, lang, weight },
      { arm: ownIn(lang), lang, weight: -weight },
    ]),
  );
}
