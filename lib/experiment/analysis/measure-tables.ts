// One measure as a table of arms and languages, with means, and the differences to one arm with intervals of their own.
import { type MeasureName, measureDefinition } from '../../eval/measures/names';
import type { ResultCell, ResultColumn, ResultTable } from '../results';
import type { CellTable, SeededEstimate } from './cells';
import type { Study } from './study';
import { type Grey, greyMatch, isPartial } from './trust';
import { ARM_COLUMN, aboutIntervals, languageColumns } from './words';

interface Texts {
  id: string;
  title: string;
  caption: string;
}

export interface MeasureTableOptions extends Texts {
  /** Also a table of differences to the reference arm in every language; without it only of the mean. */
  differences?: boolean;
  /** Cells that are not to be relied upon. */
  grey?: Grey;
}

/** Nothing where no model has the measure. */
export function measureTables(study: Study, name: MeasureName, options: MeasureTableOptions): ResultTable[] {
  const cells = study.measure(name);
  if (cells.empty) return [];
  const format = formatOf(name);
  const { reference } = study;
  const languages = study.languages.filter((lang) => study.arms.some(({ id }) => cells.has(id, lang)));
  const columns: ResultColumn[] = [ARM_COLUMN, ...languageColumns(languages, format)];
  if (languages.length > 1) columns.push({ key: 'mean', label: 'mean', kind: 'number', ...format });
  if (reference !== undefined) {
    columns.push({
      key: 'difference',
      label: `mean less that of ${reference.label}`,
      kind: 'number',
      ...format,
    });
  }
  const isGrey: Grey = (arm, over) => options.grey?.(arm, over) || isPartial(study, cells, arm, over);
  const main: ResultTable = {
    id: options.id,
    title: options.title,
    caption: `${options.caption} ${aboutIntervals(study)}`,
    columns,
    rows: study.arms.map(({ id, label }) => ({
      arm: label,
      ...byLanguage(languages, (lang) => shaded(cells.value(id, lang), isGrey(id, [lang]))),
      ...(languages.length > 1 && {
        mean: shaded(cells.mean(id, languages), isGrey(id, languages)),
      }),
      ...(reference !== undefined && {
        difference:
          id === reference.id
            ? null
            : shaded(
                cells.meanDifference(id, reference.id, languages),
                isGrey(id, languages) || isGrey(reference.id, languages),
              ),
      }),
    })),
  };
  if (!options.differences || reference === undefined) return [main];
  return [main, differenceTable(study, cells, languages, format, { ...options, grey: isGrey })];
}

function differenceTable(
  study: Study,
  cells: CellTable,
  languages: readonly string[],
  format: Pick<ResultColumn, 'unit' | 'digits' | 'better'>,
  texts: Texts & { grey: Grey },
): ResultTable {
  const reference = study.reference!;
  return {
    id: `${texts.id}-differences`,
    title: `${texts.title}: difference to ${reference.label}`,
    caption: `Each arm less ${reference.label}, on the same prompts. ${aboutIntervals(study)}`,
    columns: [ARM_COLUMN, ...languageColumns(languages, format)],
    rows: study.arms
      .filter(({ id }) => id !== reference.id)
      .map(({ id, label }) => ({
        arm: label,
        ...byLanguage(languages, (lang) =>
          shaded(
            cells.difference(id, reference.id, lang),
            texts.grey(id, [lang]) || texts.grey(reference.id, [lang]),
          ),
        ),
      })),
  };
}

/** Several measures of each arm, as means over its languages. */
export function overviewTable(
  study: Study,
  names: readonly MeasureName[],
  texts: Texts,
): ResultTable | undefined {
  const there = names.filter((name) => !study.measure(name).empty);
  if (there.length === 0) return undefined;
  return {
    ...texts,
    caption: `${texts.caption}${texts.caption && ' '}Means over the languages of the prompts. ${aboutIntervals(study)}`,
    columns: [
      ARM_COLUMN,
      ...there.map(
        (name): ResultColumn => ({
          key: name,
          label: measureDefinition(name).label,
          kind: 'number',
          ...formatOf(name),
        }),
      ),
    ],
    rows: study.arms.map(({ id, label }) => ({
      arm: label,
      ...Object.fromEntries(
        there.map((name) => {
          const cells = study.measure(name);
          const grey =
            isPartial(study, cells, id, study.languages) ||
            (name === 'languageMatch' && greyMatch(study)(id, study.languages));
          return [name, shaded(cells.mean(id, study.languages), grey)];
        }),
      ),
    })),
  };
}

export function formatOf(name: MeasureName): Pick<ResultColumn, 'unit' | 'digits' | 'better'> {
  const { unit, better } = measureDefinition(name);
  return {
    unit,
    digits: unit.startsWith('nats/') ? 3 : 1,
    ...(better !== 'none' && { better }),
  };
}

export function byLanguage(
  languages: readonly string[],
  cell: (lang: string) => ResultCell,
): Record<string, ResultCell> {
  return Object.fromEntries(languages.map((lang) => [lang, cell(lang)]));
}

export function shaded(cell: SeededEstimate | null, grey: boolean | undefined): ResultCell {
  return cell === null || !grey ? cell : { ...cell, grey };
}
