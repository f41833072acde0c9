// E2 and E3: what a share of other languages does to the hub's own, to those in the mixture, and to those that are not.
import { languageName } from '../../text/language-codes';
import type { ResultColumn, ResultFigure, ResultTable } from '../results';
import type { Arm } from '../types';
import { type Drawn, drawnQuantities, groupCurve, groupMean, type LanguageGroup } from './figures';
import type { NamedScore } from './score-tables';
import type { Study } from './study';
import { ARM_COLUMN, aboutIntervals, listLanguages } from './words';

export interface ProtocolResults {
  question: string;
  tables: ResultTable[];
  figures: ResultFigure[];
  warnings?: string[];
}

export function analysePinch(study: Study, scores: readonly NamedScore[]): ProtocolResults {
  const ticks = study.arms
    .filter(({ at }) => typeof at.percent === 'number')
    .map((arm) => ({ arm, x: arm.at.percent as number }))
    .sort((a, b) => a.x - b.x)
    .map(({ arm, x }) => ({ arm, x, xLabel: tickLabel(arm) }));
  const groups = pinchGroups(study);
  const unseen = groups.some(({ name }) => name.startsWith('unseen'));
  const hub = languageName(study.spec.hub);
  const caption = groups.map(({ name, languages }) => `${name}: ${listLanguages(languages)}.`).join(' ');
  const drawn = drawnQuantities(study, scores);
  const figures = drawn
    .map((each) =>
      groupCurve(study, each, ticks, groups, {
        x: `share of the budget spread over all languages, %`,
        caption,
        paper: unseen
          ? 'The curves of seen and unseen languages over the share of multilingual examples, six languages in the mixture (E3).'
          : 'The curve of scores over the share of multilingual examples, all languages in the mixture (E2).',
        xIsOrdinal: true,
      }),
    )
    .filter((figure) => figure !== undefined);
  return {
    question: `What does a share of other languages in a set that is else ${hub} do to answers in ${unseen ? 'the languages it has, in those it has not, and in' : 'them, and in'} ${hub}?`,
    tables: drawn.map((each) => groupTable(study, each, groups, caption)),
    figures,
  };
}

function tickLabel({ at }: Arm): string {
  return at.count === undefined ? `${at.percent}` : `${at.count} examples`;
}

/** The hub; the mixture's other languages; those that are evaluated only. */
export function pinchGroups(study: Study): LanguageGroup[] {
  const { hub } = study.spec;
  const tuned = new Set<string>();
  for (const { mixture } of study.arms) {
    if (mixture?.kind === 'pinch') for (const lang of mixture.languages) tuned.add(lang);
  }
  const others = study.languages.filter((lang) => lang !== hub);
  const seen = others.filter((lang) => tuned.has(lang));
  const unseen = others.filter((lang) => !tuned.has(lang));
  return [
    { name: languageName(hub), languages: study.languages.filter((lang) => lang === hub) },
    { name: unseen.length > 0 ? 'seen' : 'other languages', languages: seen },
    { name: 'unseen', languages: unseen },
  ].filter(({ languages }) => languages.length > 0);
}

/** Means over groups of languages, each with its difference to the reference arm. */
export function groupTable(
  study: Study,
  drawn: Drawn,
  groups: readonly LanguageGroup[],
  caption: string,
): ResultTable {
  const { reference } = study;
  const format = {
    unit: drawn.axis.includes('byte') ? 'nats/byte' : drawn.parity ? 'points' : '%',
    digits: drawn.digits,
    better: drawn.better,
  } as const;
  const differs = reference !== undefined && drawn.parity === undefined;
  return {
    id: `groups-${drawn.id}`,
    title: `${drawn.title}, means over languages`,
    caption: `${drawn.about} ${caption}${drawn.parity ? ' A language in which the arm is itself the opponent is left out.' : ''} ${aboutIntervals(study)}`,
    columns: [
      ARM_COLUMN,
      ...groups.flatMap(({ name }): ResultColumn[] => [
        { key: name, label: name, kind: 'number', ...format },
        ...(differs
          ? [
              {
                key: `${name} difference`,
                label: `${name}, less ${reference.label}`,
                kind: 'number' as const,
                ...format,
              },
            ]
          : []),
      ]),
    ],
    rows: study.arms.map(({ id, label }) => ({
      arm: label,
      ...Object.fromEntries(
        groups.flatMap(({ name, languages }) => [
          [name, drawn.parity ? drawn.cells.mean(id, languages) : groupMean(drawn, id, languages)],
          ...(differs
            ? [
                [
                  `${name} difference`,
                  id === reference.id ? null : drawn.cells.meanDifference(id, reference.id, languages),
                ],
              ]
            : []),
        ]),
      ),
    })),
  };
}
