// Means over groups of languages: the hub's, those in the mixture, those in none; and what each arm changes in them.
import type { ResultColumn, ResultTable } from '../results';
import { type Drawn, greyMean, type LanguageGroup } from './figures';
import { shaded } from './measure-tables';
import type { Study } from './study';
import { ARM_COLUMN, aboutIntervals, listLanguages } from './words';

/** All means first, then the differences to the reference arm. */
export function groupTables(
  study: Study,
  drawn: readonly Drawn[],
  groups: readonly LanguageGroup[],
): ResultTable[] {
  const differences = drawn.flatMap((each) =>
    each.parity ? [] : (differenceTable(study, each, groups) ?? []),
  );
  return [...drawn.map((each) => meanTable(study, each, groups)), ...differences];
}

/** Which languages a group is, for captions. */
export function aboutGroups(groups: readonly LanguageGroup[]): string {
  return groups
    .filter(({ name, languages }) => languages.length > 1 || !listLanguages(languages).startsWith(name))
    .map(({ name, languages }) => `${name[0]!.toUpperCase()}${name.slice(1)}: ${listLanguages(languages)}.`)
    .join(' ');
}

function columnsOf({ unit, digits, better }: Drawn, groups: readonly LanguageGroup[]): ResultColumn[] {
  return [
    ARM_COLUMN,
    ...groups.map(
      ({ name }): ResultColumn => ({ key: name, label: name, kind: 'number', unit, digits, better }),
    ),
  ];
}

function meanTable(study: Study, drawn: Drawn, groups: readonly LanguageGroup[]): ResultTable {
  const own = drawn.parity ? ' A language in which the arm is itself the opponent is left out.' : '';
  return {
    id: `groups-${drawn.id}`,
    title: `${drawn.title}, means over languages`,
    caption: `${drawn.about} ${aboutGroups(groups)}${own} ${aboutIntervals(study)}`,
    columns: columnsOf(drawn, groups),
    rows: study.arms.map(({ id, label }) => ({
      arm: label,
      ...Object.fromEntries(
        groups.map(({ name, languages }) => [
          name,
          shaded(drawn.cells.mean(id, languages), greyMean(study, drawn, id, languages)),
        ]),
      ),
    })),
  };
}

function differenceTable(
  study: Study,
  drawn: Drawn,
  groups: readonly LanguageGroup[],
): ResultTable | undefined {
  const { reference } = study;
  if (reference === undefined) return undefined;
  return {
    id: `groups-${drawn.id}-differences`,
    title: `${drawn.title}, means over languages: difference to ${reference.label}`,
    caption: `Each arm less ${reference.label}, on the same prompts. ${aboutGroups(groups)} ${aboutIntervals(study)}`,
    columns: columnsOf(drawn, groups),
    rows: study.arms
      .filter(({ id }) => id !== reference.id)
      .map(({ id, label }) => ({
        arm: label,
        ...Object.fromEntries(
          groups.map(({ name, languages }) => [
            name,
            shaded(
              drawn.cells.meanDifference(id, reference.id, languages),
              greyMean(study, drawn, id, languages) || greyMean(study, drawn, reference.id, languages),
            ),
          ]),
        ),
      })),
  };
}
